"""What waits to be told, told in order, line by line: the operators', then each organisation's own. One message at a time, outside any transaction.

The row is the queue. Only the first waiting row of a line may be claimed, so two processes never change its order. A process that
dies between Slack's yes and its own note leaves the claim to run out, and the message is sent again: of trouble better twice than never.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Min, Q, QuerySet

from engagement.faults import point
from notifications import governor
from operations import composing, sealing, slack, ways
from operations.models import Delivery, Incident, Kind, NewsChannel, Post
from operations.slack import Place
from operations.ways import Way

log = logging.getLogger("atrium.alarm")
Clock = Callable[[], datetime]

TOGETHER: Final = 5  # messages of a line in one go; what gathered while Slack was away comes in portions
LINE_FOR_S: Final = 20.0  # and no message is begun later than this: whoever calls has other things to look at
GROUPED: Final = 3  # alarms that wait together from which on they are one message
LOOK_AHEAD: Final = 100  # posts that may become one message
CLAIM: Final = timedelta(minutes=3)  # far longer than one message takes, so that an older claim is a dead one's
UNSURE_FIRST: Final = timedelta(seconds=20)  # doubled each time: a Slack that takes messages and answers too late would be flooded with copies
UNSURE_LONGEST: Final = timedelta(minutes=10)
NEWS_LONGEST: Final = timedelta(hours=1)  # between two tries of news; an address that was withdrawn is asked no more often
NEWS_LATEST: Final = timedelta(days=7)  # later nobody wants them
NEWS_FOR_S: Final = 10.0  # in one go, so that the operators' line is never kept waiting for long
STEADY: Final = timedelta(
    minutes=30
)  # how long an alarm that came back stays away until its end is told, where no message can be edited: later it is another trouble
MAIL_AFTER: Final = timedelta(minutes=5)
_mail_not_before: dict[str, datetime] = {}  # of this process, after a mail that did not leave


@dataclass(frozen=True)
class Batch:
    """What is told with one message: the first post of a line, and those that go with it."""

    first: Post
    others: list[Post] = field(default_factory=list)  # of its kind
    ends: dict[int, Post] = field(default_factory=dict)  # of alarms in it that are over by now, by incident
    passed: list[Post] = field(default_factory=list)  # need not be told any more

    @property
    def posts(self) -> list[Post]:
        return [self.first, *self.others]


def tell_waiting(now: datetime) -> int:
    """Returns how many messages were sent. A line stops at the first that has to wait: those behind it are younger."""
    clock = _clock(now)
    told = _tell_line(None, ways.operators(), clock)
    _mail_what_waits(clock())
    return told + _tell_news(clock)


def _clock(now: datetime) -> Clock:
    began = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - began)


def _tell_line(organisation: int | None, way: Way, clock: Clock) -> int:
    until = time.monotonic() + LINE_FOR_S
    for told in range(TOGETHER):
        batch = _claim(organisation, way, clock()) if time.monotonic() < until else None
        if batch is None or not _tell(batch, way, clock):
            return told
    return TOGETHER


# --- What is next -----------------------------------------------------------------------------------------------------------


def _line(organisation: int | None, now: datetime) -> QuerySet[Post]:
    """Waiting, in order. An end that is held back, until it is sure to be one, keeps nobody waiting."""
    held = Q(kind=Kind.OVER, attempts=0, not_before__gt=now)
    waiting = Post.objects.filter(organisation=organisation, delivery=Delivery.WAITING).exclude(held)
    return waiting.select_related("incident").order_by("pk")


def _claim(organisation: int | None, way: Way, now: datetime) -> Batch | None:
    """The first of the line, unless it has to wait or another process is at it. One guarded UPDATE: of two processes, one gets it."""
    while (first := _line(organisation, now).first()) is not None and first.not_before <= now:
        free = Post.objects.filter(pk=first.pk, delivery=Delivery.WAITING, attempts=first.attempts, not_before__lte=now)
        fate = _fate(first, way, now)
        if fate:
            free.update(**fate)
            continue
        if not free.update(not_before=now + CLAIM, attempts=F("attempts") + 1):
            return None
        first.refresh_from_db(fields=["attempts", "not_before"])
        return _gathered(first, way, now)
    return None


def _fate(post: Post, way: Way, now: datetime) -> dict[str, Any]:
    """What becomes of a post that is not told now; empty where it is."""
    not_needed = {"delivery": Delivery.NOT_NEEDED, "told_at": now}
    incident = post.incident
    if post.kind == Kind.NEWS:
        return not_needed if now - post.created_at > NEWS_LATEST else {}
    if incident is None:
        return {}
    if post.kind == Kind.CHANGED:
        return {} if (way.edits and incident.thread) or _is_thought_over(incident) else not_needed
    if post.kind == Kind.OVER:
        if incident.over_at is None or Post.objects.filter(incident=incident, kind=Kind.OVER, pk__gt=post.pk).exists():
            return not_needed  # it goes on, or was over again later
        steady_at = incident.over_at + STEADY
        if incident.firings > 1 and not post.attempts and steady_at > now and not (way.edits and incident.thread):
            return {"not_before": steady_at}
    return {}


def _is_thought_over(incident: Incident) -> bool:
    """Whether the last that people heard of it is that it is over, and it is not."""
    heard = Post.objects.filter(incident=incident).exclude(delivery__in=[Delivery.WAITING, Delivery.NOT_NEEDED])
    return incident.over_at is None and heard.order_by("-pk").values_list("kind", flat=True).first() == Kind.OVER


def _gathered(first: Post, way: Way, now: datetime) -> Batch:
    """With those behind it that become one message with it. Nobody else can have claimed them: they are not the first."""
    behind = list(_line(first.organisation_id, now).filter(pk__gt=first.pk)[:LOOK_AHEAD])
    if first.kind == Kind.FIRED:
        return _beginnings(first, behind, way, now)
    if first.kind == Kind.OVER:
        return Batch(first, _ends_beside(first, behind, way, now))
    return Batch(first)


def _beginnings(first: Post, behind: Sequence[Post], way: Way, now: datetime) -> Batch:
    fired, ends, changed = [first], {}, []
    for post in behind:
        if post.kind == Kind.FIRED:
            fired.append(post)
        elif post.kind == Kind.CHANGED:
            changed.append(post)
        elif post.kind != Kind.OVER or post.incident_id is None or post.incident_id not in {one.incident_id for one in fired}:
            break
        elif not _fate(post, way, now):
            ends[post.incident_id] = post
    if len(fired) < GROUPED:
        del fired[1:]
    told = {post.incident_id for post in fired}
    ends = {incident: post for incident, post in ends.items() if incident in told}
    return Batch(first, fired[1:], ends, [post for post in changed if post.incident_id in ends])


def _ends_beside(first: Post, behind: Sequence[Post], way: Way, now: datetime) -> list[Post]:
    found: list[Post] = []
    for post in behind:
        if post.kind == Kind.CHANGED:
            continue
        if post.kind != Kind.OVER or (way.edits and _place(post) != _place(first)):
            break
        if not _fate(post, way, now):
            found.append(post)
    return found if len(found) + 1 >= GROUPED else []


def _place(post: Post) -> Place:
    """Of the message that told of its incident."""
    return Place(post.incident.channel, post.incident.thread) if post.incident else Place()


# --- Telling ----------------------------------------------------------------------------------------------------------------


def _tell(batch: Batch, way: Way, clock: Clock) -> bool:
    """Whether the line goes on."""
    first = batch.first
    try:
        place = _say(batch, way)
    except slack.TryLater as problem:
        if first.attempts == 1:
            _complain(batch, "A message cannot be told (%s). The message is kept, and sent when it can be.", problem)
        Post.objects.filter(pk=first.pk).update(not_before=clock() + _pause(first, problem), problem=str(problem))
        return False
    except slack.NotTold as problem:
        _complain(batch, "Slack refuses a message (%s), so it is told here.", problem)
        _note(batch, Place(), delivery=Delivery.REFUSED, told_at=clock(), problem=str(problem))
        return True
    point("tell.before_note")
    mailed = {"mailed_at": clock()} if way.told == Delivery.MAILED else {}
    _note(batch, place, delivery=way.told, told_at=clock(), problem="", **mailed)
    return True


def _say(batch: Batch, way: Way) -> Place:
    """One message, or, of a trouble that has one: that changed, and an answer below it."""
    if batch.first.kind == Kind.FIRED:
        return way.tell(composing.begun(batch.posts, batch.ends))
    notice = composing.over(batch.posts) if batch.first.kind == Kind.OVER else composing.notice(batch.first)
    place = _place(batch.first)
    if not (way.edits and place):
        return way.tell(notice)
    with suppress(slack.Gone):  # somebody deleted it
        way.change(place, composing.standing(*_as_it_stands(place, batch.posts)))
    try:
        return way.tell(notice, thread=place.stamp)
    except slack.Gone:
        return way.tell(notice)


def _as_it_stands(place: Place, posts: Sequence[Post]) -> tuple[list[Post], dict[int, Post]]:
    """The posts that the message at a place told, and the latest of each of their incidents that is told by now, with these."""
    told = Post.objects.filter(incident__channel=place.channel, incident__thread=place.stamp).exclude(delivery=Delivery.NOT_NEEDED).select_related("incident")
    fired = list(told.filter(kind=Kind.FIRED).order_by("pk"))
    since = told.exclude(kind=Kind.FIRED).filter(~Q(delivery=Delivery.WAITING) | Q(pk__in=[post.pk for post in posts]))
    return fired, {post.incident_id: post for post in since.order_by("pk") if post.incident_id}


def _pause(post: Post, problem: slack.TryLater) -> timedelta:
    """What Slack asked for, or until the next evaluation; longer and longer where the message may have arrived, and of news in any case."""
    longer = UNSURE_FIRST * (1 << min(post.attempts - 1, 10))
    if post.kind == Kind.NEWS:
        return max(min(longer, NEWS_LONGEST), problem.wait)
    return min(longer, UNSURE_LONGEST) if problem.unsure else problem.wait


def _note(batch: Batch, place: Place, **fields: Any) -> None:
    """What was told, and where it stands, is one commit: who tells the next of an incident has to find its thread."""
    with transaction.atomic():
        Post.objects.filter(pk__in=[post.pk for post in (*batch.posts, *batch.ends.values())]).update(**fields)
        Post.objects.filter(pk__in=[post.pk for post in batch.passed]).update(delivery=Delivery.NOT_NEEDED, told_at=fields["told_at"])
        if place and batch.first.kind == Kind.FIRED:
            incidents = [post.incident_id for post in batch.posts if post.incident_id]
            Incident.objects.filter(pk__in=incidents).update(channel=place.channel, thread=place.stamp)


def _complain(batch: Batch, why: str, problem: slack.NotTold) -> None:
    """What operators would have been told, with why they are not. An organisation's news are none of theirs; its page says how they stand."""
    if batch.first.organisation_id is not None:
        log.warning("News of organisation %s cannot be told (%s).", batch.first.organisation_id, problem)
        return
    log.error(why, problem)
    for post in batch.posts:
        ways.write(composing.notice(post))


# --- By mail, while Slack is away -------------------------------------------------------------------------------------------


def _mail_what_waits(now: datetime) -> None:
    """Once each, whatever becomes of it in Slack. Noted before it leaves: Slack will tell it in any case."""
    way = ways.by_mail()
    if way is None or ways.operators().told != Delivery.SENT or now < _mail_not_before.get("", now):
        return
    late = _line(None, now).filter(mailed_at=None, created_at__lte=now - MAIL_AFTER).exclude(kind=Kind.CHANGED)
    claimed = [post for post in late[:LOOK_AHEAD] if Post.objects.filter(pk=post.pk, delivery=Delivery.WAITING, mailed_at=None).update(mailed_at=now)]
    if not claimed:
        return
    try:
        way.tell(composing.gathered(claimed))
    except slack.TryLater as problem:
        log.error("What Slack does not take cannot be mailed either (%s). Both are tried again.", problem)
        _mail_not_before[""] = now + problem.wait
        Post.objects.filter(pk__in=[post.pk for post in claimed]).update(mailed_at=None)


# --- News -------------------------------------------------------------------------------------------------------------------


def _tell_news(clock: Clock) -> int:
    """Each organisation's line in its own channel, for a while; who waited longest comes first.

    The channels are in the database, so a copy of it that was brought up elsewhere keeps silent, as it sends no campaigns.
    """
    due = Post.objects.filter(kind=Kind.NEWS, delivery=Delivery.WAITING)
    lines = due.values("organisation").annotate(since=Min("not_before")).filter(since__lte=clock()).order_by("since")
    waiting = list(lines.values_list("organisation", flat=True))
    if not waiting or not governor.at_home():
        return 0
    until, told = time.monotonic() + NEWS_FOR_S, 0
    for organisation in waiting:
        if time.monotonic() > until:
            break
        told += _tell_organisation(organisation, clock)
    return told


def _tell_organisation(organisation: int, clock: Clock) -> int:
    line = Post.objects.filter(organisation=organisation, delivery=Delivery.WAITING)
    channel = NewsChannel.objects.filter(organisation=organisation).first()
    if channel is None:  # taken away, and what waited for it with it
        line.update(delivery=Delivery.NOT_NEEDED, told_at=clock())
        return 0
    try:
        way = ways.marketers(channel)
    except sealing.Unreadable:
        line.update(not_before=clock() + NEWS_LONGEST)
        NewsChannel.objects.filter(pk=channel.pk).update(problem="SECRET_KEY is another than when it was set")
        return 0
    told = _tell_line(organisation, way, clock)
    problem = line.exclude(problem="").order_by("pk").values_list("problem", flat=True).first() or ""
    NewsChannel.objects.filter(pk=channel.pk).exclude(problem=problem).update(problem=problem)
    return told
