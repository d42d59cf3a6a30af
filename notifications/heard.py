"""What was heard of a campaign's messages: opened, clicked, by whom and when. Counted in messages, each once.

A mail is opened by machines too (scanners, proxies that fetch every picture). So there are three columns, and a message is in one of them: with a
person as soon as one of its opens was a person's; else unknown, as soon as one was; else a machine. The same of clicks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from analytics import binary
from analytics.calendars import Clock, to_date, to_moment
from analytics.stays import Columns, Ints
from notifications.models import MessageEvent
from notifications.proof import Roll

Json = dict[str, Any]
Kind, By = MessageEvent.Kind, MessageEvent.By
WHO: Final = (By.PERSON.value, By.UNKNOWN.value, By.MACHINE.value)  # whoever stands first has the message
_KINDS: Final = (Kind.DELIVERY.value, Kind.OPEN.value, Kind.CLICK.value, Kind.UNSUBSCRIBE.value)
_MACHINE: Final = WHO.index(By.MACHINE)
_HOURS: Final = timedelta(hours=72)  # what takes no longer is told by the hour
_HOUR_US: Final = 3_600_000_000
_EVENT: Final = {
    "message": ("int8", "e.message_id"),
    "kind": ("int2", "array_position(%(kinds)s::text[], e.kind::text)::int2"),
    "by": ("int2", "coalesce(array_position(%(who)s::text[], e.by::text), 2)::int2"),
    "link": ("int8", "coalesce(e.link_id, 0)"),
    "at": ("timestamptz", "e.at"),
}


@dataclass(frozen=True, slots=True)
class Events(Columns):
    message: Ints
    kind: Ints  # indexes _KINDS
    by: Ints  # indexes WHO
    link: Ints  # 0: of one shopper alone, or none
    at: Ints


@dataclass(slots=True)
class Engagement:
    """`totals` by variant (0: all), `rows` by period and variant: {"sent", "delivered", "opened", "clicked", "unsubscribed"}."""

    bucket: str
    totals: dict[int, Json]
    rows: list[Json] = field(default_factory=list)
    links: dict[int, Json] = field(default_factory=dict)


def read(cursor: binary.Cursor, organisation: int, everybody: Roll) -> Events:
    """What was heard of these messages. They lie close together, so what lies between them is read too, and left."""
    source = """FROM notifications_messageevent e WHERE e.message_id BETWEEN %(first)s AND %(last)s
                 AND e.kind = ANY(%(kinds)s) AND e.organisation_id = %(organisation)s"""
    edges = {"first": int(everybody.id[0]), "last": int(everybody.id[-1])} if len(everybody.id) else {"first": 0, "last": -1}
    found = binary.fetch(cursor, _EVENT, source, {**edges, "kinds": list(_KINDS), "who": list(WHO), "organisation": organisation})
    found["kind"] -= 1
    found["by"] -= 1
    events = Events(**found)
    place = np.searchsorted(everybody.id, events.message)
    return events.take(everybody.id[np.minimum(place, len(everybody.id) - 1)] == events.message) if len(everybody.id) else events


def summed(everybody: Roll, events: Events, *, zone: str) -> Engagement:
    """Told by the hour where all that was heard took three days or less, else by the day of the campaign's clock."""
    sent = everybody.take(everybody.sent_at > 0)
    heard = {kind: _once(events.take(events.kind == _KINDS.index(kind))) for kind in _KINDS}
    instants = np.concatenate([sent.sent_at, *(one.at for one in heard.values())])
    hourly = not len(instants) or int(instants.max() - instants.min()) <= _HOURS // timedelta(microseconds=1)
    clock = Clock(ZoneInfo(zone).key)

    def period(at: Ints) -> Ints:
        return at // _HOUR_US if hourly else clock.days_of(at)

    tables = {"sent": (period(sent.sent_at), sent.variant, np.zeros(len(sent.id), np.int64))}
    for name, kind in (("delivered", Kind.DELIVERY), ("opened", Kind.OPEN), ("clicked", Kind.CLICK), ("unsubscribed", Kind.UNSUBSCRIBE)):
        one = heard[kind.value]
        tables[name] = period(one.at), everybody.variant[np.searchsorted(everybody.id, one.message)], one.by
    periods = np.unique(np.concatenate([period for period, _, _ in tables.values()]))
    variants = np.unique(everybody.variant[everybody.variant > 0])
    cells = {name: _cells(periods, variants, *table) for name, table in tables.items()}
    made = Engagement("hour" if hourly else "day", {0: _told({name: cell.sum(axis=(0, 1)) for name, cell in cells.items()})})
    for column, variant in enumerate(variants.tolist()):
        made.totals[variant] = _told({name: cell[:, column].sum(axis=0) for name, cell in cells.items()})
    for row, number in enumerate(periods.tolist()):
        label = to_moment(number * _HOUR_US).strftime("%Y-%m-%dT%H:%M:%SZ") if hourly else to_date(number).isoformat()
        for column, variant in enumerate(variants.tolist()):
            figures = {name: cell[row, column] for name, cell in cells.items()}
            if any(one.any() for one in figures.values()):
                made.rows.append({"period": label, "variant": variant, **_told(figures)})
    made.links = _links(events)
    return made


def _once(events: Events) -> Events:
    """The first event of each message, of whoever has it."""
    order = np.lexsort((events.at, events.by, events.message))
    events = events.take(order)
    first = np.ones(len(order), np.bool_)
    first[1:] = events.message[1:] != events.message[:-1]
    return events.take(first)


def _cells(periods: Ints, variants: Ints, period: Ints, variant: Ints, who: Ints) -> Ints:
    """Counts by period, variant and who."""
    known = np.isin(variant, variants)
    row, column = np.searchsorted(periods, period[known]), np.searchsorted(variants, variant[known])
    shape = (len(periods), len(variants), len(WHO))
    flat = np.ravel_multi_index((row, column, who[known]), shape) if len(row) else np.empty(0, np.int64)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)


def _told(figures: dict[str, Ints]) -> Json:
    plain = {name: int(figures[name].sum()) for name in ("sent", "delivered", "unsubscribed")}
    return plain | {name: dict(zip(WHO, figures[name].tolist(), strict=True)) for name in ("opened", "clicked")}


def _links(events: Events) -> dict[int, Json]:
    """By link: clicks that were no machine's, the messages that they were in, and the clicks of machines."""
    clicks = events.take(events.kind == _KINDS.index(Kind.CLICK.value))
    found = {}
    for link in np.unique(clicks.link).tolist():
        its = clicks.take(clicks.link == link)
        people = its.take(its.by != _MACHINE)
        found[link] = {"clicks": len(people.message), "messages": len(np.unique(people.message)), "machine": len(its.message) - len(people.message)}
    return found


def ordered(links: dict[int, Json], urls: Sequence[tuple[int, str]]) -> list[Json]:
    """Most clicked first; those that nobody clicked too. `url` is null for what led each shopper to a place of his own."""
    named = [{"url": url, **links.get(number, {"clicks": 0, "messages": 0, "machine": 0})} for number, url in urls]
    unnamed = [{"url": None, **links[0]}] if 0 in links else []
    return sorted(named + unnamed, key=lambda row: (-row["clicks"], row["url"] or ""))
