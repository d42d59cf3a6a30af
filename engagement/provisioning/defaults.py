"""Thresholds of a zone: their ranges, and the default of each kind (the definitions, version 1)."""

from collections.abc import Mapping
from typing import Final

from engagement.models import ZoneKind, ZoneVersion

THRESHOLDS: Final = ("exit_grace_s", "min_stay_s", "enter_rssi", "hold_rssi", "max_accuracy_m")
_GRACE: Final = {ZoneKind.VENUE: 900, ZoneKind.FLOOR: 120, ZoneKind.STORE: 120, ZoneKind.ENTRANCE: 120, ZoneKind.AREA: 60, ZoneKind.STREET: 60}
_MIN_STAY: Final = {ZoneKind.VENUE: 300, ZoneKind.STORE: 120, ZoneKind.STREET: 0}
_MIN_STAY_OTHERS: Final = 30


def defaults_of(kind: str) -> dict[str, float]:
    """The thresholds of a zone of this kind for which nothing was said."""
    return {
        "exit_grace_s": _GRACE[ZoneKind(kind)],
        "min_stay_s": _MIN_STAY.get(ZoneKind(kind), _MIN_STAY_OTHERS),
        "enter_rssi": -85,
        "hold_rssi": -95,
        "max_accuracy_m": 100.0 if kind == ZoneKind.VENUE else 50.0,
    }


def resolve(given: Mapping[str, float | None], *, kind: str, current: ZoneVersion | None, current_kind: str | None) -> dict[str, float]:
    """The thresholds that the zone shall have. What is not mentioned stays; null is the kind's default.

    A version keeps numbers, not whether they were given. So where the kind changes, a threshold that has the default of
    the old kind follows to the default of the new one.
    """
    resolved = defaults_of(kind)
    before = defaults_of(current_kind) if current_kind else resolved
    for name in THRESHOLDS:
        value = given.get(name)
        if value is not None:
            resolved[name] = value
        elif name not in given and current is not None:
            kept = float(getattr(current, name))
            resolved[name] = resolved[name] if kept == before[name] else kept
    return resolved
