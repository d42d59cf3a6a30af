"""A floor plan as SVG: polygons in longitude and latitude to path data in metres. Pure.

Every zone gets its outline and the place of its label; what a zone is coloured by is the caller's business, so that the
same plan shows occupancy, visits or dwell.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, radians
from typing import Any, Final, TypeAlias

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon, Polygon, shape

Shape: TypeAlias = Polygon | MultiPolygon

METRES_A_DEGREE: Final = 111_320.0
MARGIN: Final = 0.03  # of the longer side, around the drawing
# The size on a screen for which hairlines, names and figures are chosen, and theirs, in pixels.
SCREEN: Final = (1000, 560)
LETTERS, FIGURES = 11, 22
LABEL_OF_RADIUS: Final = 0.85  # size of a figure, as a share of the radius of the largest circle inside its zone
ROOMY: Final = 0.85  # as roomy as can be, or nearly
LETTER: Final = 0.58  # mean width of a letter, as a share of its size
OVERLAP_M2: Final = 1.0  # outlines of neighbours share a wall; floors above one another share far more

# What is drawn as an outline only: it contains the others, and its figure is shown elsewhere.
CONTAINERS: Final = frozenset({"venue", "floor"})
DRAWN_FIRST: Final = {"street": 0, "floor": 1, "venue": 2}


@dataclass(frozen=True)
class Place:
    """A zone as the plan needs it. `boundary` is a GeoJSON Polygon or MultiPolygon, or None where beacons alone place people."""

    key: str
    name: str
    kind: str
    floor: int | None
    boundary: Mapping[str, Any] | None
    page: str = ""  # where a click leads


@dataclass(frozen=True)
class Outline:
    key: str
    name: str
    kind: str
    path: str  # SVG path data, in metres, y downwards
    x: float  # where the figure stands
    y: float
    size: float  # height of the figure that fits
    page: str
    name_at: tuple[float, float] | None  # where the name stands, at the sheet's `letters`; None: there is no room
    turned: bool = False  # the name runs upwards

    @property
    def container(self) -> bool:
        return self.kind in CONTAINERS


@dataclass(frozen=True)
class Sheet:
    """One drawing: a floor, or all of them where they lie side by side. `floor` is None for all."""

    floor: int | None
    view_box: str
    aspect: float  # width by height
    outlines: tuple[Outline, ...]
    hairline: float  # width of a thin line, in metres
    letters: float  # size of a name, in metres


@dataclass(frozen=True)
class Plan:
    sheets: tuple[Sheet, ...]
    beside: tuple[Place, ...]  # zones without a boundary: there is nothing to draw
    opened: int = 0  # which sheet is seen first: the ground floor's


def draw(places: Sequence[Place]) -> Plan:
    """The plan of a venue's zones. Floors that would cover one another become sheets of their own."""
    drawn = [place for place in places if place.boundary]
    beside = tuple(place for place in places if not place.boundary and place.kind not in CONTAINERS)
    if not drawn:
        return Plan(sheets=(), beside=beside)
    shapes = _project([shape(place.boundary) for place in drawn])
    pairs = list(zip(drawn, shapes, strict=True))
    floors = sorted({place.floor for place in drawn if place.floor is not None})
    if len(floors) < 2 or not _floors_overlap(pairs):
        return Plan(sheets=(_sheet(None, pairs),), beside=beside)
    ground = _ground(floors)
    sheets = [_sheet(floor, [pair for pair in pairs if _on(pair[0], floor=floor, ground=ground)]) for floor in floors]
    return Plan(sheets=tuple(sheets), beside=beside, opened=floors.index(ground))


def _ground(floors: Sequence[int]) -> int:
    """The floor that the street leads to: 0 if there is one, else the one nearest to it."""
    return min(floors, key=abs)


def _on(place: Place, *, floor: int, ground: int) -> bool:
    """The venue's own outline is on each sheet; other zones without a floor are on the ground."""
    if place.floor is None:
        return place.kind == "venue" or floor == ground
    return place.floor == floor


def _project(shapes: Sequence[Shape]) -> list[Shape]:
    """Degrees to metres around the middle, north up. Over a venue's few hundred metres the error is millimetres."""
    west, south, east, north = shapely.total_bounds(np.asarray(shapes, dtype=object))
    lon0, lat0 = (west + east) / 2, (south + north) / 2
    scale = np.array([METRES_A_DEGREE * cos(radians(lat0)), -METRES_A_DEGREE])
    return [shapely.transform(one, lambda points: (points - (lon0, lat0)) * scale) for one in shapes]


def _floors_overlap(pairs: Iterable[tuple[Place, Shape]]) -> bool:
    """Does a zone of one floor cover a zone of another?"""
    levelled = [(place.floor, one) for place, one in pairs if place.floor is not None and place.kind != "floor"]
    tree = shapely.STRtree([one for _floor, one in levelled])
    left, right = tree.query([one for _floor, one in levelled], predicate="intersects")
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        if a < b and levelled[a][0] != levelled[b][0] and levelled[a][1].intersection(levelled[b][1]).area > OVERLAP_M2:
            return True
    return False


def _sheet(floor: int | None, pairs: Sequence[tuple[Place, Shape]]) -> Sheet:
    left, top, right, bottom = shapely.total_bounds(np.asarray([one for _place, one in pairs], dtype=object)).tolist()
    margin = max(right - left, bottom - top, 1.0) * MARGIN
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    pixel = max(width / SCREEN[0], height / SCREEN[1])
    # What contains others is drawn before them, and of the others the large before the small, so that each can be pointed at.
    ordered = sorted(pairs, key=lambda pair: (DRAWN_FIRST.get(pair[0].kind, len(DRAWN_FIRST)), -pair[1].area))
    return Sheet(
        floor=floor,
        view_box=f"{left - margin:.1f} {top - margin:.1f} {width:.1f} {height:.1f}",
        aspect=round(width / height, 3),
        outlines=tuple(_outline(place, one, pixel) for place, one in ordered),
        hairline=round(pixel, 3),
        letters=round(LETTERS * pixel, 2),
    )


def _outline(place: Place, one: Shape, pixel: float) -> Outline:
    x, y, radius = _middle(one)
    size, letters = min(radius * LABEL_OF_RADIUS, FIGURES * pixel), LETTERS * pixel
    length = len(place.name) * LETTER * letters + letters / 2
    name_at, turned = None, False
    if _span(one, x, y) > length and radius > size * 0.6 + letters * 1.2:
        name_at = (x, y + size / 2 + letters * 0.9)
    elif radius > letters * 0.6 and _span(one, x, y, upright=True) > length + 2.4 * size:
        # A shop with a narrow front: the name runs upwards, over the figure.
        name_at, turned, y = (x, y - size * 1.1), True, y + length / 2
    rounded = (round(name_at[0], 2), round(name_at[1], 2)) if name_at else None
    return Outline(
        key=place.key,
        name=place.name,
        kind=place.kind,
        path=path_of(one),
        x=round(x, 2),
        y=round(y, 2),
        size=round(size, 2),
        page=place.page,
        name_at=rounded,
        turned=turned,
    )


def _middle(one: Shape) -> tuple[float, float, float]:
    """Where a label stands, and how far it is from there to the nearest wall.

    The centre of gravity where that is about as roomy as can be; else the centre of the largest circle inside, which an
    L-shaped shop needs, and which in a long one could lie at either end.
    """
    circle = shapely.maximum_inscribed_circle(one, tolerance=max(0.1, one.length / 200))
    radius, centre = float(circle.length), one.centroid
    room = float(one.boundary.distance(centre)) if one.contains(centre) else 0.0
    if room > ROOMY * radius:
        return float(centre.x), float(centre.y), room
    x, y = circle.coords[0]
    return float(x), float(y), radius


def _span(one: Shape, x: float, y: float, *, upright: bool = False) -> float:
    """How far the zone reaches from a point to both sides (up and down if `upright`): twice the shorter way."""
    left, top, right, bottom = one.bounds
    pieces = one.intersection(LineString([(x, top - 1), (x, bottom + 1)] if upright else [(left - 1, y), (right + 1, y)]))
    at = y if upright else x
    for piece in getattr(pieces, "geoms", [pieces]):
        if piece.is_empty:
            continue
        low, high = (piece.bounds[1], piece.bounds[3]) if upright else (piece.bounds[0], piece.bounds[2])
        if low <= at <= high:
            return float(2 * min(at - low, high - at))
    return 0.0


def path_of(one: Shape) -> str:
    """SVG path data of a polygon or several, with their holes, to the centimetre."""
    rings = [ring for polygon in getattr(one, "geoms", [one]) for ring in (polygon.exterior, *polygon.interiors)]
    return "".join("M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in ring.coords[:-1]) + "Z" for ring in rings)
