"""The demonstration's set-up: the mall and its people in an organisation of their own, a login, keys, and what was already sent.

All of it can be told again: what is there is kept, what is missing is made.
"""

import secrets
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from engagement import database, partitions, provisioning, tenancy
from engagement.models import ApiKey, KeyKind, Membership, Organisation, Role, Venue
from engagement.simulation.mall import CITIES, JOHANNESBURG, ROOT, City, Mall
from engagement.simulation.people import Population

ORGANISATION: Final = "demonstration"
USER: Final = "demo"
SEED: Final = 20261120
HISTORY_DAYS: Final = 60
APP, HISTORY, WATCH = "demo app", "demo history", "demo watch"
KEYS: Final = {APP: KeyKind.PUBLISHABLE, HISTORY: KeyKind.IMPORT, WATCH: KeyKind.SECRET}
LIVELY: Final = range(10, 20)  # local hours in which a mall is worth looking at
BEST_HOUR: Final = 15
LIVE_PACE: Final = 0.25  # from the first day on, phones measure four times as often as in the history before: more moves on the page


class Kept(msgspec.Struct):
    """$ATRIUM_VAR/demo.json, readable by its owner alone."""

    password: str
    first_day: date
    live_from: date
    keys: dict[str, str] = {}
    sent: dict[str, float] = {}  # by day of the mall: until which instant its events were sent, in seconds since 1970


def path() -> Path:
    return Path(settings.VAR) / "demo.json"


def load() -> Kept:
    """What was kept. Raises FileNotFoundError before the first `prepare`."""
    return msgspec.json.decode(path().read_bytes(), type=Kept)


def save(kept: Kept) -> None:
    fresh = path().with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(kept))
    fresh.replace(path())


def city_of(now: datetime) -> City:
    """Johannesburg while its shops are busy; else where it is the middle of the afternoon, so that there is something to see."""
    if now.astimezone(ZoneInfo(JOHANNESBURG.time_zone)).hour in LIVELY:
        return JOHANNESBURG
    return min(CITIES, key=lambda city: abs(now.astimezone(ZoneInfo(city.time_zone)).hour + 0.5 - BEST_HOUR))


def prepare(now: datetime | None = None) -> Kept:
    """Provision the mall, the login and the partitions. Returns what the feeder needs."""
    now = now or datetime.now(UTC)
    standing = Venue.objects.filter(organisation__key=ORGANISATION, key=ROOT).first()
    city = next((known for known in CITIES if standing and known.time_zone == standing.time_zone), None) or city_of(now)
    kept = _kept(now.astimezone(ZoneInfo(city.time_zone)).date(), known=standing is not None)
    kept.keys = _provision(city, kept.keys)
    _login(kept)
    with database.connect(application_name="atrium-demo") as connection:
        partitions.ensure(connection, first=kept.first_day - timedelta(days=1))
    save(kept)
    return kept


def population(kept: Kept) -> Population:
    venue = Venue.objects.get(organisation__key=ORGANISATION, key=ROOT)
    city = next(city for city in CITIES if city.time_zone == venue.time_zone)
    return Population(seed=SEED, mall=Mall(city), first_day=kept.first_day)


def announcement(kept: Kept, *, more: str = "") -> str:
    """The address and the login, in a box."""
    url = f"http://{settings.HOST}:{settings.PORT}/admin/"
    lines = [_("Atrium is at %(url)s") % {"url": url}, _("User %(user)s, password %(password)s") % {"user": USER, "password": kept.password}]
    lines += [more] if more else []
    width = max(map(len, lines))
    return "\n".join([f"+{'-' * (width + 2)}+", *(f"| {line:<{width}} |" for line in lines), f"+{'-' * (width + 2)}+"])


def _kept(today: date, *, known: bool) -> Kept:
    """From the file, unless the database is another one than the file speaks of."""
    try:
        kept = load()
    except FileNotFoundError:
        kept = Kept(password=secrets.token_urlsafe(9), first_day=today - timedelta(days=HISTORY_DAYS), live_from=today)
    if not known:
        kept.first_day, kept.live_from, kept.sent = today - timedelta(days=HISTORY_DAYS), today, {}
    return kept


def _provision(city: City, tokens: dict[str, str]) -> dict[str, str]:
    """The mall, and a token for each key: a key whose token is lost makes room for a new one of the same name."""
    organisation = Organisation.objects.filter(key=ORGANISATION).first()
    kept = {}
    for name in KEYS:
        key = tenancy.find_key(tokens.get(name, ""))
        if key and organisation and key.organisation == organisation:
            kept[name] = tokens[name]
        else:
            ApiKey.objects.filter(organisation=organisation, name=name).delete()
    asked = [{"name": name, "kind": kind.value} for name, kind in KEYS.items()]
    report = provisioning.provision(Mall(city).provision_file(organisation=ORGANISATION, name="Atrium demonstration", keys=asked))
    return {**kept, **report.keys}


def _login(kept: Kept) -> None:
    user, made = User.objects.get_or_create(username=USER, defaults={"is_staff": True})
    if made or not user.check_password(kept.password):
        user.set_password(kept.password)
        user.save()
    Membership.objects.get_or_create(user=user, organisation=Organisation.objects.get(key=ORGANISATION), defaults={"role": Role.OWNER})
