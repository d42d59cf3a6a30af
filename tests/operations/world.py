"""An installation for its pages to show: quiet, in trouble, or with as much as it will ever have."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from engagement.models import Heartbeat, Organisation, SetAside
from operations.alarms import ALARMS
from operations.models import Action, Alarm, AlarmEvent, Backup, Delivery, Kind, Post, Reading, Result, State

PROCESSES = ("door", "figures", "scheduler", "sender", "stream-0", "watch", "web", "worker")


def beats(now: datetime, silent: tuple[str, ...] = (), machine: str = "ip-10-0-1-7") -> None:
    for number, name in enumerate(PROCESSES):
        said = now - (timedelta(minutes=12) if name in silent else timedelta(seconds=4))
        Heartbeat.objects.create(
            process=f"{name}@{machine}", at=said, host=machine, pid=4000 + number, started_at=now - timedelta(days=2, hours=3), version="0.1.0"
        )


def alarm(name: str, state: str, now: datetime, **more: Any) -> Alarm:
    known = {"since": now - timedelta(minutes=11), "evaluated_at": now, "value": 0.0, **more}
    return Alarm.objects.update_or_create(name=name, defaults={"state": state, **known})[0]


def event(name: str, before: str, after: str, at: datetime, sentence: str, by: str = "") -> AlarmEvent:
    return AlarmEvent.objects.create(alarm_id=name, from_state=before, to_state=after, at=at, value=1, sentence=sentence, by=by)


def readings(now: datetime, peak: float = 0.0) -> None:
    """A minute's reading each for a day; with a `peak` in the last minutes."""
    minute = now.replace(second=0, microsecond=0)
    values = [(minute - timedelta(minutes=back), 0.2 + (back % 7) / 10 + max(0.0, peak * (1 - back / 12))) for back in range(24 * 60)]
    Reading.objects.bulk_create([Reading(name="stream-lag", at=at, value=value) for at, value in values])


def backup(made: datetime, *, verified: bool = True, **more: Any) -> Backup:
    return Backup.objects.create(
        name=f"{made:%Y-%m-%dT%H%M%SZ}", made_at=made, bytes=734_003_200, verified_at=made + timedelta(minutes=9) if verified else None, **more
    )


def aside(organisation: Organisation, error: str, number: int = 1) -> None:
    now = timezone.now()
    rows = [SetAside(organisation=organisation, shard=1, received_at=now, events=3, payload=b"", error=error) for _number in range(number)]
    SetAside.objects.bulk_create(rows)


def post(title: str, **more: Any) -> Post:
    notice = {"mark": "🔴", "title": title, "body": "Said.", "remedy": "Do it.", "footer": "", "level": "error"}
    return Post.objects.create(**{"kind": Kind.FIRED, "notice": notice, **more})


def healthy(now: datetime) -> None:
    beats(now)
    for declared in ALARMS:
        alarm(declared.name, State.OK, now, since=now - timedelta(days=3))
    readings(now)
    backup(now - timedelta(hours=5))
    post("The stream is behind", delivery=Delivery.SENT, told_at=now - timedelta(days=1))
    Action.objects.create(action="partitions", seen="No partition of Tuesday.", done="Made it.", outcome="It is there.", result=Result.DONE, ended_at=now)


def in_trouble(now: datetime, organisation: Organisation) -> None:
    """The stream was stopped, requests are set aside, and the last backup is old."""
    healthy(now)
    Heartbeat.objects.filter(process__startswith="stream").update(at=now - timedelta(minutes=12))
    Reading.objects.all().delete()
    readings(now, peak=700)
    Backup.objects.all().delete()
    backup(now - timedelta(days=3, hours=2))
    aside(organisation, "KeyError in analytics.stream.store", 12)
    alarm("stream-silent", State.FIRING, now, value=720.0)
    event("stream-silent", State.OK, State.PENDING, now - timedelta(minutes=12), "No stream process has worked for 1 min.")
    event("stream-silent", State.PENDING, State.FIRING, now - timedelta(minutes=11), "No stream process has worked for 1 min.")
    alarm("requests-set-aside", State.FIRING, now, value=12.0)
    event("requests-set-aside", State.OK, State.FIRING, now - timedelta(minutes=9), "Requests set aside: 12.")
    post("The stream is silent", problem="Slack answered 500.", attempts=3)


def much(now: datetime, organisation: Organisation) -> None:
    """50 processes, 200 changes of alarms, 30 causes of what is parked."""
    in_trouble(now, organisation)
    for number in range(6):
        beats(now, machine=f"ip-10-0-2-{number}")
    moves = ((State.OK, State.FIRING), (State.FIRING, State.RESOLVED))
    rows = [AlarmEvent(alarm_id="stream-behind", from_state=a, to_state=b, at=now, sentence=f"Said {n}.") for n in range(100) for a, b in moves]
    AlarmEvent.objects.bulk_create(rows)
    for number in range(30):
        aside(organisation, f"ValueError in analytics.stream.part_{number}", 20)
    Action.objects.bulk_create([Action(action="partitions", seen="Seen.", done="Done.", result=Result.DONE) for _number in range(300)])
