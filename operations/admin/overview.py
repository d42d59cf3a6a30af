"""What the operations page says of the machines: who works, what waits, how far behind it is. Each reading is bounded."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Min
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from engagement import display
from engagement.models import Heartbeat, Organisation, ShopperImport
from notifications.models import FeedbackNotice, Message, MessageState
from operations import ways
from operations.models import Backup, Delivery, Post

COUNTED_UP_TO: Final = 100_000  # of each queue: a page that is asked for every 15 seconds must not slow its emptying
ORGANISATIONS_SHOWN: Final = 5
PROCESSES_SHOWN: Final = 12  # at once, and all that are silent
PROCESSES_LISTED: Final = 200
BACKUPS_SHOWN: Final = 5
SILENT_AFTER: Final = timedelta(seconds=90)  # every process says more often that it works
OLD_BACKUP: Final = timedelta(hours=26)
DAY: Final = timedelta(hours=24)
# By its number, which an index has; beyond the bound it says "more than".
INBOX: Final = """
    SELECT organisation_id, count(*), sum(events), min(received_at)
    FROM (SELECT organisation_id, events, received_at FROM engagement_inbox ORDER BY id LIMIT %s) waiting GROUP BY organisation_id ORDER BY 2 DESC
"""
LINE: Final = """
    SELECT date_bin('5 minutes', at, timestamptz 'epoch') AS step, max(value) FROM operations_reading WHERE name = %s AND at > %s GROUP BY step ORDER BY step
"""


@dataclass(frozen=True)
class Process:
    name: str
    machine: str
    pid: int | None
    since: str
    last: str
    version: str
    works: bool
    state: str  # in words


@dataclass(frozen=True)
class Processes:
    rows: list[Process]
    others: list[Process]
    more: int


def processes(now: datetime) -> Processes:
    """Those that are silent come first: of many, they are what somebody looks for."""
    known = Heartbeat.objects.exclude(host="").order_by("process")
    rows = sorted((_process(beat, now) for beat in known[:PROCESSES_LISTED]), key=lambda row: (row.works, row.name, row.machine))
    at_once = max(PROCESSES_SHOWN, sum(not row.works for row in rows))
    more = known.count() - PROCESSES_LISTED if len(rows) == PROCESSES_LISTED else 0
    return Processes(rows=rows[:at_once], others=rows[at_once:], more=more)


def _process(beat: Heartbeat, now: datetime) -> Process:
    silent = now - beat.at
    works = silent <= SILENT_AFTER
    return Process(
        name=beat.process.partition("@")[0],
        machine=beat.host,
        pid=beat.pid,
        since=display.moment(beat.started_at),
        last=display.moment(beat.at, seconds=True),
        version=beat.version,
        works=works,
        state=_("Works") if works else _("Silent for %(span)s") % {"span": display.duration(silent.total_seconds())},
    )


@dataclass(frozen=True)
class Queue:
    title: str
    waiting: str
    more: str = ""  # in words
    oldest: str = ""
    parts: list[tuple[str, str]] = field(default_factory=list)  # of organisations, by key


def queues(now: datetime) -> list[Queue]:
    """Planned messages wait for their time too, so only those that are due are told as old."""
    notices = FeedbackNotice.objects.filter(applied_at=None).order_by("pk")[:COUNTED_UP_TO].aggregate(number=Count("pk"), oldest=Min("received_at"))
    planned = Message.objects.filter(state=MessageState.PLANNED).values("send_after")[:COUNTED_UP_TO].aggregate(number=Count("*"), due=Min("send_after"))
    posts = Post.objects.filter(delivery=Delivery.WAITING)[:COUNTED_UP_TO].aggregate(number=Count("pk"), oldest=Min("created_at"))
    working = (ShopperImport.State.CHECKING, ShopperImport.State.RUNNING)
    imports = ShopperImport.objects.filter(state__in=working)[:COUNTED_UP_TO].aggregate(number=Count("pk"), oldest=Min("created_at"))
    due = planned["due"] if planned["due"] and planned["due"] < now else None
    return [
        _inbox(now),
        _queue(_("Messages planned"), planned["number"], due, now),
        _queue(_("Notices about mail"), notices["number"], notices["oldest"], now),
        _queue(_("Posts to Slack"), posts["number"], posts["oldest"], now),
        _queue(_("Imports of shoppers"), imports["number"], imports["oldest"], now),
    ]


def _queue(title: str, number: int, oldest: datetime | None, now: datetime) -> Queue:
    return Queue(title=title, waiting=_number(number), oldest=_age(oldest, now))


def _number(number: int) -> str:
    return _("%(number)s or more") % {"number": display.number(number)} if number >= COUNTED_UP_TO else display.number(number)


def _age(oldest: datetime | None, now: datetime) -> str:
    return display.duration(max(0.0, (now - oldest).total_seconds())) if oldest else display.NOTHING


def _inbox(now: datetime) -> Queue:
    with connection.cursor() as cursor:
        cursor.execute(INBOX, [COUNTED_UP_TO])
        rows = cursor.fetchall()
    keys = dict(Organisation.objects.filter(pk__in=[row[0] for row in rows[:ORGANISATIONS_SHOWN]]).values_list("pk", "key"))
    requests, events = sum(row[1] for row in rows), sum(row[2] for row in rows)
    return Queue(
        title=_("Inbox"),
        waiting=_number(requests),
        more=_("with events: %(events)s") % {"events": display.number(events)} if events else "",
        oldest=_age(min((row[3] for row in rows), default=None), now),
        parts=[(keys.get(row[0], "?"), display.number(row[1])) for row in rows[:ORGANISATIONS_SHOWN]] if len(rows) > 1 else [],
    )


@dataclass(frozen=True)
class Line:
    points: list[tuple[str, float]]  # instant, seconds
    hours: list[tuple[str, str]]  # the same, for those who cannot see the picture: the largest of each hour
    largest: str


def lag(now: datetime) -> Line:
    """How long the first request of the inbox had waited, at each minute of the last day; the largest of five each."""
    with connection.cursor() as cursor:
        cursor.execute(LINE, ["stream-lag", now - DAY])
        steps: list[tuple[datetime, float]] = cursor.fetchall()
    hours: dict[datetime, float] = {}
    for at, value in steps:
        hour = at.replace(minute=0, second=0, microsecond=0)
        hours[hour] = max(value, hours.get(hour, 0.0))
    return Line(
        points=[(at.isoformat(), round(value, 1)) for at, value in steps],
        hours=[(display.moment(hour), display.duration(value)) for hour, value in hours.items()],
        largest=display.duration(max(value for _at, value in steps)) if steps else "",
    )


@dataclass(frozen=True)
class BackupRow:
    name: str
    made: str
    age: str
    size: str
    verified: str
    problem: str


@dataclass(frozen=True)
class Backups:
    rows: list[BackupRow]
    sentence: str
    fine: bool


def backups(now: datetime) -> Backups:
    kept = list(Backup.objects.filter(removed_at=None).order_by("-made_at")[:BACKUPS_SHOWN])
    if not kept:
        return Backups(rows=[], sentence=_("There is no backup that this database knows of. manage.py backup makes one."), fine=False)
    latest = next((backup for backup in kept if not backup.problem), None)
    age = now - latest.made_at if latest else None
    fine = age is not None and age < OLD_BACKUP
    if age is None:
        sentence = _("The last backups failed. What was wrong stands beside each.")
    else:
        said = _("The last good backup is %(age)s old.") if fine else _("The last good backup is %(age)s old. One should be made each day.")
        sentence = said % {"age": display.duration(age.total_seconds())}
    return Backups(rows=[_backup(backup, now) for backup in kept], sentence=sentence, fine=fine)


def _backup(backup: Backup, now: datetime) -> BackupRow:
    return BackupRow(
        name=backup.name,
        made=display.moment(backup.made_at),
        age=_age(backup.made_at, now),
        size=size(backup.bytes),
        verified=display.moment(backup.verified_at) if backup.verified_at else _("not yet"),
        problem=backup.problem,
    )


def size(number: float) -> str:
    """`512 B`, `3.4 MB`: of a thousand each, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{display.number(number, 0 if unit == 'B' else 1)} {unit}"
        number /= 1000
    return f"{display.number(number, 1)} TB"


WAYS: Final[dict[type, Any]] = {
    ways.ByBot: gettext_lazy("Alarms are told in Slack, by a bot."),
    ways.ByWebhook: gettext_lazy("Alarms are told in Slack, by a webhook."),
    ways.ByMail: gettext_lazy("No Slack is set: alarms are told by e-mail."),
    ways.ByLog: gettext_lazy("No Slack is set: alarms are written to the log."),
}


@dataclass(frozen=True)
class Telling:
    where: str
    waiting: str
    oldest: str
    problem: str
    last: str


def telling(now: datetime) -> Telling:
    """The operators' line. Never an address: whoever knows it may write there. Posts are told in order, so the first says what is in the way."""
    line = Post.objects.filter(organisation=None)
    waiting = line.filter(delivery=Delivery.WAITING)
    number = waiting[:COUNTED_UP_TO].count()
    first = waiting.order_by("pk").values("created_at", "problem").first() if number else None
    last = line.exclude(told_at=None).order_by("-pk").values("told_at", "delivery").first()
    return Telling(
        where=str(WAYS[type(ways.operators())]),
        waiting=_number(number),
        oldest=_age(first["created_at"], now) if first else "",
        problem=first["problem"] if first else "",
        last=format_html("{}, {}", Delivery(last["delivery"]).label, display.moment(last["told_at"])) if last else "",
    )
