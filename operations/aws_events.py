"""What AWS tells of itself, as notices for people. Pure, and of the standard library alone: the small function in deploy/ ships it as it is.

The first entry of SHAPES that knows an event tells it. What nobody foresaw is shown field by field. Nothing here fails, whatever came.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from operations.aws_opened import LONGEST_TEXT, MOST_LINES, Event, Fields, account_of, console, lines, opened, region_of, shown
from operations.blocks import Notice


@dataclass(frozen=True)
class Shape:
    name: str
    known: Callable[[Event], bool]
    told: Callable[[Event], Notice]


def notices(event: object, runbook: str = "") -> list[Notice]:
    """One for each thing told; at least one, whatever came. `runbook` is the address of the page with a heading for each alarm."""
    told = [_told(each) for each in opened(event)]
    return [_with_runbook(each, runbook) for each in told] or [_told(Event(Fields(None)))]


def _told(event: Event) -> Notice:
    return next(shape for shape in SHAPES if shape.known(event)).told(event)


# How grave something is: its mark, its level and its word.
GRAVE: Final = ("🔴", "error", "Critical")
DOUBTFUL: Final = ("🟠", "warning", "Warning")
FINE: Final = ("🟢", "info", "Well")
PLAIN: Final = ("🔵", "info", "For information")
USUAL: Final = ("🔵", "debug", "As it should be")  # worth a line only to those who ask for every line
UNKNOWN: Final = ("⚪", "warning", "Unknown")


def _notice(event: Event, grave: tuple[str, str, str], title: str, *lines: str, remedy: str = "", arn: str = "", place: str = "") -> Notice:
    """`place` is what follows the console's address; shown as a button where the region is known."""
    mark, level, word = grave
    arn = arn or next((text for text in (shown(each) for each in event.fields.list("resources")) if text.startswith("arn:")), "")
    region = region_of(event.fields.text("region"), arn, event.fields.text("Region"))
    when = event.detail.text("StateChangeTime", "Event Time", "Date", "EndTime", "completionDate") or event.fields.text("time", "Time") or event.when
    footer = " · ".join(part for part in (word, region, _line("account", account_of(event, arn)), when) if part)
    links = (("Console", f"https://{region}.{console(arn)}/{place.format(region=region)}"),) if region and place else ()
    body = "\n".join(line for line in lines if line)
    return Notice(mark=mark, title=title or "AWS", body=body or "AWS said nothing more.", remedy=remedy, footer=footer, level=level, links=links)


def _with_runbook(notice: Notice, runbook: str) -> Notice:
    """An alarm's notice names its heading; without a page to go to that button is left out."""
    others = tuple(link for link in notice.links if not link[1].startswith("#"))
    if not runbook or not notice.remedy:
        return replace(notice, links=others)
    anchor = next((address for _, address in notice.links if address.startswith("#")), "")
    return replace(notice, links=(("Runbook", runbook + anchor), *others))


def _line(name: str, value: str) -> str:
    return f"{name}: {value}" if value else ""


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace").replace("{", "%7B").replace("}", "%7D")


def _alarm(event: Event) -> Notice:
    """CloudWatch's three ways of saying the same thing."""
    direct = event.fields.part("alarmData")
    said = direct if direct.seen else event.detail
    now, before, set_up = said.part("state"), said.part("previousState"), said.part("configuration")
    name = said.text("AlarmName", "alarmName")
    state = said.text("NewStateValue") or now.text("value")
    was = said.text("OldStateValue") or before.text("value")
    grave = {"ALARM": GRAVE, "OK": FINE}.get(state, DOUBTFUL)
    arn = said.text("AlarmArn") or event.fields.text("alarmArn")
    told = _notice(
        event,
        grave,
        f"{name or 'An alarm'}: {_STATES.get(state, state or 'state unknown')}",
        said.text("AlarmDescription") or set_up.text("description"),
        _line("Why", said.text("NewStateReason") or now.text("reason")),
        _line("Reads", _measured(said.part("Trigger"), set_up)),
        _line("Rule", said.text("AlarmRule") or set_up.text("alarmRule")),
        _line("Before", _STATES.get(was, was)),
        remedy="" if state == "OK" else f"Look up {name or 'the alarm'} in the runbook.",
        arn=arn,
        place=f"cloudwatch/home?region={{region}}#alarmsV2:alarm/{_quoted(name)}" if name else "",
    )
    return replace(told, links=(*told.links, ("Runbook", f"#{_quoted(name.lower())}")))


_STATES: Final = {"ALARM": "firing", "OK": "over", "INSUFFICIENT_DATA": "no data"}


def _measured(trigger: Fields, set_up: Fields) -> str:
    """What is measured, of what; of a sum of several, each once."""
    found = [f"{trigger.text('Namespace')} {trigger.text('MetricName')}{_of(trigger.list('Dimensions'))}"] if "MetricName" in trigger else []
    for each in (Fields(entry) for entry in (*trigger.list("Metrics"), *set_up.list("metrics"))):
        stat = each.part("metricStat") if "metricStat" in each else each.part("MetricStat")
        metric = stat.part("metric") if "metric" in stat else stat.part("Metric")
        found.append(each.text("expression", "Expression") or f"{metric.text('namespace', 'Namespace')} {metric.text('name', 'MetricName')}")
    return ", ".join(dict.fromkeys(text.strip() for text in found[:MOST_LINES] if text.strip()))


def _of(dimensions: list[object]) -> str:
    found = ", ".join(f"{each.text('name', 'Name')} {each.text('value', 'Value')}" for each in map(Fields, dimensions[:MOST_LINES]))
    return f" of {found}" if found else ""


_JOBS: Final = {"BACKUP": "Backup", "COPY": "Copy of a backup", "RESTORE": "Restore"}
_ENDED_BADLY: Final = frozenset({"FAILED", "ABORTED", "EXPIRED", "PARTIAL"})


def _backup(event: Event) -> Notice:
    """A job of AWS Backup. Restores say `status`, all others `state`; completed with a message means completed with issues."""
    said = event.detail
    state = said.text("state", "status").upper()
    message = said.text("statusMessage")
    job = next((name for word, name in _JOBS.items() if event.kind.upper().startswith(word)), event.kind)
    what = said.text("resourceArn", "sourceResourceArn", "createdResourceArn")
    bytes_held = said.text("backupSizeInBytes")
    return _notice(
        event,
        _job_grave(state, message),
        f"{job} of {said.text('resourceType') or 'a resource'}: {_job_word(state, message)}",
        _line("Why", message),
        _line("Of", what),
        _line("Vault", said.text("backupVaultName", "destinationBackupVaultArn")),
        _line("Bytes", "" if bytes_held == "0" else bytes_held),
        _line("Job", said.text("backupJobId", "copyJobId", "restoreJobId")),
        remedy=_BACKUP_REMEDY if state in _ENDED_BADLY or (state == "COMPLETED" and message) else "",
        arn=what,
        place="backup/home?region={region}#/jobs",
    )


_BACKUP_REMEDY: Final = "Read the reason, mend it, and start the job once more: the last good backup grows older."


def _job_word(state: str, message: str) -> str:
    return "completed with issues" if state == "COMPLETED" and message else state.lower().replace("_", " ") or "state unknown"


def _job_grave(state: str, message: str) -> tuple[str, str, str]:
    if state in _ENDED_BADLY:
        return GRAVE
    if state == "COMPLETED":
        return DOUBTFUL if message else FINE
    return PLAIN


def _backup_prose(event: Event) -> Notice:
    """A vault tells in prose; what it is about stands beside it, in the attributes."""
    state = event.attributes.text("State", "state").upper()
    kind = event.attributes.text("EventType", "eventType").upper()
    bad = state in _ENDED_BADLY or (not state and any(word in event.text.lower() for word in ("failed", "expired", "aborted")))
    grave = GRAVE if bad else _job_grave(state, "")
    job = next((name for word, name in _JOBS.items() if kind.startswith(word)), "Backup")
    arn = next(iter(re.findall(r"arn:aws[a-z-]*:[^\s]{1,300}", event.text)), "").rstrip(".")
    remedy = _BACKUP_REMEDY if bad else ""
    title = f"{job}: {_job_word(state or ('FAILED' if bad else ''), '')}"
    return _notice(
        event, grave, title, event.text, _line("Began", event.attributes.text("StartTime")), remedy=remedy, arn=arn, place="backup/home?region={region}#/jobs"
    )


# Of the database: what wants somebody at once, and what wants a look. The rest is for information.
_DATABASE_GRAVE: Final = frozenset({"0007", "0031", "0035", "0036", "0045", "0221", "0222", "0065", "0079"})
_DATABASE_DOUBTFUL: Final = frozenset({"0004", "0006", "0013", "0015", "0022", "0049", "0050", "0051", "0089", "0224"})
_DATABASE_REMEDY: Final = {
    "0007": "Storage is used up: raise it now, and its limit of growth.",
    "0221": "Storage is full and the database has stopped: raise it now.",
    "0222": "Storage is nearly used up: raise it, and its limit of growth.",
    "0089": "Storage is nearly used up: raise it, and its limit of growth.",
    "0224": "Storage has grown to its limit: raise the limit.",
    "0013": "The standby takes over, within two minutes. Nothing is to be done unless it lasts longer.",
    "0045": "The readers' copy no longer follows: reports stand still until it is made again.",
}


def _database(event: Event) -> Notice:
    """RDS: from EventBridge, and from a subscription, whose keys hold blanks."""
    said = event.detail
    link = said.seen.get("Event ID")
    number = next(iter(re.findall(r"RDS-EVENT-(\d{4})", f"{said.text('EventID')} {link if isinstance(link, str) else ''}"[:LONGEST_TEXT])), "")
    name = said.text("SourceIdentifier", "Source ID")
    categories = ", ".join(filter(None, map(shown, said.list("EventCategories")[:MOST_LINES])))
    graves = ("failure", "low storage")
    worst = GRAVE if number in _DATABASE_GRAVE or (not number and any(word in categories for word in graves)) else PLAIN
    return _notice(
        event,
        DOUBTFUL if number in _DATABASE_DOUBTFUL else worst,
        f"Database {name}" if name else "Database",
        said.text("Message", "Event Message"),
        _line("About", categories or said.text("SourceType", "Event Source")),
        _line("Event", f"RDS-EVENT-{number}" if number else ""),
        remedy=_DATABASE_REMEDY.get(number, ""),
        arn=said.text("SourceArn", "Source ARN"),
        place="rds/home?region={region}#events:",
    )


def _instances(event: Event) -> Notice:
    """Auto Scaling: an instance came or went, or could not; the same words with and without an envelope."""
    said = event.detail
    what = event.kind or said.text("Event").removeprefix("autoscaling:").replace("_", " ").lower()
    bad = "unsuccessful" in what.lower() or what.lower().endswith("error")
    group = said.text("AutoScalingGroupName")
    return _notice(
        event,
        GRAVE if bad else USUAL,
        f"{group or 'Auto Scaling'}: {what or 'a change'}",
        said.text("Description"),
        _line("Instance", said.text("EC2InstanceId")),
        _line("Why", said.text("Cause")),
        _line("Said", said.text("StatusMessage")),
        _line("Zone", said.part("Details").text("Availability Zone")),
        remedy="The group cannot change its instances: see the reason, then the launch template and the quota of instances." if bad else "",
        arn=said.text("AutoScalingGroupARN"),
        place=_group_place(group),
    )


def _group_place(group: str) -> str:
    return f"ec2/home?region={{region}}#AutoScalingGroupDetails:id={_quoted(group)}" if group else ""


def _lifecycle(event: Event) -> Notice:
    """An instance waits for its hook. The token that would let it go is not shown."""
    said = event.detail
    group = said.text("AutoScalingGroupName")
    going = "TERMINAT" in said.text("LifecycleTransition").upper()
    return _notice(
        event,
        PLAIN,
        f"{group or 'Auto Scaling'}: {'an instance finishes its work before it goes' if going else 'an instance gets ready'}",
        _line("Instance", said.text("EC2InstanceId")),
        _line("Hook", said.text("LifecycleHookName")),
        _line("Transition", said.text("LifecycleTransition")),
        place=_group_place(group),
    )


def _refresh(event: Event) -> Notice:
    said = event.detail
    group = said.text("AutoScalingGroupName")
    how = event.kind.removeprefix("EC2 Auto Scaling Instance Refresh").strip().lower()
    grave = GRAVE if "failed" in how or "rollback" in how else DOUBTFUL if "cancel" in how else FINE if "succeeded" in how else PLAIN
    reached = said.text("CheckpointPercentage")
    return _notice(
        event,
        grave,
        f"{group or 'Auto Scaling'}: replacing its instances {how}",
        _line("Reached", f"{reached} %" if reached else ""),
        _line("Refresh", said.text("InstanceRefreshId")),
        remedy="Instances of two releases may be running: see why, then release again or go back." if grave is GRAVE else "",
        place=_group_place(group),
    )


_MAIL_GRAVE: Final = frozenset({"complaint", "reject", "rendering failure", "renderingfailure"})


def _mail(event: Event) -> Notice:
    """One mail's fate. Whose it was is nobody's business here: recipients are counted, never named."""
    said = event.detail
    what = said.text("eventType", "notificationType")
    camel = what[:1].lower() + what[1:].replace(" ", "")
    fate = said.part("failure") if "failure" in said else said.part(camel)
    lists = ("bouncedRecipients", "complainedRecipients", "delayedRecipients", "recipients")
    count = max((len(fate.list(name)) for name in lists), default=0) or len(said.part("mail").list("destination"))
    kinds = " ".join(filter(None, (fate.text("bounceType", "delayType", "complaintFeedbackType"), fate.text("bounceSubType", "complaintSubType"))))
    permanent = what.lower() == "bounce" and fate.text("bounceType").lower() != "transient"
    return _notice(
        event,
        DOUBTFUL if permanent or what.lower() in _MAIL_GRAVE or "delay" in what.lower() else PLAIN,
        f"Mail: {what or 'an event'}",
        _line("Kind", kinds),
        _line("Recipients", str(count) if count else ""),
        _line("Template", fate.text("templateName")),
        _line("Why", fate.text("errorMessage", "reason")),
        _line("Configuration set", ", ".join(map(shown, said.part("mail").part("tags").list("ses:configuration-set")[:3]))),
    )


def _mail_account(event: Event) -> Notice:
    """The sending account itself: sending switched off or on, advice opened or resolved."""
    stopped, advised = "disabled" in event.kind.lower(), event.kind.lower().endswith("open")
    return _notice(
        event,
        GRAVE if stopped else DOUBTFUL if advised else FINE,
        f"Mail: {event.kind}",
        *lines(event.detail),
        remedy="No mail leaves. See the reputation page: bounces and complaints first. Then ask for sending to be switched on." if stopped else "",
        place="ses/home?region={region}#/reputation" if stopped else "ses/home?region={region}#/account",
    )


def _health(event: Event) -> Notice:
    said = event.detail
    category = said.text("eventTypeCategory")
    told = [Fields(each).text("latestDescription") for each in said.list("eventDescription")[:3]]
    title = f"AWS: {said.text('service') or 'a service'}: {said.text('eventTypeCode') or event.kind}"
    return _notice(
        event, DOUBTFUL if category == "issue" else PLAIN, title, *told, _line("About", category), place="health/home#/account/dashboard/open-issues"
    )


def _confirmation(event: Event) -> Notice:
    """Somebody asks that a topic's messages come here. The address that says yes is a secret and is not shown."""
    leaving = event.fields.text("Type") == "UnsubscribeConfirmation"
    topic = event.fields.text("TopicArn").rpartition(":")[2]
    arn = event.fields.text("TopicArn")
    said = f"{'A subscription ended for' if leaving else 'A subscription waits for'} the topic {topic or 'unknown'}."
    remedy = "Was that meant? If not, subscribe again." if leaving else "Confirm it in the console, if you asked for it."
    return _notice(event, DOUBTFUL, "Messages of AWS", said, remedy=remedy, arn=arn, place="sns/v3/home?region={region}#/subscriptions")


def _own(event: Event) -> Notice:
    """What the functions beside this one have to say: already in words for people."""
    said = event.detail
    grave = {"error": GRAVE, "warning": DOUBTFUL, "info": PLAIN}.get(said.text("level"), UNKNOWN)
    return _notice(event, grave, said.text("title"), said.text("body"), remedy=said.text("remedy"))


def _any_event(event: Event) -> Notice:
    title = " ".join(filter(None, (event.source, event.kind))) or event.subject or "A message of a kind not yet known"
    return _notice(event, UNKNOWN, title, *lines(event.detail), _line("Topic", event.topic))


def _any_text(event: Event) -> Notice:
    return _notice(event, UNKNOWN, event.subject or "A message", event.text, _line("Topic", event.topic))


def _from(source: str, *kinds: str) -> Callable[[Event], bool]:
    """An event of EventBridge whose kind begins with one of these."""
    return lambda event: event.source == source and event.kind.startswith(kinds or "")


def _has(*names: str) -> Callable[[Event], bool]:
    return lambda event: all(name in event.detail for name in names)


def _either(*ways: Callable[[Event], bool]) -> Callable[[Event], bool]:
    return lambda event: any(way(event) for way in ways)


def _of_a_vault(event: Event) -> bool:
    kinds = event.attributes.text("EventType", "eventType").upper()
    return not event.fields.seen and (event.text.startswith("An AWS Backup") or kinds in {"BACKUP_JOB", "RESTORE_JOB", "COPY_JOB"})


# The first that knows it tells it; a new shape is a new line.
SHAPES: Final = (
    Shape("confirmation", lambda event: event.fields.text("Type") in {"SubscriptionConfirmation", "UnsubscribeConfirmation"}, _confirmation),
    Shape("own", lambda event: event.source.startswith("atrium."), _own),
    Shape(
        "alarm",
        _either(_has("AlarmName", "NewStateValue"), lambda event: "alarmData" in event.fields, _from("aws.cloudwatch", "CloudWatch Alarm State")),
        _alarm,
    ),
    Shape("backup", _from("aws.backup", "Backup Job", "Copy Job", "Restore Job"), _backup),
    Shape("backup-prose", _of_a_vault, _backup_prose),
    Shape("database", _either(_from("aws.rds", "RDS "), _has("Event Source", "Event Message")), _database),
    Shape("refresh", _from("aws.autoscaling", "EC2 Auto Scaling Instance Refresh"), _refresh),
    Shape("lifecycle", _has("LifecycleHookName", "LifecycleTransition"), _lifecycle),
    Shape("instances", _either(_from("aws.autoscaling", "EC2 Instance"), lambda event: event.detail.text("Event").startswith("autoscaling:")), _instances),
    Shape("mail", _either(_has("eventType", "mail"), _has("notificationType")), _mail),
    Shape("mail-account", _from("aws.ses", "Sending Status", "Advisor"), _mail_account),
    Shape("health", _from("aws.health"), _health),
    Shape("event", lambda event: bool(event.fields.seen), _any_event),
    Shape("text", lambda event: True, _any_text),
)
