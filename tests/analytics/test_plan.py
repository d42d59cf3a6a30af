"""A plan is drawn true to scale, with room for its figures, on as many sheets as its floors need."""

import math
import re

import pytest
from shapely import Polygon

from analytics.plan import Place, Plan, draw
from tests.cast import box


def room(key: str, west: float, south: float, east: float, north: float, *, floor: int | None = 0, kind: str = "store") -> Place:
    return Place(key, key.title(), kind, floor, box(west, south, east, north), f"/{key}")


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def keys(plan: Plan) -> list[list[str]]:
    return [[one.key for one in sheet.outlines] for sheet in plan.sheets]


def test_metres_stay_metres_and_north_is_up() -> None:
    plan = draw([room("south", 0, 0, 40, 10), room("north", 0, 20, 40, 30)])
    south, north = ({one.key: one for one in plan.sheets[0].outlines}[key] for key in ("south", "north"))
    shape = Polygon(points(south.path))
    assert shape.area == pytest.approx(400, rel=0.005)
    assert north.y < south.y
    assert math.dist((south.x, south.y), (north.x, north.y)) == pytest.approx(20, rel=0.005)


def test_everything_lies_inside_the_picture() -> None:
    [sheet] = draw([room("a", 0, 0, 300, 20), room("b", -50, -40, -10, 0)]).sheets
    left, top, width, height = map(float, sheet.view_box.split())
    for one in sheet.outlines:
        assert all(left <= x <= left + width and top <= y <= top + height for x, y in points(one.path))
    assert sheet.aspect == pytest.approx(width / height, rel=0.01)


def test_floors_side_by_side_share_a_sheet() -> None:
    plan = draw([room("a", 0, 0, 10, 10, floor=0), room("b", 10, 0, 20, 10, floor=1)])
    assert [sheet.floor for sheet in plan.sheets] == [None]


def test_floors_above_one_another_get_sheets_of_their_own() -> None:
    mall, street = room("mall", 0, 0, 100, 100, floor=None, kind="venue"), room("street", 0, -20, 100, 0, floor=None, kind="street")
    plan = draw([mall, street, room("cellar", 0, 0, 50, 50, floor=-1), room("shop", 0, 0, 50, 50, floor=0), room("loft", 10, 10, 50, 50, floor=1)])
    assert [sheet.floor for sheet in plan.sheets] == [-1, 0, 1]
    assert keys(plan) == [["mall", "cellar"], ["street", "mall", "shop"], ["mall", "loft"]]
    assert plan.sheets[plan.opened].floor == 0


def test_what_contains_others_lies_under_them() -> None:
    plan = draw([room("kiosk", 10, 10, 15, 15), room("hall", 0, 0, 50, 50, kind="area"), room("mall", 0, 0, 60, 60, kind="venue")])
    assert keys(plan) == [["mall", "hall", "kiosk"]]
    assert [one.container for one in plan.sheets[0].outlines] == [True, False, False]


def test_a_figure_stands_inside_its_zone_whatever_its_shape() -> None:
    corner = {"type": "Polygon", "coordinates": [_l_shape()]}
    [outline] = draw([Place("l", "L", "store", 0, corner)]).sheets[0].outlines
    assert Polygon(points(outline.path)).contains(Polygon([(outline.x - 1, outline.y - 1), (outline.x + 1, outline.y - 1), (outline.x, outline.y + 1)]))


def _l_shape() -> list[list[float]]:
    big, small = box(0, 0, 100, 100)["coordinates"][0], box(0, 0, 10, 10)["coordinates"][0]
    (west, south), (east, north) = big[0], big[2]
    inner_east, inner_north = small[2]
    return [[west, south], [east, south], [east, inner_north], [inner_east, inner_north], [inner_east, north], [west, north], [west, south]]


def test_a_long_zone_has_its_figure_in_the_middle() -> None:
    [outline] = draw([room("street", 0, 0, 400, 10, kind="street")]).sheets[0].outlines
    assert abs(outline.x) < 5


def test_a_name_is_written_where_there_is_room() -> None:
    hall, tall, kiosk = room("hall", 0, 0, 100, 80), room("tall-shop-with-a-long-name", 105, 0, 118, 80), room("kiosk-of-all-kinds", 120, 0, 124, 4)
    outlines = {one.key: one for one in draw([hall, tall, kiosk]).sheets[0].outlines}
    assert outlines[hall.key].name_at is not None and not outlines[hall.key].turned
    assert outlines[tall.key].name_at is not None and outlines[tall.key].turned
    assert outlines[kiosk.key].name_at is None


def test_holes_and_parts_are_drawn() -> None:
    rings = [box(0, 0, 30, 30)["coordinates"][0], box(10, 10, 20, 20)["coordinates"][0]]
    parts = {"type": "MultiPolygon", "coordinates": [rings, box(40, 0, 50, 10)["coordinates"]]}
    [outline] = draw([Place("p", "P", "area", 0, parts)]).sheets[0].outlines
    assert outline.path.count("M") == outline.path.count("Z") == 3


def test_zones_without_a_boundary_are_listed_beside() -> None:
    lonely = Place("desk", "Desk", "area", 0, None)
    root = Place("mall", "Mall", "venue", None, None)
    assert draw([lonely, root]) == Plan(sheets=(), beside=(lonely,))
    assert draw([lonely, room("a", 0, 0, 5, 5)]).beside == (lonely,)
