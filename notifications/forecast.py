"""How long it will take to tell so many, and what quiet hours will do to it. Pure.

People who live by the same clocks are one group. While a group is awake it shares the pace with the others; when its quiet hours begin, who is left
of it waits or is dropped, as the campaign says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from notifications.schedule import Quiet

MOST_STEPS: Final = 5_000  # years of nights


@dataclass
class Group:
    people: float
    ready_at: datetime
    clocks: tuple[ZoneInfo, ...] = ()


@dataclass
class Forecast:
    held: int = 0  # wait for a morning, at least once
    dropped: int = 0
    until: datetime | None = None  # when the last of those held may be told
    finish_at: datetime | None = None  # None: never, or not within years
    _waited: set[int] = field(default_factory=set)


def forecast(groups: Sequence[Group], quiet: Quiet | None, rate: float | None) -> Forecast:
    """`rate`: messages a second; None: as fast as they go, which counts as no time."""
    told, waiting = Forecast(), [Group(group.people, group.ready_at, group.clocks) for group in groups if group.people > 0]
    if not waiting:
        return told
    now = min(group.ready_at for group in waiting)
    for _ in range(MOST_STEPS):
        if quiet:
            _put_to_sleep(told, waiting, quiet, now)
        waiting = [group for group in waiting if group.people > 1e-6]
        if not waiting:
            return told
        awake = [group for group in waiting if group.ready_at <= now]
        if not awake:
            now = min(group.ready_at for group in waiting)
            continue
        if rate is not None and rate <= 0:
            break
        now = _tell(told, waiting, awake, quiet, rate, now)
    told.finish_at = None
    return told


def _put_to_sleep(told: Forecast, waiting: Sequence[Group], quiet: Quiet, now: datetime) -> None:
    for group in waiting:
        if group.ready_at > now or (free := quiet.free(now, group.clocks)) == now:
            continue
        if quiet.hold and free is not None:
            if id(group) not in told._waited:
                told.held += round(group.people)
                told._waited.add(id(group))
            group.ready_at, told.until = free, max(free, told.until or free)
        else:
            told.dropped += round(group.people)
            group.people = 0


def _tell(told: Forecast, waiting: Sequence[Group], awake: Sequence[Group], quiet: Quiet | None, rate: float | None, now: datetime) -> datetime:
    """As many as can be told before somebody wakes or falls asleep; the instant at which that is done."""
    people = sum(group.people for group in awake)
    ends = [group.ready_at for group in waiting if group.ready_at > now]
    ends += [at for group in awake for at in (quiet.changes(now, group.clocks) if quiet else ())]
    done = now + timedelta(seconds=people / rate if rate else 0)
    until = min([done, *ends])
    share = 1.0 if done <= until else (until - now).total_seconds() * (rate or 0) / people
    for group in awake:
        group.people *= 1 - share
    told.finish_at = until
    return until
