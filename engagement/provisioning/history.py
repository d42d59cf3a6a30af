"""Versions of the past set right: what a zone is said to have been since an instant. Inside the caller's transaction and lock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engagement.models import Zone, ZoneVersion
from engagement.provisioning.plan import VERSIONED

_SAME: Final = tuple("parent_id" if name == "parent" else name for name in VERSIONED)


def rewrite(zone: Zone, settings: Mapping[str, Any], since: datetime) -> bool:
    """Give every version of the zone since then these settings; whether that changes anything.

    Parents and floors stay those of their time. The version that was valid then is cut in two, and neighbours that have become alike are one.
    """
    before = list(ZoneVersion.objects.filter(zone=zone).order_by("valid_from"))
    after = _joined([part for version in before for part in _parts(version, settings, since)])
    if [_content(version) for version in before] == [_content(version) for version in after]:
        return False
    ZoneVersion.objects.filter(zone=zone).delete()
    ZoneVersion.objects.bulk_create(after)
    return True


def _parts(version: ZoneVersion, settings: Mapping[str, Any], since: datetime) -> list[ZoneVersion]:
    if version.valid_to is not None and version.valid_to <= since:
        return [_copy(version)]
    corrected = _copy(version, **settings)
    if version.valid_from >= since:
        return [corrected]
    corrected.valid_from = since
    return [_copy(version, valid_to=since), corrected]


def _copy(version: ZoneVersion, **changed: Any) -> ZoneVersion:
    names = ("zone_id", "valid_from", "valid_to", *_SAME)
    return ZoneVersion(**{**{name: getattr(version, name) for name in names}, **changed})


def _joined(versions: Sequence[ZoneVersion]) -> list[ZoneVersion]:
    joined: list[ZoneVersion] = []
    for version in versions:
        if joined and _settings(joined[-1]) == _settings(version) and joined[-1].valid_to == version.valid_from:
            joined[-1].valid_to = version.valid_to
        else:
            joined.append(version)
    return joined


def _settings(version: ZoneVersion) -> list[Any]:
    return [getattr(version, name) for name in _SAME]


def _content(version: ZoneVersion) -> list[Any]:
    return [version.valid_from, version.valid_to, *_settings(version)]
