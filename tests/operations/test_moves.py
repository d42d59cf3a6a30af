"""People move alarms too: acknowledged, silenced, heard again. Who did it is in the history, and not in Slack."""

from datetime import datetime, timedelta
from typing import Final

import pytest

from engagement.models import Organisation, SetAside
from operations import evaluation
from operations.alarms import DECLARED
from operations.models import Alarm, AlarmEvent, Incident, Post, State
from tests.operations.conftest import Scheduler, told
from tests.operations.fake_slack import FakeSlack

NAME: Final = "requests-set-aside"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "ALARMS", (DECLARED[NAME],))


def poison(organisation: Organisation, number: int = 1, at: datetime | None = None) -> None:
    rows = [
        SetAside(organisation=organisation, shard=1, received_at=at or datetime.now().astimezone(), events=1, payload=b"", error="E") for _ in range(number)
    ]
    SetAside.objects.bulk_create(rows)


@pytest.fixture
def firing(db: None, acme: Organisation, scheduler: Scheduler) -> Scheduler:
    scheduler.now -= timedelta(days=3)
    poison(acme)
    scheduler.run(minutes=1)
    assert state() == State.FIRING
    return scheduler


def state() -> str:
    return Alarm.objects.get().state


def history() -> list[tuple[str, str, str]]:
    return list(AlarmEvent.objects.order_by("pk").values_list("from_state", "to_state", "by"))


def kinds() -> list[str]:
    return [kind for _name, kind, _how in told()]


def test_somebody_who_is_at_it_is_in_the_history_and_not_in_slack(firing: Scheduler, slack: FakeSlack) -> None:
    evaluation.acknowledge(NAME, "alice@acme.example.com", firing.now)
    assert state() == State.ACKNOWLEDGED
    SetAside.objects.all().delete()
    firing.run(minutes=3)
    assert history() == [("ok", "firing", ""), ("firing", "acknowledged", "alice@acme.example.com"), ("acknowledged", "resolved", "")]
    assert kinds() == ["fired", "changed", "over"]
    assert "alice" not in str(list(Post.objects.values_list("notice", flat=True)))


def test_whoever_was_at_it_for_a_day_is_not_any_more(firing: Scheduler) -> None:
    evaluation.acknowledge(NAME, "alice", firing.now)
    firing.now += timedelta(hours=23)
    firing.evaluate()
    assert state() == State.ACKNOWLEDGED
    firing.now += timedelta(hours=1)
    firing.evaluate()
    assert state() == State.FIRING
    assert Incident.objects.count() == 1 and kinds().count("fired") == 1  # the same trouble, and the same thread


def test_a_silence_that_runs_out_while_it_is_wrong_fires_again(firing: Scheduler, slack: FakeSlack) -> None:
    evaluation.silence(NAME, firing.now + timedelta(hours=1), "alice", firing.now)
    assert state() == State.SILENCED
    posts = Post.objects.count()
    firing.run(minutes=59)
    assert (state(), Post.objects.count()) == (State.SILENCED, posts)  # not even every hour
    firing.run(minutes=2)
    assert state() == State.FIRING and Alarm.objects.get().silent_until is None
    assert history()[1:] == [("firing", "silenced", "alice"), ("silenced", "firing", "")]
    assert kinds().count("fired") == 1


def test_a_silence_is_lengthened_and_ended_by_hand(firing: Scheduler) -> None:
    evaluation.silence(NAME, firing.now + timedelta(minutes=10), "alice", firing.now)
    evaluation.silence(NAME, firing.now + timedelta(hours=2), "bob", firing.now)
    firing.run(minutes=30)
    assert state() == State.SILENCED
    evaluation.unsilence(NAME, "carol", firing.now)
    assert state() == State.FIRING
    assert history()[1:] == [("firing", "silenced", "alice"), ("silenced", "firing", "carol")]
    with pytest.raises(evaluation.IllegalMove):
        evaluation.unsilence(NAME, "carol", firing.now)


def test_what_comes_and_goes_in_a_silence_is_told_to_nobody_and_is_in_the_history(db: None, acme: Organisation, scheduler: Scheduler, slack: FakeSlack) -> None:
    scheduler.run(minutes=1)
    evaluation.silence(NAME, scheduler.now + timedelta(hours=8), "alice", scheduler.now)  # ahead of a night's work
    assert state() == State.OK
    poison(acme)
    scheduler.run(minutes=5)
    SetAside.objects.all().delete()
    scheduler.run(minutes=5)
    assert history() == [("ok", "silenced", "alice"), ("silenced", "resolved", "")]
    assert (told(), slack.requests) == ([], 0)
    poison(acme)
    scheduler.run(minutes=1)
    assert state() == State.SILENCED
    scheduler.now += timedelta(hours=8)
    scheduler.run(minutes=1)
    assert slack.titles == ["🟠 Requests are set aside"]  # still wrong when the silence ends: now it is told, for the first time
    assert kinds() == ["fired"]


def test_what_is_not_wrong_is_not_acknowledged_and_a_silence_has_its_bounds(db: None, acme: Organisation, scheduler: Scheduler) -> None:
    scheduler.evaluate()
    for until in (scheduler.now, scheduler.now - timedelta(hours=1), scheduler.now + timedelta(days=31)):
        with pytest.raises(evaluation.IllegalMove):
            evaluation.silence(NAME, until, "alice", scheduler.now)
    with pytest.raises(evaluation.IllegalMove):
        evaluation.acknowledge(NAME, "alice", scheduler.now)
    with pytest.raises(evaluation.IllegalMove):
        evaluation.acknowledge("never-declared", "alice", scheduler.now)
    assert history() == [] and Alarm.objects.get().silent_until is None


def test_while_it_lasts_it_is_told_again_where_it_grew_and_every_hour(firing: Scheduler, acme: Organisation) -> None:
    poison(acme, 8)
    firing.run(minutes=3)
    assert kinds() == ["fired"]  # it has only just been told
    firing.run(minutes=3)
    assert kinds() == ["fired", "changed"]
    assert "9. Their events are kept" in str(Post.objects.order_by("-pk")[0].notice)
    poison(acme, 5)
    firing.run(minutes=55)
    assert kinds() == ["fired", "changed"]  # by less than as much again
    firing.run(minutes=8)
    assert kinds() == ["fired", "changed", "changed"]


def test_an_alarm_that_is_declared_no_more_is_let_go(firing: Scheduler, slack: FakeSlack) -> None:
    Alarm.objects.create(name="of-an-older-release", state=State.FIRING, since=firing.now, evaluated_at=firing.now)
    Alarm.objects.create(name="another", state=State.PENDING, since=firing.now, evaluated_at=firing.now)
    firing.evaluate()
    assert dict(Alarm.objects.exclude(name=NAME).values_list("name", "state")) == {"of-an-older-release": "resolved", "another": "ok"}


def test_a_release_that_reads_less_often_than_a_round_is_read_when_it_is_due(
    db: None, acme: Organisation, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[datetime] = []
    slow = DECLARED["work-parked"]  # once a minute
    monkeypatch.setattr(evaluation, "ALARMS", (evaluation.Declaration(**{**slow.__dict__, "read": lambda now: float(bool(asked.append(now)))}),))
    scheduler.run(minutes=5)
    assert len(asked) == 5
