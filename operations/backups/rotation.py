"""Pure: which backups are kept. All of the last day before the newest, then the newest of each day, week and month that has any, so many of each; and
always one that is known to be good."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

ALL_OF: Final = timedelta(
    hours=23
)  # whoever makes one by hand before a change still has it after the next; and less than a day, so that daily ones do not count twice
DAYS: Final = 7
WEEKS: Final = 4
MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Made:
    """A whole backup: its name, the instant that it shows, and whether it was ever restored to see."""

    name: str
    at: datetime
    verified: bool = False


def _day(at: datetime) -> Hashable:
    return at.date()


def _week(at: datetime) -> Hashable:
    return at.isocalendar()[:2]


def _month(at: datetime) -> Hashable:
    return at.year, at.month


KEPT: Final[tuple[tuple[Callable[[datetime], Hashable], int], ...]] = ((_day, DAYS), (_week, WEEKS), (_month, MONTHS))


def kept(backups: Iterable[Made]) -> set[str]:
    """The names of those that stay. By UTC days, ISO weeks and months; those without a backup do not count, so a long pause removes nothing."""
    newest_first = sorted(backups, key=lambda one: (one.at, one.name), reverse=True)
    stay = {one.name for one in newest_first if newest_first[0].at - one.at <= ALL_OF}
    stay.update([one.name for one in newest_first if one.verified][:1])
    for period_of, most in KEPT:
        newest: dict[Hashable, str] = {}
        for one in newest_first:
            newest.setdefault(period_of(one.at.astimezone(UTC)), one.name)
        stay.update(list(newest.values())[:most])
    return stay


def doomed(backups: Iterable[Made]) -> list[str]:
    """The names of those that go, the oldest first."""
    known = list(backups)
    stay = kept(known)
    return [one.name for one in sorted(known, key=lambda one: (one.at, one.name)) if one.name not in stay]
