"""Synthesises every environment into var/deploy/<environment>: `python -m deploy.app [FOLDER]`. Needs no account, no network and no credentials.

The feature flags are read here, since cdk.json is read by the command-line tool alone: without them a third of the templates would differ.
"""

import json
import sys
from pathlib import Path
from typing import Final

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from deploy import acknowledged, environments
from deploy.stacks import access, app, bi, data, edge, foundation, observe

HERE: Final = Path(__file__).parent
GLOBAL: Final = "us-east-1"  # where CloudFront and its firewall are ruled from


def synthesise(environment: environments.Environment, folder: Path) -> cdk.App:
    made = cdk.App(context=json.loads((HERE / "cdk.json").read_text())["context"], outdir=str(folder), analytics_reporting=False)
    cdk.Validations.of(made).add_plugins(AwsSolutionsChecks(made))
    build(made, environment)
    acknowledged.acknowledge(made, environment)
    made.synth()
    return made


def build(scope: cdk.App, environment: environments.Environment) -> None:
    def stack(kind: type, name: str, region: str = environment.region, protected: bool = False, **given: object) -> cdk.Stack:
        return kind(
            scope,
            f"Atrium-{environment.name}-{name}",
            environment=environment,
            env=cdk.Environment(region=region),
            synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
            termination_protection=protected and environment.protected,
            tags={"project": "atrium", "environment": environment.name},
            **given,
        )

    ground = stack(foundation.Foundation, "foundation", protected=True)
    if environment.copies_region:
        stack(data.Copies, "copies", region=environment.copies_region, protected=True)
    held = stack(data.Data, "data", protected=True, ground=ground)
    running = stack(app.Application, "app", ground=ground, held=held)
    stack(edge.Edge, "edge", region=GLOBAL)
    stack(observe.Observe, "observe", ground=ground, held=held, running=running)
    if environment.bi:
        stack(bi.Bi, "bi", ground=ground, held=held)
    stack(access.Access, "access", ground=ground)


def main(folder: Path) -> int:
    try:
        environments.check(environments.ALL)
    except environments.Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    for environment in environments.ALL:
        synthesise(environment, folder / environment.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "var" / "deploy"))
