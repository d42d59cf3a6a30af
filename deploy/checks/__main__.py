"""`python -m deploy.checks`, which is `make deploy-check`: every check on templates made anew, one line each. Needs no account and no network."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from deploy.checks import breakages, graph, made

Check = Callable[[Path], Iterable[str]]
# What is looked at in one run's templates: a name for people, and what finds faults, one sentence each.
CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("nothing is looked up, nothing belongs to one account", made.unbound),
    ("cfn-lint finds no error, for the region of each", made.linted),
    ("cdk-nag and the kit's own validation find nothing that is not acknowledged", made.validated),
    (f"{len(graph.CHECKS)} checks of the graph of resources, on each environment", graph.faults),
    (
        f"{len(breakages.BREAKAGES)} breakages of one property, each noticed by the check that is meant to",
        lambda folder: breakages.unnoticed(graph.worlds(folder)[-1]),
    ),
)


def synthesised(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "deploy.app", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def faults(one: Path, other: Path) -> Iterator[tuple[str, list[str]]]:
    yield "made twice, the templates are the same", list(made.alike(one, other))
    for name, check in CHECKS:
        yield name, list(check(one))


def main() -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        for run in (synthesised(one), synthesised(other)):
            said, _ = run.communicate()
            if run.returncode:
                print(said)
                return 1
        failed = 0
        for name, found in faults(one, other):
            failed += bool(found)
            print(f"{'failed' if found else 'ok    '}  {name}")
            for fault in found:
                print(f"        {fault}")
        for environment, said in made.reports(one).items():
            print(f"{environment}: {len(list(made.acknowledgements(said)))} findings acknowledged")
        for rule, place, reason in made.acknowledgements(made.reports(one)["prod"]):
            print(f"        {place}: {rule}: {reason}")
    print(f"{len(CHECKS) + 1 - failed} passed, {failed} failed, in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
