"""Repairs that need no person: one step, then the next, then somebody is told. boto3 is there; everything else is of the standard library.

CloudWatch calls this with an alarm, EventBridge with an event of RDS. A sick machine of a group is repaired by being replaced, so what is here is little:

    disk      old files and logs are removed; if that did not help, the machine is replaced
    volume    a disk that cannot keep up gets a third more operations a second, up to a bound
    machine   one that is busy for a quarter of an hour while its group is not, is replaced
    storage   the database may grow by a quarter, up to a bound

Every repair is a row in a table that people can browse: what was seen, what was done, what came of it, or why nothing was. Guards, in this order: its switch
(on, dry run, off), once an hour for the same cause, its cool-down, one at a time in a group, not while the group is being replaced by a release, never
below the group's least. Whatever is done or held back is said to the topic that tells Slack.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

HOUR_S: Final = 3600
KEPT_S: Final = 400 * 24 * HOUR_S  # rows
AT_A_TIME_S: Final = 900  # a repair of a group is over after so long at the latest
ON, DRY_RUN, OFF = "on", "dry run", "off"
GROWTH: Final = 1.25
FASTER: Final = 4 / 3
MOST_IOPS: Final = 16_000
COMMAND: Final = (
    "journalctl --vacuum-size=200M; find /var/lib/atrium/log /tmp /var/tmp -xdev -type f -mtime +1 -delete;"
    " cd /opt/atrium/releases && ls -t | tail -n +3 | xargs -r rm -rf"
)


class HeldBack(Exception):
    """A guard says no; its text says why."""


@dataclass(frozen=True)
class Cause:
    """What was seen: which repair it asks for, of what, and the alarm or event that said so."""

    repair: str
    target: str
    seen: str


@dataclass(frozen=True)
class Repair:
    """`group_of`: which group is touched, where it is one. `step` does it and says what it did; with `dry`, what it would do."""

    name: str
    cool_down_s: int
    step: Callable[[Cause, bool], str]
    group_of: Callable[[str], str] = field(default=lambda _target: "")


def handle(event: dict[str, Any], _context: object) -> dict[str, str]:
    cause = cause_of(event)
    if cause is None:
        return {"result": "nothing to repair"}
    mode = _mode(cause.repair)
    if mode == OFF:
        return {"result": OFF}
    return {"result": attempt(REPAIRS[cause.repair], cause, dry=mode == DRY_RUN)}


def attempt(repair: Repair, cause: Cause, *, dry: bool) -> str:
    """Guarded, done, written down, told."""
    row = _begin(cause, dry)
    if row is None:
        return "done already in this hour"
    group = ""
    try:
        _cool(repair, cause)
        group = repair.group_of(cause.target)
        if group:
            _alone(group)
            _may_lose_one(group)
        done, result = repair.step(cause, dry), DRY_RUN if dry else "done"
    except HeldBack as why:
        done, result = str(why), "held back"
    except Exception as error:
        _end(row, f"It failed with {type(error).__name__}.", "failed")
        _tell(cause, f"It failed with {type(error).__name__}. A person is needed.", "failed")
        raise  # tried again by AWS, which finds the row; then it waits in the dead letters
    finally:
        if group and dry:
            _release(group)
    _end(row, done, result)
    _tell(cause, done, result)
    return result


# --- What was seen --------------------------------------------------------------------------------------------------------


def cause_of(event: dict[str, Any]) -> Cause | None:
    if event.get("source") == "aws.rds":
        detail = event.get("detail") or {}
        wanted = detail.get("EventID") in STORAGE_EVENTS and detail.get("SourceIdentifier")
        return Cause("storage", str(detail["SourceIdentifier"]), f"{detail['EventID']}") if wanted else None
    alarm = event.get("alarmData") or {}
    if (alarm.get("state") or {}).get("value") != "ALARM":
        return None
    name = str(alarm.get("alarmName", ""))
    for ending, (repair, dimension) in ALARMS.items():
        if name.endswith(ending):
            target = _dimension(event, dimension)
            return Cause(repair, target, name) if target else None
    return None


ALARMS: Final = {"-disk-full": ("disk", "InstanceId"), "-volume-busy": ("volume", "VolumeId"), "-machine-sick": ("machine", "InstanceId")}
STORAGE_EVENTS: Final = frozenset({"RDS-EVENT-0007", "RDS-EVENT-0089", "RDS-EVENT-0222"})


def _dimension(event: dict[str, Any], name: str) -> str:
    """Of the alarm that has one series, or of the one series of many that fired."""
    of_many = (event.get("alarmContributor") or event["alarmData"].get("alarmContributor") or {}).get("contributorAttributes") or {}
    if name in of_many:
        return str(of_many[name])
    for metric in (event["alarmData"].get("configuration") or {}).get("metrics") or []:
        dimensions = ((metric.get("metricStat") or {}).get("metric") or {}).get("dimensions") or {}
        if name in dimensions:
            return str(dimensions[name])
    return ""


# --- Guards ---------------------------------------------------------------------------------------------------------------


def _mode(repair: str) -> str:
    """People's switch. One that nobody has set, or that cannot be read, means a dry run: better told than done."""
    try:
        said = client("ssm").get_parameter(Name=f"{os.environ['SWITCHES']}/{repair}")["Parameter"]["Value"]
    except client("ssm").exceptions.ParameterNotFound:
        return DRY_RUN
    return said if said in (ON, DRY_RUN, OFF) else DRY_RUN


def _begin(cause: Cause, dry: bool) -> dict[str, str] | None:
    """The row of this cause and hour; None: there is one already."""
    now = datetime.now(UTC)
    key = {"repair": f"{cause.repair}#{cause.target}", "at": f"{now:%Y-%m-%dT%H}"}
    row = {**key, "seen": cause.seen, "began": now.isoformat(), "result": "under way", "mode": DRY_RUN if dry else ON}
    item = {name: {"S": value} for name, value in row.items()} | {"expires": {"N": str(int(time.time()) + KEPT_S)}}
    try:
        client("dynamodb").put_item(TableName=os.environ["TABLE"], Item=item, ConditionExpression="attribute_not_exists(repair)")
    except client("dynamodb").exceptions.ConditionalCheckFailedException:
        return None
    return key


def _end(key: dict[str, str], done: str, result: str) -> None:
    client("dynamodb").update_item(
        TableName=os.environ["TABLE"],
        Key={name: {"S": value} for name, value in key.items()},
        UpdateExpression="SET #done = :done, #result = :result, #ended = :ended",
        ExpressionAttributeNames={"#done": "done", "#result": "result", "#ended": "ended"},
        ExpressionAttributeValues={":done": {"S": done}, ":result": {"S": result}, ":ended": {"S": datetime.now(UTC).isoformat()}},
    )


def latest(repair: str, target: str, within_s: int) -> list[dict[str, str]]:
    """Rows of a repair of this target that were really done, the latest first."""
    since = datetime.now(UTC) - timedelta(seconds=within_s)
    found = client("dynamodb").query(
        TableName=os.environ["TABLE"],
        KeyConditionExpression="repair = :repair AND #at >= :since",
        ExpressionAttributeNames={"#at": "at"},
        ExpressionAttributeValues={":repair": {"S": f"{repair}#{target}"}, ":since": {"S": f"{since:%Y-%m-%dT%H}"}},
        ScanIndexForward=False,
        ConsistentRead=True,
    )["Items"]
    rows = [{name: value.get("S", "") for name, value in item.items()} for item in found]
    return [row for row in rows if row["result"] == "done" and row["began"] >= since.isoformat()]


def _cool(repair: Repair, cause: Cause) -> None:
    if repair.cool_down_s and latest(cause.repair, cause.target, repair.cool_down_s):
        raise HeldBack(f"It was done less than {repair.cool_down_s // HOUR_S} hours ago. A person is needed.")


def _alone(group: str) -> None:
    """A lock that runs out: two sick machines of a group are not both taken away."""
    now = int(time.time())
    try:
        client("dynamodb").put_item(
            TableName=os.environ["TABLE"],
            Item={"repair": {"S": f"lock#{group}"}, "at": {"S": "lock"}, "until": {"N": str(now + AT_A_TIME_S)}, "expires": {"N": str(now + AT_A_TIME_S)}},
            ConditionExpression="attribute_not_exists(repair) OR #until < :now",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":now": {"N": str(now)}},
        )
    except client("dynamodb").exceptions.ConditionalCheckFailedException:
        raise HeldBack(f"Another machine of {group} is being repaired.") from None


def _release(group: str) -> None:
    client("dynamodb").delete_item(TableName=os.environ["TABLE"], Key={"repair": {"S": f"lock#{group}"}, "at": {"S": "lock"}})


def _may_lose_one(group: str) -> None:
    refreshes = client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=group, MaxRecords=10)["InstanceRefreshes"]
    if any(one["Status"] in ("Pending", "InProgress", "Baking", "RollbackInProgress", "Cancelling") for one in refreshes):
        raise HeldBack(f"{group} is being replaced by a release.")
    [found] = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
    standing = sum(one["LifecycleState"] == "InService" and one["HealthStatus"] == "Healthy" for one in found["Instances"])
    if standing < max(1, found["MinSize"]):
        raise HeldBack(f"{group} has {standing} healthy machines, and needs {found['MinSize']}.")


def _group_of(instance: str) -> str:
    found = client("autoscaling").describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
    if not found or not found[0]["AutoScalingGroupName"].startswith(os.environ["GROUPS"]):
        raise HeldBack("The machine is in no group of this installation.")
    return str(found[0]["AutoScalingGroupName"])


# --- Steps ----------------------------------------------------------------------------------------------------------------


def clean_or_replace(cause: Cause, dry: bool) -> str:
    """Cleaned first; where it was cleaned some minutes to hours ago and is full again, it is replaced."""
    if latest("disk", cause.target, 6 * HOUR_S):
        return replace(cause, dry)
    if not dry:
        client("ssm").send_command(
            InstanceIds=[cause.target], DocumentName="AWS-RunShellScript", Parameters={"commands": [COMMAND]}, TimeoutSeconds=300, Comment="atrium repair: disk"
        )
    return "Old logs, files and releases are removed. If the disk is still full in an hour, the machine is replaced."


def replace(cause: Cause, dry: bool) -> str:
    if not dry:
        client("autoscaling").set_instance_health(InstanceId=cause.target, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    return "The machine is replaced by its group; its own work is finished first."


def faster_volume(cause: Cause, dry: bool) -> str:
    """AWS itself lets a volume be changed once in six hours."""
    changes = client("ec2").describe_volumes_modifications(Filters=[{"Name": "volume-id", "Values": [cause.target]}])["VolumesModifications"]
    since = datetime.now(UTC) - timedelta(hours=6)
    if any(one["ModificationState"] in ("modifying", "optimizing") or one["StartTime"] > since for one in changes):
        raise HeldBack("The volume was changed in the last six hours. A person is needed.")
    [volume] = client("ec2").describe_volumes(VolumeIds=[cause.target])["Volumes"]
    if volume.get("VolumeType") != "gp3":
        raise HeldBack(f"The volume is {volume.get('VolumeType')}, which has no setting for this.")
    now = int(volume.get("Iops") or 3000)
    then = min(MOST_IOPS, int(now * FASTER), 500 * volume["Size"])
    if then <= now:
        raise HeldBack(f"The volume has its most already: {now} operations a second.")
    if not dry:
        client("ec2").modify_volume(VolumeId=cause.target, Iops=then)
    return f"The volume gets {then} operations a second instead of {now}."


def more_storage(cause: Cause, dry: bool) -> str:
    """Growing by itself is RDS's own affair; this raises how far it may."""
    [database] = client("rds").describe_db_instances(DBInstanceIdentifier=cause.target)["DBInstances"]
    if not cause.target.startswith(os.environ["DATABASES"]):
        raise HeldBack("The database is none of this installation.")
    if database["DBInstanceStatus"] != "available":
        raise HeldBack(f"The database is {database['DBInstanceStatus']}.")
    now = int(database.get("MaxAllocatedStorage") or database["AllocatedStorage"])
    then = min(int(now * GROWTH), int(os.environ["MOST_STORAGE_GB"]))
    if then <= now:
        raise HeldBack(f"The database may have {now} GB, which is its most. A person is needed.")
    if not dry:
        client("rds").modify_db_instance(DBInstanceIdentifier=cause.target, MaxAllocatedStorage=then, ApplyImmediately=True)
    return f"The database may grow to {then} GB instead of {now}."


REPAIRS: Final = {
    repair.name: repair
    for repair in (
        Repair("disk", 0, clean_or_replace, _group_of),
        Repair("volume", 6 * HOUR_S, faster_volume),
        Repair("machine", HOUR_S, replace, _group_of),
        Repair("storage", 24 * HOUR_S, more_storage),
    )
}


# --- Telling --------------------------------------------------------------------------------------------------------------


def _tell(cause: Cause, done: str, result: str) -> None:
    """In the shape that the function which tells Slack knows as ours."""
    title = f"Repair of {cause.repair}: {result}"
    level = {"failed": "error", "held back": "warning"}.get(result, "info")
    detail = {"title": title, "body": f"{cause.seen} about {cause.target}.\n{done}", "level": level}
    message = {"source": "atrium.repair", "detail-type": "Repair", "region": os.environ.get("AWS_REGION", ""), "detail": detail}
    client("sns").publish(TopicArn=os.environ["TOPIC"], Subject=title[:100], Message=json.dumps(message))


@cache
def client(name: str) -> Any:
    import boto3

    return boto3.client(name)
