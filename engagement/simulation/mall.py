"""The mall of the demonstration: its plan in metres, its zones and beacons as a provision file. Pure.

Two floors. A fix carries no floor, so floors that lie above one another would both match it; here the upper floor lies over
the car park beside the ground floor, as in a building on a slope, and no two outlines overlap. x runs east, y north.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

Point = tuple[float, float]
GROUND, UPPER = 0, 1
SPINE_Y: Final = 45.0  # the corridor's middle line, through both wings
BEACON_UUID: Final = "2f234454-cf6d-4a0f-adf2-f4911ba9ffa6"
EDDYSTONE_NAMESPACE: Final = "edd1ebeac04e5defa017"
METRES_PER_DEGREE: Final = 111_320.0

# The doors are open while nearly all come (people.KINDS). Who comes by night goes to the food court and the pharmacy.
DAYTIME: Final = ["08:00", "22:00"]
UNTIL_ONE: Final = ["08:00", "01:00"]
HOURS: Final[dict[str, list[list[str]]]] = {
    **{day: [DAYTIME] for day in ("mon", "tue", "wed", "thu", "sun")},
    **{day: [UNTIL_ONE] for day in ("fri", "sat")},
}

ROOT: Final = "atrium-galleria"
FOOD_COURT: Final = "food-court"


@dataclass(frozen=True)
class City:
    """Where the mall stands: decides its hours, and nothing else."""

    name: str
    time_zone: str
    lat: float
    lon: float


JOHANNESBURG: Final = City("Johannesburg", "Africa/Johannesburg", -26.1440, 28.0400)
CITIES: Final = (
    JOHANNESBURG,
    City("Mumbai", "Asia/Kolkata", 19.0700, 72.8700),
    City("Tokyo", "Asia/Tokyo", 35.6600, 139.7300),
    City("Auckland", "Pacific/Auckland", -36.8700, 174.7700),
    City("Los Angeles", "America/Los_Angeles", 34.0600, -118.3600),
    City("New York", "America/New_York", 40.7500, -73.9900),
)


@dataclass(frozen=True)
class Place:
    """A zone of the plan. `door` is where a walker leaves the corridor for it; `dwell_min` the median stay of who goes in."""

    key: str
    name: str
    kind: str
    floor: int | None
    outline: tuple[Point, ...]
    door: Point
    beacons: tuple[Point, ...]
    brand: str | None = None
    pull: float = 0.0  # how many choose it, against the others
    dwell_min: float = 0.0
    counter: bool = False  # one eats from it in the food court
    thresholds: dict[str, float] = field(default_factory=dict)

    @property
    def middle(self) -> Point:
        xs, ys = [x for x, _ in self.outline], [y for _, y in self.outline]
        return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2

    @property
    def size(self) -> Point:
        xs, ys = [x for x, _ in self.outline], [y for _, y in self.outline]
        return max(xs) - min(xs), max(ys) - min(ys)


# A fix under a roof is too coarse for one shop among its neighbours: shops trust beacons, and fixes of 8 m or better.
# Phones in this mall listen about each 85 s while their owner stands, hence the graces.
STORE: Final[dict[str, float]] = {"max_accuracy_m": 8, "enter_rssi": -83, "exit_grace_s": 180}

FLOOR: Final[dict[str, float]] = {"max_accuracy_m": 30, "exit_grace_s": 240}

# Rows of shops: name, width in metres, depth in metres, pull, median dwell in minutes.
Shop = tuple[str, float, float, float, float]
NORTH_WEST: Final[tuple[Shop, ...]] = (
    ("Linden Books", 12, 28, 5, 13),
    ("Volta Electronics", 14, 33, 7, 10),
    ("Pearl & Pine Jewellers", 8, 22, 2, 8),
    ("Kite Toys", 11, 28, 4, 11),
    ("Saffron Home", 12, 33, 4, 12),
)
NORTH_EAST: Final[tuple[Shop, ...]] = (
    ("Marula Pharmacy", 12, 27, 9, 7),
    ("Step & Stride Shoes", 11, 32, 5, 9),
    ("Iris Optics", 9, 23, 2, 14),
    ("Northwind Outdoor", 13, 32, 4, 12),
)
SOUTH_WEST: Final[tuple[Shop, ...]] = (
    ("Cotton Row", 14, 32, 8, 11),
    ("Tally Stationers", 9, 24, 3, 7),
    ("Halden Menswear", 11, 28, 4, 10),
    ("Bloom Florist", 9, 22, 2, 5),
    ("Denim Depot", 14, 32, 6, 10),
)
SOUTH_EAST: Final[tuple[Shop, ...]] = (
    ("Cellar Nine Wines", 10, 25, 3, 8),
    ("Fable Fashion", 13, 31, 7, 12),
    ("Quill Mobile", 9, 23, 4, 13),
    ("Anvil Sports", 13, 31, 6, 12),
)
UPPER_NORTH: Final[tuple[Shop, ...]] = (
    ("Juniper Beauty", 12, 27, 6, 9),
    ("Little Acorns Kids", 14, 31, 4, 11),
    ("Clip & Comb Hair", 10, 23, 2, 38),
    ("Arcade Nova Games", 18, 36, 4, 26),
)
UPPER_SOUTH: Final[tuple[Shop, ...]] = (
    ("Weave Interiors", 14, 30, 3, 12),
    ("Sable Lingerie", 12, 25, 4, 8),
    ("Motion Gym", 16, 35, 3, 55),
    ("Lens & Light Cameras", 10, 23, 2, 10),
    ("Vinyl Room", 13, 28, 3, 13),
    ("Harbour Travel", 15, 25, 1, 16),
    ("Meadow Grocer", 18, 35, 9, 18),
)
COUNTERS: Final = ("Basil Pizza", "Noodle Yard", "Green Bowl", "Peri Grill", "Brew & Co Upstairs")
KIOSKS: Final = (("Brew & Co", 9, 14), ("Sugar & Salt Bakery", 6, 6), ("Snap Print", 2, 7), ("Leaf Tea", 3, 9))


def slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


def box(west: float, south: float, east: float, north: float, cut: float = 0.0) -> tuple[Point, ...]:
    """A rectangle, its corners cut off by `cut` metres."""
    if not cut:
        return (west, south), (east, south), (east, north), (west, north)
    return (
        *((west + cut, south), (east - cut, south), (east, south + cut), (east, north - cut)),
        *((east - cut, north), (west + cut, north), (west, north - cut), (west, south + cut)),
    )


def store(name: str, floor: int, outline: tuple[Point, ...], door: Point, *, pull: float, dwell_min: float, counter: bool = False) -> Place:
    """A shop with a beacon in its middle, or one in each 18 m of a long one."""
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    across, along = max(1, round((max(xs) - min(xs)) / 18)), max(1, round((max(ys) - min(ys)) / 18))
    beacons = tuple(
        (min(xs) + (max(xs) - min(xs)) * (i + 0.5) / across, min(ys) + (max(ys) - min(ys)) * (j + 0.5) / along) for i in range(across) for j in range(along)
    )
    brand = slug(name.removesuffix(" Upstairs"))
    return Place(slug(name), name, "store", floor, outline, door, beacons, brand, pull, dwell_min, counter, STORE)


def row(shops: tuple[Shop, ...], floor: int, west: float, edge: float, side: int) -> Iterator[Place]:
    """Shops beside one another along the corridor: from `west` to the east, `side` 1 north of it and -1 south of it."""
    for name, width, depth, pull, dwell_min in shops:
        far = edge + side * depth
        outline = box(west, min(edge, far), west + width - 0.4, max(edge, far))
        yield store(name, floor, outline, (west + width / 2, SPINE_Y), pull=pull, dwell_min=dwell_min)
        west += width


def shops_of_the_ground_floor() -> Iterator[Place]:
    yield store("Hartley's", GROUND, box(0, 8, 34, 82, 6), (36, SPINE_Y), pull=13, dwell_min=21)
    yield from row(NORTH_WEST, GROUND, 36, 52, 1)
    yield from row(NORTH_EAST, GROUND, 137, 52, 1)
    yield from row(SOUTH_WEST, GROUND, 36, 38, -1)
    yield from row(SOUTH_EAST, GROUND, 137, 38, -1)
    corners = ((95, 69, 107, 86), (123, 69, 135, 86), (95, 4, 107, 21), (123, 4, 135, 21))
    for (name, pull, dwell_min), (west, south, east, north) in zip(KIOSKS, corners, strict=True):
        yield store(name, GROUND, box(west, south, east, north), (115, SPINE_Y), pull=pull, dwell_min=dwell_min)


def shops_of_the_upper_floor() -> Iterator[Place]:
    yield from row(UPPER_NORTH, UPPER, 208, 52, 1)
    yield store("Lumen Cinema", UPPER, box(264, 52, 304, 92, 5), (284, SPINE_Y), pull=4, dwell_min=112)
    yield from row(UPPER_SOUTH, UPPER, 208, 38, -1)
    for index, name in enumerate(COUNTERS):
        south = 12 + index * 13.4
        yield store(name, UPPER, box(350, south, 363, south + 13), (340, south + 6.5), pull=4, dwell_min=5, counter=True)


def shared_places() -> Iterator[Place]:
    """What is nobody's: floors, squares, doors, washrooms and the street."""
    yield Place("ground-floor", "Ground floor", "floor", GROUND, box(-1, 2, 203, 91, 4), (100, SPINE_Y), (), thresholds=FLOOR)
    yield Place("upper-floor", "Upper floor", "floor", UPPER, box(204, 1, 366, 95, 4), (280, SPINE_Y), (), thresholds=FLOOR)
    octagon = tuple((115 + 22 * math.cos(math.pi * (k + 0.5) / 4), 45 + 22 * math.sin(math.pi * (k + 0.5) / 4)) for k in range(8))
    square = {"max_accuracy_m": 20.0, "exit_grace_s": 180.0}
    yield Place("atrium", "Atrium", "area", GROUND, octagon, (115, SPINE_Y), ((115, 45),), thresholds=square)
    seats = ((316, 25), (316, 65), (338, 35), (338, 58))
    yield Place(FOOD_COURT, "Food court", "area", UPPER, box(307, 12, 349, 79, 6), (308, SPINE_Y), seats, thresholds=square)
    for key, west, south, east, north, floor in (("washrooms-ground", 184, 56, 199, 72, GROUND), ("washrooms-upper", 308, 82, 324, 92, UPPER)):
        door = (min(west + 7, 307), SPINE_Y)
        yield Place(key, f"Washrooms, {('ground', 'upper')[floor]} floor", "area", floor, box(west, south, east, north), door, ((west + 7, south + 5),))
    yield Place("service-desk", "Service desk", "area", GROUND, box(184, 22, 199, 34), (191, SPINE_Y), ((191, 28),))
    door_rules = {"max_accuracy_m": 20.0, "min_stay_s": 5.0}
    for key, name, corners in (
        ("north-entrance", "North entrance", (107.5, 76, 122.5, 91)),
        ("south-entrance", "South entrance", (107.5, 2, 122.5, 16)),
        ("car-park-entrance", "Car park entrance", (184, 2, 199, 16)),
    ):
        middle = ((corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2)
        yield Place(key, name, "entrance", GROUND, box(*corners), middle, (middle,), thresholds=door_rules)
    yield Place("north-street", "North Street", "street", None, box(-14, 97, 378, 111), (115, 104), (), thresholds={"max_accuracy_m": 25})
    yield Place("station-square", "Station Square", "street", None, box(-14, -20, 378, -5), (115, -12), (), thresholds={"max_accuracy_m": 25})


class Mall:
    """The plan in a city: every place, and how metres become WGS 84."""

    def __init__(self, city: City = JOHANNESBURG) -> None:
        self.city = city
        self.places: tuple[Place, ...] = (*shared_places(), *shops_of_the_ground_floor(), *shops_of_the_upper_floor())
        self.stores = tuple(place for place in self.places if place.kind == "store")
        self.beacons = tuple((place, spot) for place in self.places for spot in place.beacons)
        self.lon_per_metre = 1 / (METRES_PER_DEGREE * math.cos(math.radians(city.lat)))
        self.lat_per_metre = 1 / METRES_PER_DEGREE

    def place(self, key: str) -> Place:
        return next(place for place in self.places if place.key == key)

    def polygon(self, outline: tuple[Point, ...]) -> dict[str, Any]:
        ring = [[round(self.city.lon + x * self.lon_per_metre, 7), round(self.city.lat + y * self.lat_per_metre, 7)] for x, y in outline]
        return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}

    def beacon_name(self, index: int) -> dict[str, Any]:
        """How beacon `index` calls itself: most are iBeacons, each fifth is an Eddystone, each seventh known by its address."""
        if index % 7 == 6:
            return {"mac": f"c4:be:84:00:{index // 256:02x}:{index % 256:02x}"}
        if index % 5 == 4:
            return {"eddystone": {"namespace": EDDYSTONE_NAMESPACE, "instance": f"{index:012x}"}}
        return {"ibeacon": {"uuid": BEACON_UUID, "major": 1, "minor": index + 1}}

    def provision_file(self, *, organisation: str, name: str, keys: list[dict[str, str]]) -> dict[str, Any]:
        """The whole mall in the form that `manage.py provision` reads."""
        brands = {place.brand: place.name.removesuffix(" Upstairs") for place in self.stores}
        outline = ((-1, 2), (203, 2), (204, 1), (366, 1), (366, 95), (204, 95), (203, 91), (-1, 91))
        return {
            "organisation": {"key": organisation, "name": name},
            "brands": [{"key": key, "name": brand} for key, brand in brands.items()],
            "venues": [
                {
                    "key": ROOT,
                    "name": "Atrium Galleria",
                    "time_zone": self.city.time_zone,
                    "opening_hours": HOURS,
                    "boundary": self.polygon(outline),
                }
            ],
            "zones": [self._zone(place) for place in self.places],
            "beacons": [{"key": f"beacon-{index:03d}", "zone": place.key, **self.beacon_name(index)} for index, (place, _) in enumerate(self.beacons)],
            "keys": keys,
        }

    def _zone(self, place: Place) -> dict[str, Any]:
        floors = {GROUND: "ground-floor", UPPER: "upper-floor", None: None}
        return {
            "key": place.key,
            "venue": ROOT,
            "parent": None if place.kind == "floor" else floors[place.floor],
            "name": place.name,
            "kind": place.kind,
            "floor": place.floor,
            "brand": place.brand,
            "boundary": self.polygon(place.outline),
            **{name: int(value) for name, value in place.thresholds.items()},
        }
