"""Whether people hear of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy import names
from deploy.checks.world import World, several

RUNBOOK: Final = Path(__file__).parents[1] / "README.md"
LEAST_ALARMS: Final = 10
TELLERS: Final = ("cloudwatch.amazonaws.com", "events.amazonaws.com", "backup.amazonaws.com")


def alerts(world: World) -> tuple[str, str]:
    name = names.of(names.TOPICS["alerts"], world.environment.name)
    return next((topic.at for topic in world.all("AWS::SNS::Topic") if topic.has.get("TopicName") == name), ("", ""))


def every_alarm_tells(world: World) -> Iterator[str]:
    alarms = list(world.all("AWS::CloudWatch::Alarm"))
    if len(alarms) < LEAST_ALARMS:
        yield f"There are only {len(alarms)} alarms."
    for alarm in alarms:
        for way in ("AlarmActions", "OKActions"):
            if alerts(world) not in world.reached(alarm.stack, alarm.has.get(way, [])):
                yield f"{alarm} tells nobody ({way})."
        if "TreatMissingData" not in alarm.has:
            yield f"{alarm} does not say what silence means."
        if not alarm.has.get("AlarmDescription"):
            yield f"{alarm} does not say what it means."


def every_alarm_has_a_heading(world: World) -> Iterator[str]:
    headings = {line.removeprefix("### ").strip() for line in RUNBOOK.read_text().splitlines() if line.startswith("### ")}
    begins = names.of(names.ALARM, world.environment.name, name="")
    made = {str(alarm.has["AlarmName"]).removeprefix(begins) for alarm in world.all("AWS::CloudWatch::Alarm")}
    for name in names.ALARMS:
        if name not in headings:
            yield f"{name} has no heading in deploy/README.md."
        if not any(each.startswith(name) for each in made) and not (name == "replica-lag" and not world.environment.database.readers):
            yield f"There is no alarm {name}."
    for each in made:
        if not each.startswith(names.ALARMS):
            yield f"{each} is not among the alarms of deploy.names."


def dead_letters_are_watched(world: World) -> Iterator[str]:
    watched = {
        target
        for alarm in world.all("AWS::CloudWatch::Alarm")
        if alarm.has.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        for target in world.reached(alarm.stack, alarm.has.get("Dimensions", []))
    }
    for queue in world.all("AWS::SQS::Queue"):
        if str(queue.has["QueueName"]).endswith("-dead") and queue.at not in watched:
            yield f"Nobody hears of what ends in {queue}."


def topics_can_be_used(world: World) -> Iterator[str]:
    """An encrypted topic whose key a service may not use takes nothing from it, and says so to nobody."""
    keys = {world.target(topic.stack, topic.has.get("KmsMasterKeyId")) for topic in world.all("AWS::SNS::Topic")}
    if None in keys:
        yield "A topic is not encrypted with our key."
    for teller in TELLERS:
        if any(statement.get("Condition") for _, statement in world.statements("AWS::KMS::Key") if teller in _services(statement)):
            yield f"{teller} may use the key only under a condition that it may not meet."
        if not {"kms:Decrypt", "kms:GenerateDataKey*"} <= _granted(world, "AWS::KMS::Key", teller, keys):
            yield f"{teller} may not use the key of the topics."
        if "sns:Publish" not in _granted(world, "AWS::SNS::TopicPolicy", teller, None):
            yield f"{teller} may not publish to the topic of alarms."


def _granted(world: World, kind: str, teller: str, of: set[tuple[str, str] | None] | None) -> set[str]:
    return {
        action
        for resource, statement in world.statements(kind)
        if (of is None or resource.at in of) and statement["Effect"] == "Allow" and teller in _services(statement)
        for action in several(statement["Action"])
    }


def _services(statement: dict[str, Any]) -> list[Any]:
    who = statement["Principal"]
    return several(who.get("Service")) if isinstance(who, dict) else []


def people_and_slack_are_told(world: World) -> Iterator[str]:
    told = [each for each in world.all("AWS::SNS::Subscription") if world.target(each.stack, each.has["TopicArn"]) == alerts(world)]
    ways = {each.has["Protocol"] for each in told}
    for way in ("email", "lambda"):
        if way not in ways:
            yield f"Alarms do not go to {way}."
    may = {world.target(each.stack, each.has["FunctionName"]) for each in world.all("AWS::Lambda::Permission") if each.has["Principal"] == "sns.amazonaws.com"}
    for each in told:
        if each.has["Protocol"] == "lambda" and world.target(each.stack, each.has["Endpoint"]) not in may:
            yield f"The topic may not call {each.has['Endpoint']}."
        if each.has["Protocol"] == "lambda" and "RedrivePolicy" not in each.has:
            yield f"What {each} does not deliver is lost."


def events_are_told(world: World) -> Iterator[str]:
    wanted = {
        "aws.backup": "Backup Job State Change",
        "aws.rds": "",
        "aws.autoscaling": "Launch Unsuccessful",
        "aws.ses": "Sending Status Disabled",
        "aws.health": "",
    }
    rules = [
        rule
        for rule in world.all("AWS::Events::Rule")
        if alerts(world) in world.reached(rule.stack, rule.has.get("Targets", [])) and rule.has.get("State") != "DISABLED"
    ]
    for source, kind in wanted.items():
        if not any(source in rule.has["EventPattern"]["source"] and kind in str(rule.has["EventPattern"]) for rule in rules):
            yield f"Events of {source} are told to nobody."
    numbers = {number for rule in rules for number in rule.has["EventPattern"].get("detail", {}).get("EventID", [])}
    for number in ("0007", "0049", "0089", "0013", "0221"):
        if f"RDS-EVENT-{number}" not in numbers:
            yield f"RDS-EVENT-{number} is told to nobody."


CHECKS = (every_alarm_tells, every_alarm_has_a_heading, dead_letters_are_watched, topics_can_be_used, people_and_slack_are_told, events_are_told)
