"""The boundary of a zone: a GeoJSON Polygon or MultiPolygon in WGS 84, checked in bounded time."""

import itertools
import re
from typing import Any, Final

import shapely
from django.utils.translation import gettext as _

from engagement.provisioning.faults import Wrong

MOST_VERTICES: Final = 10_000
Position = list[float]
Ring = list[Position]
_REASON: Final = re.compile(r"(.*)\[(\S+) (\S+)\]")


def boundary(value: Any) -> dict[str, Any] | None:
    """The geometry as it is stored: closed rings of [lon, lat], nothing else. Null for one without coordinates (RFC 7946, 3.1)."""
    if not isinstance(value, dict):
        raise Wrong(_("A boundary is a GeoJSON Polygon or null."))
    kind, given = value.get("type"), value.get("coordinates")
    parts = [(f".{member}", _("There is no such field.")) for member in value if member not in {"type", "coordinates"}]
    if kind not in {"Polygon", "MultiPolygon"}:
        parts.append((".type", _("This must be Polygon or MultiPolygon.")))
    if not isinstance(given, list):
        parts.append((".coordinates", _("This must be a list of rings.")))
    if parts:
        raise Wrong("", *parts)
    if not given:
        return None
    polygons = [_polygon(polygon, place) for polygon, place in _polygons(str(kind), given)]
    _valid(shapely.MultiPolygon([(rings[0], rings[1:]) for rings in polygons]) if kind == "MultiPolygon" else shapely.Polygon(polygons[0][0], polygons[0][1:]))
    return {"type": kind, "coordinates": polygons if kind == "MultiPolygon" else polygons[0]}


def _polygons(kind: str, given: list[Any]) -> list[tuple[list[Any], str]]:
    """(rings, their place) of each polygon; refused when they are no lists or have too many vertices, before anything is computed."""
    polygons = [(polygon, f".coordinates[{i}]") for i, polygon in enumerate(given)] if kind == "MultiPolygon" else [(given, ".coordinates")]
    vertices = 0
    for polygon, place in polygons:
        if not isinstance(polygon, list) or not polygon or not all(isinstance(ring, list) for ring in polygon):
            raise Wrong("", (place, _("This must be a list of rings, each a list of [lon, lat].")))
        vertices += sum(len(ring) for ring in polygon)
    if vertices > MOST_VERTICES:
        raise Wrong(_("A boundary has at most %(most)d vertices; this one has %(seen)d.") % {"most": MOST_VERTICES, "seen": vertices})
    return polygons


def _polygon(rings: list[Any], place: str) -> list[Ring]:
    parts: list[tuple[str, str]] = []
    checked = []
    for index, ring in enumerate(rings):
        try:
            checked.append(_ring(ring))
        except Wrong as wrong:
            parts.extend((f"{place}[{index}]{below}", message) for below, message in wrong.parts)
    if parts:
        raise Wrong("", *parts)
    return checked


def _ring(given: list[Any]) -> Ring:
    ring = [_position(position, f"[{index}]") for index, position in enumerate(given)]
    if ring and ring[0] != ring[-1]:
        ring.append(ring[0])
    if len(ring) < 4:
        raise Wrong(_("A ring has at least three different positions."))
    if any(abs(one[0] - other[0]) > 180 for one, other in itertools.pairwise(ring)):
        raise Wrong(_("The boundary crosses the 180th meridian. Draw it on one side of it only."))
    return ring


def _position(given: Any, place: str) -> Position:
    """[lon, lat]; a height is dropped."""
    if not isinstance(given, list) or len(given) not in {2, 3} or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in given):
        raise Wrong("", (place, _("A position is [longitude, latitude] in degrees.")))
    lon, lat = given[0], given[1]
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise Wrong("", (place, _("A longitude lies from -180 to 180 and a latitude from -90 to 90; the longitude comes first.")))
    return [float(lon), float(lat)]


def _valid(geometry: shapely.Polygon | shapely.MultiPolygon) -> None:
    if geometry.convex_hull.area == 0:
        raise Wrong(_("The boundary encloses no area."))
    if geometry.is_valid:
        return
    said = shapely.is_valid_reason(geometry)
    match = _REASON.fullmatch(said)
    if match is None:
        raise Wrong(_("The boundary is not a valid polygon: %(reason)s.") % {"reason": said.lower()})
    reason = _in_words(match[1])
    raise Wrong(_("%(reason)s, near longitude %(lon)s, latitude %(lat)s.") % {"reason": reason, "lon": _degrees(match[2]), "lat": _degrees(match[3])})


def _degrees(said: str) -> str:
    """To the tenth of a metre: enough to find the corner on a map."""
    return f"{float(said):.6f}".rstrip("0").rstrip(".")


def _in_words(reason: str) -> str:
    """The reasons of GEOS, for people who draw maps."""
    words = {
        "Self-intersection": _("The boundary crosses itself"),
        "Ring Self-intersection": _("The boundary touches itself"),
        "Hole lies outside shell": _("A hole lies outside the boundary"),
        "Holes are nested": _("A hole lies inside another hole"),
        "Nested shells": _("A part lies inside another part"),
        "Interior is disconnected": _("The holes cut the boundary into separate parts"),
        "Duplicate Rings": _("A ring is there twice"),
        "Too few points in geometry component": _("A ring has fewer than three different positions"),
    }
    return words.get(reason, reason)
