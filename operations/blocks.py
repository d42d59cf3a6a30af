"""A notice as Slack's Block Kit takes it. Pure, and of the standard library alone, so that it also runs where nothing else is installed.

Nothing in a notice can speak to Slack: `& < >` are escaped, so `<!channel>` wakes nobody and no text becomes a link; what cannot be
shown is replaced; what is too long is cut at Slack's limits, counted as Slack counts: in UTF-16 units, after escaping.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

HEADER_LIMIT: Final = 150
SECTION_LIMIT: Final = 3000
CONTEXT_LIMIT: Final = 2000
TEXT_LIMIT: Final = 3000
BUTTON_LIMIT: Final = 75
ADDRESS_LIMIT: Final = 3000  # of a button; a longer one is left out: half an address leads nowhere
MOST_BUTTONS: Final = 5  # Slack takes 25; nobody reads more than a row
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_UNSHOWABLE: Final = "\N{REPLACEMENT CHARACTER}"
_CUT: Final = "…"
_ADDRESS: Final = re.compile(r"https?://[!-;=?-~]+")  # ASCII that is seen, without < and >


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What a person is told."""

    mark: str  # one sign that is seen before anything is read
    title: str
    body: str
    remedy: str  # what to do; may be empty
    footer: str  # how grave, and when
    level: str = "info"  # of the log, where it goes there: info, warning, error
    links: tuple[tuple[str, str], ...] = ()  # text and address, shown as buttons


def payload(notice: Notice) -> dict[str, Any]:
    """The JSON of an incoming webhook. `text` is what a notification on a phone shows."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": fit(f"{notice.mark} {notice.title}", HEADER_LIMIT)}}]
    blocks += [_section(text) for text in (notice.body, notice.remedy) if text.strip()]
    if notice.footer.strip():
        blocks.append({"type": "context", "elements": [_text(notice.footer, CONTEXT_LIMIT)]})
    buttons = [_button(number, text, address) for number, (text, address) in enumerate(notice.links) if _leads(text, address)]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons[:MOST_BUTTONS]})
    return {"text": fit(f"{notice.mark} {notice.title}: {notice.body}", TEXT_LIMIT), "blocks": blocks}


def _leads(text: str, address: str) -> bool:
    """Slack refuses a whole message for one address that it does not take."""
    return bool(text.strip()) and bool(_ADDRESS.fullmatch(address)) and len(address) <= ADDRESS_LIMIT


def _button(number: int, text: str, address: str) -> dict[str, Any]:
    """`action_id`: Slack wants one of each button, unlike its neighbours'."""
    shown = {"type": "plain_text", "text": fit(text, BUTTON_LIMIT)}
    return {"type": "button", "action_id": f"link-{number}", "text": shown, "url": address}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text, SECTION_LIMIT)}


def _text(text: str, limit: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": fit(text, limit), "verbatim": True}  # verbatim: names and addresses in it do not become links


def fit(text: str, limit: int) -> str:
    """Escaped, and cut so that no escape is torn."""
    pieces: list[str] = []
    length, kept = 0, 0
    for character in text:
        shown = character if character.isprintable() or character == "\n" else _UNSHOWABLE
        piece = _ESCAPES.get(shown, shown)
        length += _units(piece)
        if length > limit:
            return "".join(pieces[:kept]) + _CUT
        pieces.append(piece)
        if length + _units(_CUT) <= limit:
            kept = len(pieces)
    return "".join(pieces)


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)
