"""What phones send, and what the door made of it."""

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from engagement import inbox
from engagement.models import Inbox, Organisation

BEACON: Final = {"uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 1, "minor": 7}


def sighting(**changes: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "type": "sighting", "at": now(), "beacon": BEACON, "rssi": -71, **changes}


def request(*events: dict[str, Any], device: str = "phone", **more: Any) -> dict[str, Any]:
    return {"device": {"id": device}, "events": list(events) or [sighting()], **more}


def now() -> str:
    return datetime.now(UTC).isoformat()


def rows(organisation: Organisation) -> list[Inbox]:
    return list(Inbox.objects.filter(organisation=organisation).order_by("id"))


def devices(organisation: Organisation) -> list[str]:
    """The device of each stored request, by the order of storing."""
    return [inbox.unpack(bytes(row.payload)).device for row in rows(organisation)]
