"""What is claimed is proved: settings, commands, fault points and sizes are what the pages say. Needs no database."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engagement import faults

ROOT: Final = Path(__file__).resolve().parents[2]
APPS: Final = ("engagement", "analytics", "notifications", "operations")
READERS: Final = {
    *(
        "text",
        "integer",
        "flag",
        "choice",
        "host",
        "hosts",
        "broker",
        "mail",
        "webhook",
        "secret",
        "public_address",
        "certificates",
        "topics",
        "place",
        "certificates",
        "by_role",
        "folder",
        "queues",
        "get",
    ),
    *("bot_token", "channel", "trial_address", "page_address", "mail_addresses"),
}
OUTSIDE: Final = {"NO_COLOR", "DJANGO_SETTINGS_MODULE"}  # conventions of terminals and of Django


def sources() -> list[Path]:
    return [path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts]


def names_read(tree: ast.AST) -> Iterator[str]:
    """The environment's names in calls as `environment.flag("DEBUG", ...)` and `os.environ.get("FAULT")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS and node.args:
            first, owner = node.args[0], ast.unparse(node.func.value)
            if owner in {"environment", "os.environ"} and isinstance(first, ast.Constant):
                yield str(first.value)
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ" and isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)


def read_in_code() -> set[str]:
    return {name for path in sources() for name in names_read(ast.parse(path.read_text()))} - OUTSIDE


def page(name: str) -> str:
    return (ROOT / name).read_text()


TABLES: Final = (("README.md", "## Settings\n"), ("RUNBOOK.md", "## Settings of operation\n"))


def settings_tables() -> list[str]:
    """Every name, as often as a table has it."""
    names = []
    for name, heading in TABLES:
        rows = [line.split("|")[1] for line in page(name).split(heading)[1].split("\n## ")[0].splitlines() if line.startswith("| `")]
        names += [setting for row in rows for setting in re.findall(r"`([A-Z_]+)`", row)]
    return names


def test_every_setting_that_is_read_is_documented() -> None:
    undocumented = {name for name in read_in_code() - set(settings_tables()) if f"`{name}=" not in page("CONTRIBUTING.md")}
    assert not undocumented


def test_every_documented_setting_is_read() -> None:
    assert not set(settings_tables()) - read_in_code()


def test_every_setting_is_documented_in_one_place() -> None:
    names = settings_tables()
    assert not {name for name in names if names.count(name) > 1}


def test_nothing_reads_the_environment_unseen() -> None:
    """A name in a variable would escape the tests above."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"os.getenv", "getenv"}:
                pytest.fail(f"{path.relative_to(ROOT)}:{node.lineno} uses getenv; use engagement.environment.")


def test_every_command_is_documented() -> None:
    for app in APPS:
        for path in (ROOT / app / "management" / "commands").glob("[a-z]*.py"):
            assert re.search(rf"^\| `{path.stem}[ `]", page("CONTRIBUTING.md"), re.MULTILINE), f"{path.stem} is not in CONTRIBUTING.md"


def test_every_fault_point_is_documented() -> None:
    assert set(re.findall(r"`([a-z]+\.[a-z_]+)`", page("CONTRIBUTING.md").split("## Breaking it on purpose")[1].split("`engagement.")[0])) == set(faults.POINTS)


def test_every_target_of_make_is_in_the_readme_and_in_its_help() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", page("Makefile"), re.MULTILINE))
    assert targets == {"help", "demo", "run", "test", "check", "bench", "artifact", "synth", "deploy-check"}
    for target in targets:
        assert f"make {target}" in page("README.md")
    said = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in said.splitlines()} == targets


def test_the_readme_stays_short_and_its_links_lead_somewhere() -> None:
    assert len(page("README.md").splitlines()) < 120
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "RUNBOOK.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page(name)):
            assert (ROOT / target).exists(), f"{name} points to {target}, which is not there"


def test_every_requirement_has_one_exact_version() -> None:
    seen: dict[str, str] = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in page(name).splitlines():
            entry = line.strip()
            if not entry or entry.startswith(("#", "-r ")):
                continue
            package, _, version = entry.partition("==")
            assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{entry} in {name} has no exact version"
            assert package.lower() not in seen, f"{package} is in {seen.get(package.lower())} and in {name}"
            seen[package.lower()] = name


def declared_metrics() -> set[str]:
    """The names in declarations as `metrics.counter("atrium_...", ...)`, and in operations/metrics.py, which reads the database."""
    names: set[str] = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            told = isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"atrium_[a-z_]+", node.value)
            declares = isinstance(node, ast.Call) and re.fullmatch(r"metrics\.(counter|histogram)s?", ast.unparse(node.func))
            if declares and isinstance(node, ast.Call) and isinstance(node.args[0], ast.Constant):
                names.add(str(node.args[0].value))
            elif told and path.name == "metrics.py" and isinstance(node, ast.Constant):
                names.add(str(node.value))
    return names


def test_every_metric_is_documented_and_every_documented_one_is_told() -> None:
    rows = [line.split("|")[1] for line in page("RUNBOOK.md").split("## Metrics and logs\n")[1].split("\n## ")[0].splitlines() if line.startswith("| `atrium_")]
    documented = [name for row in rows for name in re.findall(r"`(atrium_[a-z_]+)`", row)]
    assert set(documented) == declared_metrics()
    assert len(documented) == len(set(documented))


def test_metrics_are_named_by_what_they_are() -> None:
    for name in declared_metrics():
        assert re.fullmatch(r"atrium(_[a-z]+)+", name)
        assert not re.search(r"shopper|device_|address|organisation|email", name)
