"""The second reader, for what some languages write though JSON has no word for it: NaN, Infinity, half of a surrogate pair. Pure.

It is slow and used only where the first one fails. It takes a body apart, so that only the event that holds such a thing is refused.
"""

import json
from typing import Any, Final

BYTES: Final = 256 * 1024  # objects are many times larger than the text they came from


def split(text: bytes, name: str) -> tuple[bytes, list[bytes]] | None:
    """The object in `text` with the list `name` emptied, and the list's items, all as JSON again as far as possible. None: it cannot be read."""
    if len(text) > BYTES:
        return None
    try:
        whole = json.loads(text.decode(), object_pairs_hook=_unique_or_pairs)
        if not isinstance(whole, dict) or not isinstance(whole.get(name), list):
            return None
        return json.dumps({**whole, name: []}).encode(), [json.dumps(item).encode() for item in whole[name]]
    except (ValueError, RecursionError):
        return None


def field(text: bytes, name: str) -> Any:
    """One field of the object in `text`, or None."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return whole.get(name) if isinstance(whole, dict) else None


def _unique_or_pairs(pairs: list[tuple[str, Any]]) -> Any:
    """An object; or, where a name appears twice in it, a list, which no field accepts."""
    named = dict(pairs)
    return named if len(named) == len(pairs) else pairs
