"""Made twice, the templates are the same; they say nothing of an account; and neither linter has anything left to say."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy import environments
from deploy.app import GLOBAL

MOST_ACKNOWLEDGED: Final = 25
SHORTEST_REASON: Final = 20
# Warnings of cfn-lint that stay: the kit's own, harmless.
ALLOWED: Final = {"W3005": "The kit says a dependency twice, of its own function that empties the default security group."}
# Amazon's own accounts, of which a template must speak: its load balancers of a region write their logs as this one.
AMAZONS: Final = {"098369216593": "load balancers of af-south-1"}
_BOUND: Final = re.compile(r"\b(vpc-[0-9a-f]{8,17}|subnet-[0-9a-f]{8,17}|ami-[0-9a-f]{8,17}|(?<![0-9a-f])[0-9]{12}(?![0-9a-f]))\b")


def templates(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.template.json"))


def alike(one: Path, other: Path) -> Iterator[str]:
    """What differs between two runs, among all that is deployed."""
    for first in [*templates(one), *sorted(one.glob("*/*.assets.json")), *sorted(one.glob("*/asset.*/**/*"))]:
        second = other / first.relative_to(one)
        if first.is_file() and (not second.is_file() or first.read_bytes() != second.read_bytes()):
            yield f"{first.relative_to(one)} differs between two runs."
    if [path.relative_to(one) for path in templates(one)] != [path.relative_to(other) for path in templates(other)]:
        yield "Two runs made different stacks."


def unbound(folder: Path) -> Iterator[str]:
    """Nothing was looked up, and nothing belongs to one account."""
    for manifest in sorted(folder.glob("*/manifest.json")):
        if json.loads(manifest.read_text()).get("missing"):
            yield f"{manifest.parent.name}: something would be looked up in an account."
    for path in templates(folder):
        for found in sorted(set(_BOUND.findall(path.read_text())) - AMAZONS.keys()):
            yield f"{path.name}: {found} belongs to one account."
    if list(Path(__file__).parents[2].glob("**/cdk.context.json")):
        yield "A cdk.context.json holds what was looked up in an account."


def linted(folder: Path) -> Iterator[str]:
    """By cfn-lint, each template for the region it goes to."""
    regions: dict[str, list[str]] = {}
    for path in templates(folder):
        regions.setdefault(region_of(path), []).append(str(path))
    runs = [
        (
            region,
            subprocess.Popen(
                [str(Path(sys.executable).parent / "cfn-lint"), "--format", "json", "--regions", region, "-t", *paths], stdout=subprocess.PIPE, text=True
            ),
        )
        for region, paths in regions.items()
    ]
    for region, run in runs:
        for found in json.loads(run.communicate()[0] or "[]"):
            if found["Rule"]["Id"] not in ALLOWED:
                yield f"{Path(found['Filename']).name} ({region}): {found['Rule']['Id']} {found['Message']}"


def region_of(template: Path) -> str:
    name, kind = template.name.removesuffix(".template.json").split("-")[1:3]
    environment = next(each for each in environments.ALL if each.name == name)
    return {"edge": GLOBAL, "copies": environment.copies_region}.get(kind, environment.region)


def reports(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Of each environment what cdk-nag and the kit's own validation said."""
    return {path.parent.name: json.loads(path.read_text())["pluginReports"] for path in sorted(folder.glob("*/validation-report.json"))}


def validated(folder: Path) -> Iterator[str]:
    for name, said in reports(folder).items():
        for report in said:
            for violation in report["violations"]:
                for construct in violation["violatingConstructs"]:
                    yield f"{name}: {report['pluginName']}: {violation['ruleName']} at {construct['constructPath']}."
        acknowledged = list(acknowledgements(said))
        if not 0 < len(acknowledged) <= MOST_ACKNOWLEDGED:
            yield f"{name}: {len(acknowledged)} findings are acknowledged. At most {MOST_ACKNOWLEDGED} may be; none at all means that nothing was looked at."
        for rule, place, reason in acknowledged:
            if len(reason) < SHORTEST_REASON:
                yield f"{name}: {rule} at {place} is acknowledged without a reason."


def acknowledgements(said: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for report in said:
        for violation in report.get("suppressedViolations") or []:
            for construct in violation["violatingConstructs"]:
                yield violation["ruleName"], construct["constructPath"], violation["reason"]
