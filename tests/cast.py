"""The cast of the tests: Acme with Alice (owner), Emma (marketer), Bob (analyst) and Dora (of its brand Brew & Co), and a rival with Charlie.

Both organisations are provisioned as a customer would do it. North Mall lies around (LON, LAT); `at` turns metres
east and north of there into degrees, so that a test can say where somebody stands.
"""

import functools
import math
from typing import Any, Final

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from engagement import provisioning
from engagement.models import Brand, Membership, Organisation, Role, Venue

LON: Final = 28.0567
LAT: Final = -26.1076
_METRES_A_DEGREE: Final = 111_195.0  # on the sphere of 6,371 km

IBEACON: Final = {"uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 1, "minor": 7}
EDDYSTONE: Final = {"namespace": "edd1ebeac04e5defa017", "instance": "0123456789ab"}
MAC: Final = "c4:be:84:00:00:01"


def at(east_m: float, north_m: float) -> tuple[float, float]:
    """(lon, lat) of a point of North Mall."""
    return LON + east_m / (_METRES_A_DEGREE * math.cos(math.radians(LAT))), LAT + north_m / _METRES_A_DEGREE


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """A boundary in metres from the middle of North Mall."""
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"type": "Polygon", "coordinates": [[list(at(*corner)) for corner in corners]]}


def _zone(key: str, kind: str, boundary: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"key": key, "venue": "north", "name": key.removeprefix("north-").title(), "kind": kind, "boundary": boundary, **more}


def acme_file() -> dict[str, Any]:
    """Acme's provision file: a mall of 200 m by 200 m with one floor, two stores, an entrance in the south and its street."""
    return {
        "organisation": {"key": "acme", "name": "Acme Malls"},
        "brands": [{"key": "brew", "name": "Brew & Co"}, {"key": "page", "name": "Page & Sons"}],
        "venues": [{"key": "north", "name": "North Mall", "time_zone": "Africa/Johannesburg", "boundary": box(-100, -100, 100, 100)}],
        "zones": [
            _zone("north-ground", "floor", box(-95, -90, 95, 95), floor=0),
            _zone("north-brew", "store", box(-90, 10, -10, 90), parent="north-ground", floor=0, brand="brew"),
            _zone("north-page", "store", box(10, 10, 90, 90), parent="north-ground", floor=0, brand="page"),
            _zone("north-door", "entrance", box(-10, -100, 10, -90), floor=0),
            _zone("north-street", "street", box(-100, -130, 100, -100)),
        ],
        "beacons": [
            {"key": "b-brew", "zone": "north-brew", "ibeacon": IBEACON},
            {"key": "b-page", "zone": "north-page", "eddystone": EDDYSTONE},
            {"key": "b-door", "zone": "north-door", "mac": MAC},
        ],
        "keys": [{"name": "app", "kind": "publishable"}, {"name": "ops", "kind": "secret"}, {"name": "history", "kind": "import"}],
    }


def rival_file() -> dict[str, Any]:
    """The rival's: one venue on the same ground, under keys of its own, with a beacon of the same address as Acme's."""
    return {
        "organisation": {"key": "rival", "name": "Rival Centres"},
        "venues": [{"key": "arcade", "name": "Arcade", "time_zone": "Europe/London", "boundary": box(-100, -100, 100, 100)}],
        "zones": [{"key": "arcade-shop", "venue": "arcade", "name": "Shop", "kind": "store", "boundary": box(-90, 10, -10, 90)}],
        "beacons": [{"key": "r1", "zone": "arcade-shop", "ibeacon": IBEACON}],
        "keys": acme_file()["keys"],
    }


def _provisioned(document: dict[str, Any]) -> tuple[Organisation, dict[str, str]]:
    """The organisation, and its tokens by kind of key."""
    tokens = provisioning.provision(document).keys
    return Organisation.objects.get(key=document["organisation"]["key"]), {key["kind"]: tokens[key["name"]] for key in document["keys"]}


@pytest.fixture
def _acme(db: None) -> tuple[Organisation, dict[str, str]]:
    return _provisioned(acme_file())


@pytest.fixture
def _rival(db: None) -> tuple[Organisation, dict[str, str]]:
    return _provisioned(rival_file())


@pytest.fixture
def acme(_acme: tuple[Organisation, dict[str, str]]) -> Organisation:
    return _acme[0]


@pytest.fixture
def acme_keys(_acme: tuple[Organisation, dict[str, str]]) -> dict[str, str]:
    """Kind (`publishable`, `secret`, `import`) to token."""
    return _acme[1]


@pytest.fixture
def north(acme: Organisation) -> Venue:
    return Venue.objects.get(organisation=acme, key="north")


@pytest.fixture
def rival(_rival: tuple[Organisation, dict[str, str]]) -> Organisation:
    return _rival[0]


@pytest.fixture
def rival_keys(_rival: tuple[Organisation, dict[str, str]]) -> dict[str, str]:
    return _rival[1]


@functools.cache
def _password() -> str:
    """Hashed once for all: hashing is slow on purpose, and no test needs a salt of its own."""
    return make_password("correct horse battery")


def _member(name: str, organisation: Organisation, role: Role, brand: Brand | None = None) -> User:
    user = User.objects.create(username=name, email=f"{name}@example.com", password=_password())
    Membership.objects.create(user=user, organisation=organisation, role=role, brand=brand)
    return user


@pytest.fixture
def alice(acme: Organisation) -> User:
    """Owner of Acme. Everyone's password is `correct horse battery`."""
    return _member("alice", acme, Role.OWNER)


@pytest.fixture
def bob(acme: Organisation) -> User:
    """Analyst of Acme."""
    return _member("bob", acme, Role.ANALYST)


@pytest.fixture
def emma(acme: Organisation) -> User:
    """Marketer of Acme: she speaks to shoppers."""
    return _member("emma", acme, Role.MARKETER)


@pytest.fixture
def dora(acme: Organisation) -> User:
    """Member of Acme for its brand Brew & Co: she reads the figures of its stores, and nothing else."""
    return _member("dora", acme, Role.OWNER, Brand.objects.get(organisation=acme, key="brew"))


@pytest.fixture
def charlie(rival: Organisation) -> User:
    """Owner of the rival."""
    return _member("charlie", rival, Role.OWNER)
