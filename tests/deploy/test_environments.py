"""A wrong environment is refused before anything is made of it, and says why."""

from dataclasses import replace
from typing import Any

import pytest

from deploy import environments
from deploy.environments import DEV, PROD, QA, Database, Environment, Machines, Refused, check


def with_database(environment: Environment, **changed: Any) -> Environment:
    return replace(environment, database=replace(environment.database, **changed))


def with_machines(environment: Environment, name: str, **changed: Any) -> Environment:
    return replace(environment, machines={**environment.machines, name: replace(environment.machines[name], **changed)})


def test_the_three_that_there_are_pass() -> None:
    check(environments.ALL)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (replace(PROD, network=QA.network), "overlaps 10.65.0.0/16 of qa"),
        (replace(PROD, network="10.1.0.0/16"), "overlaps 10.0.0.0/12 of networks on premises"),
        (replace(PROD, network="8.8.0.0/16"), "no private range"),
        (replace(PROD, network="10.66.0.0/24"), "no private range"),
        (replace(PROD, network="nowhere"), "no private range"),
        (replace(PROD, region="mars-north-1"), "not in the table of regions"),
        (replace(PROD, gateways=0), "1 or 2 gateways"),
        (replace(PROD, gateways=1), "would take the other zone down"),
        (replace(PROD, protected=False), "protected against deletion"),
        (replace(PROD, bastion_from="0.0.0.0/0"), "bastion would be open"),
        (replace(PROD, backup_days=3), "kept for 3 days"),
        (with_database(PROD, multi_az=False), "must be in two zones"),
        (with_database(QA, multi_az=False), "must be in two zones"),
        (with_database(PROD, managed_password=True), "does not go with readers"),
        (with_database(PROD, kind="t4g.small"), "room for 180"),
        (with_database(PROD, kind="x9.huge"), "not in the table"),
        (with_database(PROD, most_storage_gb=200), "no room to grow"),
        (with_database(PROD, backup_days=0), "kept for 0 days"),
        (with_machines(PROD, "web", most=40), "Take fewer machines"),
        (with_machines(PROD, "web", least=1), "cannot outlive its zone"),
        (with_machines(PROD, "web", least=9), "at least 9 and at most 8"),
        (with_machines(PROD, "scheduler", most=2), "exactly one"),
        (replace(PROD, machines={**PROD.machines, "oven": Machines(kind="t3.small", least=1, most=1)}), "oven is no role"),
    ],
)
def test_a_wrong_one_is_refused(wrong: Environment, why: str) -> None:
    with pytest.raises(Refused, match=why):
        check((DEV, wrong, QA) if wrong.name == "prod" else (DEV, wrong, PROD))


def test_a_missing_role_is_refused() -> None:
    machines = {name: each for name, each in DEV.machines.items() if name != "door"}
    faults = list(environments._of_the_machines(replace(DEV, machines=machines)))
    assert faults == ["door is missing among its machines."]


def test_two_of_a_name_are_refused_and_all_faults_are_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        check((DEV, replace(with_database(PROD, multi_az=False), network="10.64.0.0/16", name="dev", protected=False)))
    assert "overlaps 10.64.0.0/16 of dev" in str(refused.value)
    assert "two of this name" in str(refused.value)


def test_dev_may_do_without_what_the_others_need() -> None:
    small = Database(kind="t4g.small", storage_gb=20, most_storage_gb=40, multi_az=False, readers=0, backup_days=7)
    check((replace(DEV, database=small, gateways=1, protected=False), QA, PROD))


def test_a_release_in_progress_counts_as_half_as_many_machines_again() -> None:
    assert DEV.connections == 2 * (20 + 8 + 10 + 12) + 8 + 15
    assert PROD.connections == 12 * (20 + 8) + 9 * (10 + 12) + 8 + 15
