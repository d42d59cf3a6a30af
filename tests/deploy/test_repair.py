"""Repairs of AWS: one step, then the next, never two at once, and every one of them told. AWS is played by moto; what that does not know, by Stubber."""

import importlib.util
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from tests.servers import ROOT

REGION: Final = "eu-west-1"
GROUP: Final = "atrium-test-web"
KEYS: Final = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("repair_handler", ROOT / "deploy" / "functions" / "repair" / "handler.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


repair: Final = loaded()


class World:
    """An account with a group of machines, a database, the table, the switches, and a queue that hears what is told."""

    def __init__(self) -> None:
        self.table = boto3.client("dynamodb")
        self.table.create_table(
            TableName="atrium-test-repairs",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("repair", "at")],
            KeySchema=[{"AttributeName": "repair", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        )
        topic = boto3.client("sns").create_topic(Name="atrium-test-alerts")["TopicArn"]
        self.queue = boto3.client("sqs").create_queue(QueueName="heard")["QueueUrl"]
        boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:123456789012:heard")
        boto3.client("ec2").create_launch_template(LaunchTemplateName="machine", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.small"})
        self.groups, self.refreshes = boto3.client("autoscaling"), list[dict[str, str]]()
        template = {"LaunchTemplateName": "machine", "Version": "$Latest"}
        self.groups.create_auto_scaling_group(
            AutoScalingGroupName=GROUP, MinSize=2, MaxSize=6, DesiredCapacity=3, LaunchTemplate=template, AvailabilityZones=[f"{REGION}a"]
        )
        variables = {"TABLE": "atrium-test-repairs", "TOPIC": topic, "SWITCHES": "/atrium-test/repairs", "GROUPS": "atrium-test-"}
        os.environ.update({**variables, "DATABASES": "atrium-test", "MOST_STORAGE_GB": "400"})

    def switch(self, name: str, mode: str) -> None:
        boto3.client("ssm").put_parameter(Name=f"/atrium-test/repairs/{name}", Value=mode, Type="String", Overwrite=True)

    def machines(self) -> list[str]:
        [group] = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]
        return [one["InstanceId"] for one in group["Instances"]]

    def sick(self) -> int:
        [group] = self.groups.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"]
        return sum(one["HealthStatus"] == "Unhealthy" for one in group["Instances"])

    def heard(self) -> list[str]:
        return [one["Body"] for one in boto3.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])]

    def rows(self) -> list[dict[str, str]]:
        items = self.table.scan(TableName="atrium-test-repairs")["Items"]
        return [{name: next(iter(value.values())) for name, value in item.items()} for item in items if not item["repair"]["S"].startswith("lock#")]

    def an_hour_passes(self) -> None:
        """What was noted, was noted an hour earlier."""
        for item in self.table.scan(TableName="atrium-test-repairs")["Items"]:
            key = {"repair": item["repair"], "at": item["at"]}
            self.table.delete_item(TableName="atrium-test-repairs", Key=key)
            if item["at"]["S"] != "lock":
                began = datetime.fromisoformat(item["began"]["S"]) - timedelta(hours=1)
                self.table.put_item(TableName="atrium-test-repairs", Item={**item, "at": {"S": f"{began:%Y-%m-%dT%H}"}, "began": {"S": began.isoformat()}})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    before = dict(os.environ)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        repair.client.cache_clear()
        made = World()
        for name in repair.REPAIRS:
            made.switch(name, "on")
        # Of refreshes moto knows nothing.
        monkeypatch.setattr(repair.client("autoscaling"), "describe_instance_refreshes", lambda **_: {"InstanceRefreshes": made.refreshes}, raising=False)
        yield made
    repair.client.cache_clear()
    for name in set(os.environ) - set(before):
        del os.environ[name]


def alarm(ending: str, dimension: str, value: str, state: str = "ALARM", *, of_many: bool = False) -> dict[str, Any]:
    metric = {"namespace": "CWAgent", "name": "a metric", "dimensions": {} if of_many else {dimension: value}}
    data: dict[str, Any] = {
        "alarmName": f"atrium-test-{ending}",
        "state": {"value": state},
        "configuration": {"metrics": [{"id": "m1", "metricStat": {"metric": metric, "period": 60, "stat": "Average"}, "returnData": True}]},
    }
    more = {"alarmContributor": {"contributorId": "1", "contributorAttributes": {dimension: value}}} if of_many else {}
    return {"source": "aws.cloudwatch", "alarmArn": "arn", "accountId": "123456789012", "region": REGION, "alarmData": data, **more}


def run(event: dict[str, Any]) -> str:
    return str(repair.handle(event, None)["result"])


@pytest.mark.parametrize("of_many", [False, True])
def test_a_sick_machine_is_replaced_written_down_and_told(world: World, of_many: bool) -> None:
    machine = world.machines()[0]
    assert run(alarm("machine-sick", "InstanceId", machine, of_many=of_many)) == "done"
    [row] = world.rows()
    assert (row["repair"], row["result"], row["mode"], row["seen"]) == (f"machine#{machine}", "done", "on", "atrium-test-machine-sick")
    assert "is replaced" in row["done"] and row["ended"] and world.sick() == 1
    [heard] = world.heard()
    assert "Repair of machine: done" in heard and machine in heard


def test_a_second_alarm_in_the_hour_does_nothing(world: World) -> None:
    event = alarm("machine-sick", "InstanceId", world.machines()[0])
    assert [run(event) for _ in range(3)] == ["done", "done already in this hour", "done already in this hour"]
    assert len(world.rows()) == 1 and len(world.heard()) == 1


def test_of_two_sick_machines_only_one_is_replaced(world: World) -> None:
    first, second, _third = world.machines()
    assert run(alarm("machine-sick", "InstanceId", first)) == "done"
    assert run(alarm("machine-sick", "InstanceId", second)) == "held back"
    assert world.sick() == 1
    [held] = [row for row in world.rows() if row["repair"].endswith(second)]
    assert "Another machine" in held["done"] and any("held back" in line for line in world.heard())


def test_a_group_at_its_least_loses_nobody(world: World) -> None:
    world.groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=4, MaxSize=6)
    for machine in world.machines()[1:]:
        world.groups.set_instance_health(InstanceId=machine, HealthStatus="Unhealthy")
    assert run(alarm("machine-sick", "InstanceId", world.machines()[0])) == "held back" and world.sick() == len(world.machines()) - 1


def test_during_a_release_nobody_is_replaced(world: World) -> None:
    world.refreshes = [{"Status": "Successful"}, {"Status": "InProgress"}]
    assert run(alarm("machine-sick", "InstanceId", world.machines()[0])) == "held back" and world.sick() == 0
    assert "replaced by a release" in world.rows()[0]["done"]


def test_a_full_disk_is_cleaned_first_and_the_machine_replaced_when_it_did_not_help(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = world.machines()[0]
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(repair.client("ssm"), "send_command", lambda **told: sent.append(told))
    assert run(alarm("disk-full", "InstanceId", machine)) == "done"
    assert sent[0]["InstanceIds"] == [machine] and "vacuum" in sent[0]["Parameters"]["commands"][0] and world.sick() == 0
    world.an_hour_passes()
    assert run(alarm("disk-full", "InstanceId", machine)) == "done" and world.sick() == 1 and len(sent) == 1


def test_a_dry_run_says_what_it_would_do_and_does_nothing(world: World) -> None:
    world.switch("machine", "dry run")
    first, second, _third = world.machines()
    assert run(alarm("machine-sick", "InstanceId", first)) == "dry run"
    assert run(alarm("machine-sick", "InstanceId", second)) == "dry run"  # and it holds nobody back
    assert world.sick() == 0 and {row["result"] for row in world.rows()} == {"dry run"}


@pytest.mark.parametrize("mode", ["off", None, "perhaps"])
def test_switched_off_nothing_is_done_and_a_switch_that_says_nothing_is_a_dry_run(world: World, mode: str | None) -> None:
    if mode is None:
        boto3.client("ssm").delete_parameter(Name="/atrium-test/repairs/machine")
    else:
        world.switch("machine", mode)
    assert run(alarm("machine-sick", "InstanceId", world.machines()[0])) == ("off" if mode == "off" else "dry run")
    assert world.sick() == 0 and len(world.rows()) == (0 if mode == "off" else 1)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"alarmData": None},
        alarm("machine-sick", "InstanceId", "i-1", state="OK"),
        alarm("something-else", "InstanceId", "i-1"),
        alarm("machine-sick", "AnotherDimension", "i-1"),
        {"source": "aws.rds", "detail": {"EventID": "RDS-EVENT-0006", "SourceIdentifier": "atrium-test"}},
        {"source": "aws.rds"},
    ],
)
def test_what_asks_for_no_repair_changes_nothing(world: World, event: dict[str, Any]) -> None:
    assert run(event) == "nothing to repair" and not world.rows()


def test_a_machine_of_somebody_else_is_left_alone(world: World) -> None:
    os.environ["GROUPS"] = "another-"
    assert run(alarm("machine-sick", "InstanceId", world.machines()[0])) == "held back" and world.sick() == 0
    assert run(alarm("machine-sick", "InstanceId", "i-0123456789abcdef0")) == "held back"


def volume(size: int = 100, iops: int = 3000, kind: str = "gp3") -> dict[str, Any]:
    return {"Volumes": [{"VolumeId": "vol-1", "Size": size, "Iops": iops, "VolumeType": kind}]}


@pytest.mark.parametrize(
    ("changes", "found", "asked", "result"),
    [
        ([], volume(), 4000, "done"),
        ([], volume(iops=15_000), 16_000, "done"),
        ([], volume(iops=16_000), None, "held back"),
        ([], volume(size=6, iops=3000), None, "held back"),
        ([], volume(kind="gp2"), None, "held back"),
        ([{"ModificationState": "optimizing", "StartTime": datetime(2020, 1, 1, tzinfo=UTC)}], None, None, "held back"),
        ([{"ModificationState": "completed", "StartTime": datetime.now(UTC) - timedelta(hours=5)}], None, None, "held back"),
        ([{"ModificationState": "completed", "StartTime": datetime.now(UTC) - timedelta(hours=7)}], volume(), 4000, "done"),
    ],
)
def test_a_busy_volume_is_made_faster_by_a_third_within_its_bounds_and_not_twice_in_six_hours(
    world: World, changes: list[Any], found: Any, asked: int | None, result: str
) -> None:
    with Stubber(repair.client("ec2")) as stub:
        stub.add_response("describe_volumes_modifications", {"VolumesModifications": changes})
        if found:
            stub.add_response("describe_volumes", found)
        if asked:
            stub.add_response("modify_volume", {}, {"VolumeId": "vol-1", "Iops": asked})
        assert run(alarm("volume-busy", "VolumeId", "vol-1")) == result
        stub.assert_no_pending_responses()
    world.an_hour_passes()
    if result == "done":
        assert run(alarm("volume-busy", "VolumeId", "vol-1")) == "held back"  # the cool-down, before anything is asked


def test_a_database_may_grow_by_a_quarter_once_a_day_up_to_its_bound(world: World) -> None:
    databases = boto3.client("rds")
    databases.create_db_instance(
        DBInstanceIdentifier="atrium-test-writer", Engine="postgres", DBInstanceClass="db.m7g.large", AllocatedStorage=300, MaxAllocatedStorage=350,
        MasterUsername="master", MasterUserPassword="of-a-trial",
    )  # fmt: skip
    event = {"source": "aws.rds", "detail": {"EventID": "RDS-EVENT-0089", "SourceIdentifier": "atrium-test-writer"}}
    assert run(event) == "done"
    assert databases.describe_db_instances()["DBInstances"][0]["MaxAllocatedStorage"] == 400  # and not 437
    world.an_hour_passes()
    assert run(event) == "held back"
    for _hour in range(24):
        world.an_hour_passes()
    assert run(event) == "held back" and "its most" in world.rows()[-1]["done"] + world.rows()[0]["done"]


def test_what_fails_is_written_down_told_and_raised(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("with a secret in it")

    monkeypatch.setattr(repair.client("autoscaling"), "set_instance_health", refuse)
    with pytest.raises(RuntimeError):
        run(alarm("machine-sick", "InstanceId", world.machines()[0]))
    [row], [heard] = world.rows(), world.heard()
    assert row["result"] == "failed" and "RuntimeError" in heard and "secret" not in row["done"] + heard
