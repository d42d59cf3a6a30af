"""Alarms about what comes in: refused, set aside, rejected; and places from which nothing comes any more.

What should have come is judged by what came at the same time on other days: a shop that sleeps on Sundays is not silent on a Sunday. Whoever
has no history of a week is not judged. While the stream is behind, silence is judged as of the last request that it has taken.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from analytics.models import Stay
from engagement import opening
from engagement.models import Inbox, SetAside, Venue
from engagement.protocols.refusals import Reason
from operations import work
from operations.alarms import declaration
from operations.alarms.declaration import Declaration, Found, Severity, count, exact, percent

REFUSED_IN: Final = timedelta(minutes=5)
SILENT_FOR: Final = timedelta(minutes=30)  # a venue; a phone that is inside tells of itself every few minutes
BEACON_SILENT_FOR: Final = timedelta(hours=1)  # a beacon is heard by those alone who pass it
LEAST_STAYS: Final = 3  # that began in such a span, for a day to count as one on which somebody was there
LEAST_DAYS: Final = 3  # such days among the six before, beside the same day of last week
EVENTS_JUDGED: Final = 200  # an organisation with fewer events in two hours: a share of them says nothing
EVENTS_OF_HISTORY: Final = 1000
MORE_THAN_USUAL: Final = 0.2  # twenty of a hundred events: what a faulty release of an app makes at once, and a few wrong clocks do not


# --- Refused, set aside, rejected -----------------------------------------------------------------------------------------


def requests_refused(now: datetime) -> Found:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT o.key, sum(r.requests) FROM engagement_refusal r JOIN engagement_organisation o ON o.id = r.organisation_id
               WHERE r.minute > %s AND r.minute <= %s GROUP BY o.key ORDER BY 2 DESC, 1""",
            [now - REFUSED_IN, now],
        )
        found = cursor.fetchall()
    return Found(float(sum(number for _key, number in found)), tuple(key for key, _number in found))


def requests_set_aside(now: datetime) -> float:
    return SetAside.objects.filter(replayed_at=None)[: declaration.COUNTED_UP_TO].count()


def parked(now: datetime) -> Found:
    """Messages and notices that were tried often enough, by kind; requests that are set aside have an alarm of their own."""
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        for kind in work.kinds():
            if kind.name != "requests":
                cursor.execute(f"SELECT count(*) FROM (SELECT 1 FROM ({kind.parked}) p LIMIT {declaration.COUNTED_UP_TO}) c")
                [(found[kind.name],)] = cursor.fetchall()
    return Found(min(sum(found.values()), declaration.COUNTED_UP_TO), tuple(name for name, number in found.items() if number))


# Two hours, since the one that has just begun says little; each behind the organisation's own index.
_OUTCOMES: Final = """
    SELECT o.key, n.hour >= %(since)s, sum(n.events), sum(n.events) FILTER (WHERE n.outcome = ANY(%(refused)s))
    FROM engagement_organisation o JOIN engagement_outcome n ON n.organisation_id = o.id AND n.hour = ANY(%(hours)s)
    GROUP BY 1, 2
"""


def outcomes_over_usual(now: datetime) -> Found:
    """By how much the share of rejected events is over that of the same hours of the last seven days; of the organisation with the most."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [hour - timedelta(days=back, hours=one) for back in range(8) for one in (0, 1)]
    with connection.cursor() as cursor:
        cursor.execute(_OUTCOMES, {"since": hour - timedelta(hours=1), "hours": hours, "refused": [reason.value for reason in Reason]})
        told = {(key, lately): (float(events), float(refused or 0)) for key, lately, events, refused in cursor.fetchall()}
    over = {}
    for key in {key for key, _lately in told}:
        events, refused = told.get((key, True), (0.0, 0.0))
        before, refused_before = told.get((key, False), (0.0, 0.0))
        usual = refused_before / before if before >= EVENTS_OF_HISTORY else 0.0  # somebody new is judged, as one who should have none
        if events >= EVENTS_JUDGED:
            over[key] = refused / events - usual
    most = max(over.values(), default=0.0)
    wrong = sorted((key for key, value in over.items() if value > MORE_THAN_USUAL), key=lambda key: (-over[key], key))
    return Found(max(most, 0.0), tuple(wrong))


# --- Silence ----------------------------------------------------------------------------------------------------------------


def venues_silent(now: datetime) -> Found:
    """Venues at which, in their opening hours, no visit has begun for half an hour, though it does at this time."""
    at = _processed_until(now)
    venues = [venue for venue in _venues().exclude(opening_hours=None) if _open_throughout(venue, at - SILENT_FOR, at)]
    quiet = [venue for venue in venues if not _began(venue, at - SILENT_FOR, at, 1)]
    silent = tuple(sorted(venue.key for venue in quiet if _usually_busy(venue, at)))
    return Found(len(silent), silent)


def _usually_busy(venue: Any, at: datetime) -> bool:
    def busy(back: int) -> bool:
        until = (at.astimezone(ZoneInfo(venue.time_zone)) - timedelta(days=back)).astimezone(UTC)  # the same time on the venue's wall
        return _began(venue, until - SILENT_FOR, until, LEAST_STAYS) >= LEAST_STAYS

    return busy(7) and sum(busy(back) for back in range(1, 7)) >= LEAST_DAYS


def _began(venue: Any, since: datetime, until: datetime, at_most: int) -> int:
    return Stay.objects.filter(zone_id=venue.root, started__gt=since, started__lte=until)[:at_most].count()


def _venues() -> Any:
    return Venue.objects.filter(zones__kind="venue").annotate(root=F("zones__id")).order_by("pk")


# Of each beacon that hangs somewhere: when it was heard last, and on which of the seven days before it was, in the two hours that this one is part of.
_HEARD: Final = """
    SELECT b.key, z.venue_id, (SELECT max(h.at) FROM analytics_beaconheard h WHERE h.beacon_id = b.id AND h.hour >= %(lately)s),
           ARRAY(SELECT d FROM generate_series(1, 7) d
                 WHERE (SELECT count(*) FROM analytics_beaconheard h WHERE h.beacon_id = b.id AND h.hour IN (%(hour)s - 24 * d, %(hour)s - 24 * d - 1)) = 2)
    FROM engagement_beacon b
    JOIN engagement_beaconplacement p ON p.beacon_id = b.id AND p.valid_to IS NULL
    JOIN engagement_zone z ON z.id = p.zone_id
    WHERE EXISTS (SELECT 1 FROM analytics_beaconheard h WHERE h.beacon_id = b.id AND h.hour BETWEEN %(hour)s - 7 * 24 - 1 AND %(hour)s - 7 * 24)
    ORDER BY b.key
"""


def beacons_silent(now: datetime) -> Found:
    """Beacons that nobody has heard for an hour, in the opening hours of their venue, though they are heard at this time."""
    at = _processed_until(now)
    hour = int(at.timestamp() // 3600)
    with connection.cursor() as cursor:
        cursor.execute(_HEARD, {"hour": hour, "lately": hour - 2})
        told = cursor.fetchall()
    silent = [(key, venue) for key, venue, last, days in told if (last is None or at - last > BEACON_SILENT_FOR) and 7 in days and len(days) > LEAST_DAYS]
    venues = {venue.pk: venue for venue in Venue.objects.filter(pk__in={venue for _key, venue in silent})}
    names = tuple(key for key, venue in silent if _open_throughout(venues[venue], at - BEACON_SILENT_FOR, at))
    return Found(len(names), names)


def _open_throughout(venue: Any, since: datetime, until: datetime) -> bool:
    if venue.opening_hours is None:
        return True
    zone = ZoneInfo(venue.time_zone)
    today = until.astimezone(zone).date()
    spans: Sequence[tuple[datetime, datetime]] = [span for back in (1, 0) for span in opening.spans(venue.opening_hours, today - timedelta(days=back), zone)]
    return any(begin <= since and until <= end for begin, end in spans)


def _processed_until(now: datetime) -> datetime:
    first = Inbox.objects.order_by("pk").values_list("received_at", flat=True).first()
    return min(now, first) if first else now


ALARMS: Final = (
    Declaration(
        name="inbox-refused",
        title=_("Requests are refused"),
        reads=_("How many requests of phones the door has turned away in the last five minutes, because too much waits or the disk is nearly full."),
        read=requests_refused,
        above=0,
        severity=Severity.CRITICAL,
        show=exact,
        sentence=_("Requests that the door turned away in the last five minutes: %(value)s. Phones keep their events and send them again."),
        remedy=_("Look whether the stream runs and keeps up, and how much disk is free. An organisation that alone sends too much is told to wait."),
    ),
    Declaration(
        name="requests-set-aside",
        title=_("Requests are set aside"),
        reads=_("How many requests are set aside and not yet sent on."),
        read=requests_set_aside,
        above=0,
        severity=Severity.WARNING,
        show=count,
        sentence=_("Requests set aside because they cannot be processed: %(value)s. Their events are kept, but are in no stay."),
        remedy=_("Open Set aside in the web admin as an owner of the organisation, read the error, and send them on when its cause is mended."),
    ),
    Declaration(
        name="work-parked",
        title=_("Work is parked"),
        reads=_("How many messages and notices about mail were tried often enough, and wait for somebody to send them on."),
        read=parked,
        above=0,
        every=timedelta(minutes=1),
        severity=Severity.WARNING,
        show=count,
        sentence=_("Messages and notices that failed so often that they are tried no more: %(value)s."),
        remedy=_("Look at Parked work on the operations page, or type manage.py work: mend the cause, then send it on; the first is tried alone."),
    ),
    Declaration(
        name="events-rejected",
        title=_("More events are rejected than usual"),
        reads=_("By how much the share of rejected events is over that of the same hours of the last seven days, in the organisation with the most."),
        read=outcomes_over_usual,
        above=MORE_THAN_USUAL,
        every=timedelta(minutes=1),
        severity=Severity.WARNING,
        show=percent,
        sentence=_(
            "The share of rejected events is %(value)s higher than usual at this time. Rejected events are in no figure, and phones do not send them again."
        ),
        remedy=_("Open Outcomes on the page Live of the organisation: the reason says what is wrong. As a rule it is a new release of its app."),
    ),
    Declaration(
        name="venue-silent",
        title=_("Nothing comes from a venue"),
        reads=_("How many venues are open and have had no visit for half an hour, though on other days they have at this time."),
        read=venues_silent,
        above=0,
        every=timedelta(minutes=1),
        severity=Severity.WARNING,
        show=exact,
        sentence=_("Venues that are open, and at which nobody has been seen for half an hour: %(value)s."),
        remedy=_(
            "Ask whether it is closed today (then give it an exception in its opening hours). Else look at its network, its beacons and the app's last release."
        ),
    ),
    Declaration(
        name="beacon-silent",
        title=_("A beacon is silent"),
        reads=_("How many beacons have not been heard for an hour, though on other days they are at this time."),
        read=beacons_silent,
        above=0,
        every=timedelta(minutes=1),
        calm=timedelta(minutes=10),  # it is heard by those who pass it, now and then
        severity=Severity.WARNING,
        show=exact,
        sentence=_("Beacons that are heard at this time on other days, and have not been heard for an hour: %(value)s."),
        remedy=_("Have somebody look at the beacon: its battery is empty, or it fell down, or was taken away. One that is gone for good is to be unplaced."),
    ),
)
