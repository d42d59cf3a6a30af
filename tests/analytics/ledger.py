"""Small worlds of stays that are out to break figures, and their rows: as the stream would have written them, with their marks.

Three venues on three clocks. Stays crowd around days on which a clock changes, midnights, leap days, week 53 and the edges of every class.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.db import connection
from hypothesis import strategies as st

from analytics.models import Mark, Regular, ZoneDay
from analytics.models import Stay as StoredStay
from engagement.models import Brand, Organisation, Venue, ZoneVersion
from engagement.models import Purchase as StoredPurchase
from engagement.models import Zone as StoredZone
from engagement.provisioning import BEGINNING
from tests.figures_reference import ALWAYS, EPOCH, MINUTE, SECOND, Purchase, Question, Stay, World, Zone, begin_of

HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# A clock, and days on which something is odd: it goes forward, or back, by an hour or by half of one, at night or at midnight itself.
DAYS: Final = {
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Africa/Cairo": (date(2026, 4, 24), date(2026, 10, 30)),
    "America/Havana": (date(2026, 3, 8), date(2026, 11, 1)),
    "Asia/Kathmandu": (date(2024, 2, 29), date(2027, 1, 1)),
    "Africa/Johannesburg": (date(2026, 12, 28), date(2027, 1, 3)),
}
SHOPPERS: Final = (1, 2, 3, 70_000, 4_294_967_295)
BRANDS: Final = ("brew", "page")
# Zones: key, kind, venue's root, parent, brand.
ZONES: Final = (
    ("mall", "venue", "mall", None, None),
    ("ground", "floor", "mall", "mall", None),
    ("upper", "floor", "mall", "mall", None),
    ("brew", "store", "mall", "ground", "brew"),
    ("page", "store", "mall", "ground", "page"),
    ("toys", "store", "mall", "ground", None),
    ("food", "area", "mall", "upper", None),
    ("street", "street", "mall", "mall", None),
    ("east", "venue", "east", None, None),
    ("east-brew", "store", "east", "east", "brew"),
    ("west", "venue", "west", None, None),
    ("west-brew", "store", "west", "west", "brew"),
)
ROOTS: Final = tuple(key for key, kind, *_ in ZONES if kind == "venue")
EDGES: Final = tuple(minutes * MINUTE + more for minutes in (5, 15, 30, 60) for more in (0, 1, -1, 90 * SECOND))
DWELLS: Final = (0, 1, 90 * SECOND, *EDGES, 3 * HOUR, 26 * HOUR)
GRACES: Final = (0, 60 * SECOND, 900 * SECOND)
HOURS: Final = (
    None,
    {"mon": [["09:00", "12:30"], ["13:30", "21:00"]], "sun": [["10:00", "24:00"]], "sat": [["20:00", "04:00"]], "wed": [["00:00", "24:00"]]},
    {day: [["08:00", "20:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    | {"exceptions": {"2026-10-04": [], "2026-11-01": [["00:30", "10:00"]]}},
)


@dataclass
class Ledger:
    """What there is, and who knows of it."""

    places: dict[str, Zone]
    now: int
    anchor: int  # the first instant of the odd day
    stays: list[Stay] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)
    opening_hours: dict[str, Any] = field(default_factory=dict)
    organisation: Organisation | None = None
    zones: dict[str, int] = field(default_factory=dict)  # key to primary key

    def world(self) -> World:
        return World(dict(self.places), tuple(self.stays), self.now, tuple(self.purchases), frozenset(self.left_out), dict(self.opening_hours))

    # --- rows -------------------------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """An empty database, then this."""
        with connection.cursor() as cursor:
            cursor.execute("; ".join(f"DELETE FROM {table}" for table in TABLES))
        self.organisation = Organisation.objects.create(pk=1, key="acme", name="Acme Malls")
        brands = {key: Brand.objects.create(organisation=self.organisation, key=key, name=key) for key in BRANDS}
        venues = {
            root: Venue.objects.create(
                organisation=self.organisation, key=root, name=root, time_zone=self.places[root].time_zone, opening_hours=self.opening_hours.get(root)
            )
            for root in ROOTS
        }
        made = StoredZone.objects.bulk_create(
            StoredZone(organisation=self.organisation, venue=venues[zone.root], key=key, name=key, kind=zone.kind, brand=brands.get(zone.brand or ""))
            for key, zone in self.places.items()
        )
        self.zones = {zone.key: zone.pk for zone in made}
        ZoneVersion.objects.bulk_create(version for key in self.places for version in self._versions(key))
        self.write(self.stays)
        for purchase in self.purchases:
            self.buy(purchase)

    def _versions(self, key: str) -> Iterable[ZoneVersion]:
        parents = self.places[key].parents
        for (since, parent), (until, _) in zip(parents, [*parents[1:], (None, None)], strict=True):
            yield ZoneVersion(
                zone_id=self.zones[key],
                valid_from=BEGINNING if since == ALWAYS else moment(since),
                valid_to=None if until is None else moment(until),
                parent_id=self.zones.get(parent or ""),
                exit_grace_s=900,
                min_stay_s=0,
                enter_rssi=-85,
                hold_rssi=-95,
                max_accuracy_m=100,
            )

    def write(self, stays: Iterable[Stay]) -> None:
        stays = list(stays)
        StoredStay.objects.bulk_create(
            StoredStay(
                organisation=self.organisation,
                shard=0,
                shopper_id=stay.shopper,
                zone_id=self.zones[stay.zone],
                started=moment(stay.started),
                ended=moment(stay.ended),
                closes_at=moment(stay.closes_at),
                counted=stay.counted,
                closed=False,
            )
            for stay in stays
        )
        self.mark(stays)

    def mark(self, stays: Iterable[Stay]) -> None:
        Mark.objects.bulk_create(Mark(zone_id=self.zones[stay.zone], hour=stay.started // HOUR) for stay in stays)

    def erase(self, stays: Iterable[Stay]) -> None:
        for stay in stays:
            StoredStay.objects.filter(shopper_id=stay.shopper, zone_id=self.zones[stay.zone], started=moment(stay.started)).delete()
            self.mark([stay])

    def buy(self, purchase: Purchase) -> None:
        brand = Brand.objects.get(organisation=self.organisation, key=purchase.brand)
        number = StoredPurchase.objects.count()
        StoredPurchase.objects.create(organisation=self.organisation, key=f"p{number}", shopper_id=purchase.shopper, brand=brand, at=moment(purchase.at))

    # --- changes ----------------------------------------------------------------------------------------------------------------

    def add(self, stays: Iterable[Stay]) -> None:
        """What comes late, where nothing of it is known yet."""
        fresh = [stay for stay in apart([*self.stays, *stays]) if stay not in self.stays]
        self.stays += fresh
        self.write(fresh)

    def remove(self, stays: Iterable[Stay]) -> None:
        gone = [stay for stay in dict.fromkeys(stays) if stay in self.stays]
        self.stays = [stay for stay in self.stays if stay not in gone]
        self.erase(gone)

    def grow(self, stay: Stay, more: int) -> None:
        """A later observation: it lasts longer, and may count now."""
        longer = replace(stay, ended=stay.ended + more, closes_at=stay.closes_at + more, counted=True)
        others = [one for one in self.stays if one != stay]
        if longer.ended <= self.now and len(apart([*others, longer])) == len(self.stays):
            self.remove([stay])
            self.add([longer])

    def merge(self, shopper: int, into: int) -> None:
        """Both are one: every stay is the other's. Where both were at once, only one of the stays is left."""
        theirs = [stay for stay in self.stays if stay.shopper == shopper]
        self.remove(theirs)
        self.add([replace(stay, shopper=into) for stay in theirs])

    def leave_out(self, shopper: int, leave: Any) -> None:
        """`leave` marks the shopper's days."""
        self.left_out ^= {shopper}
        if shopper in self.left_out:
            Regular.objects.create(organisation=self.organisation, shopper_id=shopper, state=Regular.State.CONFIRMED)
        else:
            Regular.objects.filter(shopper_id=shopper).delete()
        leave([shopper])

    def move(self, key: str, parent: str, since: int, leave: Any) -> None:
        """A zone lies in another one from an instant on. `leave` marks the roots' days."""
        zone = self.places[key]
        kept = tuple((start, above) for start, above in zone.parents if start < since)
        self.places[key] = replace(zone, parents=(*kept, (since, parent)))
        ZoneVersion.objects.filter(zone_id=self.zones[key]).delete()
        ZoneVersion.objects.bulk_create(self._versions(key))
        leave(moment(since))

    def reopen(self, root: str, hours: dict[str, Any] | None) -> None:
        """Other opening hours."""
        self.opening_hours[root] = hours
        Venue.objects.filter(key=root).update(opening_hours=hours)

    def forget_figures(self) -> None:
        """Nothing is stored any more, and everything is to be made again."""
        ZoneDay.objects.all().delete()
        self.mark(self.stays)


TABLES: Final = (
    "analytics_mark", "analytics_zoneday", "analytics_calendar", "analytics_regular", "analytics_stay", "engagement_purchase",
    "engagement_zoneversion", "engagement_zone", "engagement_venue", "engagement_brand", "engagement_organisation",
)  # fmt: skip


def moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def apart(stays: Iterable[Stay]) -> list[Stay]:
    """As many as can be: of one shopper and zone the next begins after the one before can no longer be extended."""
    kept: list[Stay] = []
    for stay in stays:
        others = (one for one in kept if (one.shopper, one.zone) == (stay.shopper, stay.zone))
        if all(stay.started > one.closes_at or one.started > stay.closes_at for one in others):
            kept.append(stay)
    return kept


# --- strategies -----------------------------------------------------------------------------------------------------------------


@st.composite
def ledgers(draw: st.DrawFn, most: int = 6) -> Ledger:
    time_zone = draw(st.sampled_from(sorted(DAYS)))
    clocks = {"mall": time_zone, "east": draw(st.sampled_from(sorted(DAYS))), "west": draw(st.sampled_from(sorted(DAYS)))}
    anchor = begin_of(draw(st.sampled_from(DAYS[time_zone])), time_zone)
    places = {key: Zone(key, kind, clocks[root], root, ((ALWAYS, parent),), brand) for key, kind, root, parent, brand in ZONES}
    ledger = Ledger(places, anchor, anchor)
    ledger.opening_hours = {root: draw(st.sampled_from(HOURS)) for root in ROOTS}
    if draw(st.booleans()):
        places["toys"] = replace(places["toys"], parents=((ALWAYS, "ground"), (draw(instants(anchor)), "upper")))
    ledger.now = draw(instants(anchor)) + draw(st.sampled_from((0, DAY, 3 * DAY)))
    ledger.stays = draw(stays(ledger, most))
    ledger.now = draw(st.sampled_from((ledger.now, *(edge for stay in ledger.stays for edge in (stay.closes_at, stay.closes_at + 1) if edge >= ledger.now))))
    ledger.purchases = draw(st.lists(st.builds(Purchase, st.sampled_from(SHOPPERS), st.sampled_from(BRANDS), instants(anchor)), max_size=4))
    return ledger


@st.composite
def instants(draw: st.DrawFn, anchor: int) -> int:
    """Mostly about the odd day: its midnights, its hours, and quarters of them; sometimes weeks, months or a year before."""
    day = draw(st.sampled_from((0, 0, 0, 0, 1, 1, -1, 2, -7, -31, -365)))
    edge = draw(st.sampled_from((0, 0, 1, 1, 2, 3, 8, 12, 20, 24))) * HOUR + draw(st.sampled_from((0, 0, 0, 30, 45, 59))) * MINUTE
    return anchor + day * DAY + edge + draw(st.sampled_from((0, 0, 1, -1, 1234567)))


@st.composite
def stays(draw: st.DrawFn, ledger: Ledger, most: int) -> list[Stay]:
    """Walks through a venue, and stays that have nothing to do with one."""
    made: list[Stay] = []
    for _ in range(draw(st.integers(1, most))):
        walk = draw(st.booleans())
        made += draw(walks(ledger)) if walk else [draw(single(ledger))]
    settled = [settle(stay, ledger.now) for stay in made if stay.started <= ledger.now]
    return apart(settled)


@st.composite
def single(draw: st.DrawFn, ledger: Ledger) -> Stay:
    shopper, zone, started = draw(st.sampled_from(SHOPPERS)), draw(st.sampled_from(sorted(ledger.places))), draw(instants(ledger.anchor))
    ended = started + draw(st.sampled_from(DWELLS))
    return Stay(shopper, zone, started, ended, ended + draw(st.sampled_from(GRACES)), draw(st.booleans()) or draw(st.booleans()))


@st.composite
def walks(draw: st.DrawFn, ledger: Ledger) -> list[Stay]:
    """A visit, and stays in the zones of its venue one after another; some may begin when it has ended."""
    root, shopper = draw(st.sampled_from(("mall", "mall", *ROOTS))), draw(st.sampled_from(SHOPPERS))
    zones = [key for key, zone in ledger.places.items() if zone.root == root and key != root]
    begin = at = draw(instants(ledger.anchor))
    made: list[Stay] = []
    for zone in draw(st.lists(st.sampled_from(zones), min_size=1, max_size=5)):
        at += draw(st.sampled_from((0, 0, 1, 10 * MINUTE, HOUR, 9 * HOUR)))
        dwell = draw(st.sampled_from((0, 4 * MINUTE, 5 * MINUTE, HOUR)))
        made.append(Stay(shopper, zone, at, at + dwell, at + dwell + draw(st.sampled_from((0, MINUTE))), draw(st.sampled_from((True, True, True, False)))))
        at += draw(st.sampled_from((0, dwell, dwell + MINUTE + 1)))
    ended = max(at - draw(st.sampled_from((0, 0, 0, 1, HOUR))), begin)
    return [Stay(shopper, root, begin, ended, ended + draw(st.sampled_from(GRACES)), True), *made]


def settle(stay: Stay, now: int) -> Stay:
    """What has not happened yet is not known yet."""
    if stay.ended <= now:
        return stay
    return replace(stay, ended=now, closes_at=now + stay.closes_at - stay.ended)


@st.composite
def questions(draw: st.DrawFn, ledger: Ledger) -> Question:
    """Ranges about the odd day, as dates or as instants: short ones by the hour, long ones by the week and the month."""
    grain = draw(st.sampled_from(("hour", "day", "day", "week", "month")))
    longest = {"hour": 3, "day": 20, "week": 40, "month": draw(st.sampled_from((70, 70, 400)))}[grain]
    hours = draw(st.sampled_from(("all", "all", "all", "open", "closed")))
    length, back = draw(st.sampled_from((1, 1, 2, 3, 7, 31, longest))), draw(st.sampled_from((0, 0, 1, 1, 7, 31, longest)))
    length, back = min(length, longest), min(back, longest)
    if draw(st.booleans()):
        first = moment(ledger.anchor + 12 * HOUR).astimezone(UTC).date() - timedelta(days=back)
        return Question(first, first + timedelta(days=length), grain, hours)
    start = draw(instants(ledger.anchor)) - (back // 2) * DAY
    return Question(start, start + (length // 2) * DAY + draw(st.sampled_from((1, MINUTE, 37 * MINUTE, HOUR, 25 * HOUR))), grain, hours)
