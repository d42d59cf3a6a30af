"""A notice as Slack's Block Kit takes it. Pure, and of the standard library alone, so that it also runs where nothing else is installed.

Nothing in a notice can speak to Slack: `& < >` are escaped, so `<!channel>` wakes nobody and no text becomes a link; what cannot be
shown is replaced; what is too long is cut at Slack's limits, counted as Slack counts: in UTF-16 units, after escaping.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

HEADER_LIMIT: Final = 150
SECTION_LIMIT: Final = 3000
CONTEXT_LIMIT: Final = 2000
TEXT_LIMIT: Final = 3000
BUTTON_LIMIT: Final = 75
ADDRESS_LIMIT: Final = 3000  # of a button; a longer one is left out: half an address leads nowhere
LINE_LIMIT: Final = 300
LINES_LIMIT: Final = 6000  # all together: beyond some 13,000 characters in all blocks Slack refuses a message, which it documents nowhere
BESIDE_LINES_LIMIT: Final = 1000
MOST_BUTTONS: Final = 5  # Slack takes 25; nobody reads more than a row
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPED: Final = re.compile("[&<>]")
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
    lines: tuple[str, ...] = ()  # of several things told as one: a line each, after the body


def payload(notice: Notice) -> dict[str, Any]:
    """The JSON of an incoming webhook. `text` is what a notification on a phone shows."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": fit(f"{notice.mark} {notice.title}", HEADER_LIMIT)}}]
    limit = BESIDE_LINES_LIMIT if notice.lines else SECTION_LIMIT
    texts = (fit(notice.body, limit), *(fit(text, SECTION_LIMIT) for text in _lines(notice.lines)), fit(notice.remedy, limit))
    blocks += [{"type": "section", "text": _markdown(text)} for text in texts if text.strip()]
    if notice.footer.strip():
        blocks.append({"type": "context", "elements": [_markdown(fit(notice.footer, CONTEXT_LIMIT))]})
    buttons = [_button(number, text, address) for number, (text, address) in enumerate(notice.links) if _leads(text, address)]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons[:MOST_BUTTONS]})
    said = notice.body if notice.body.strip() else " · ".join(notice.lines)
    return {"text": fit(f"{notice.mark} {notice.title}: {said}" if said else f"{notice.mark} {notice.title}", TEXT_LIMIT), "blocks": blocks}


def _lines(lines: Sequence[str]) -> list[str]:
    """Texts of sections, none cut in the middle of a line; how many lines are left out is said."""
    texts, length = [""], 0
    for number, line in enumerate(lines):
        cut = line if _units(line) <= LINE_LIMIT else line[: LINE_LIMIT // 2] + _CUT
        size = _units(fit(cut, SECTION_LIMIT)) + 1
        length += size
        if length > LINES_LIMIT:
            return [*texts, f"+ {len(lines) - number}"]
        if _units(fit(texts[-1], SECTION_LIMIT)) + size > SECTION_LIMIT:
            texts.append("")
        texts[-1] += f"\n{cut}" if texts[-1] else cut
    return texts


def _leads(text: str, address: str) -> bool:
    """Slack refuses a whole message for one address that it does not take."""
    return bool(text.strip()) and bool(_ADDRESS.fullmatch(address)) and len(address) <= ADDRESS_LIMIT


def _button(number: int, text: str, address: str) -> dict[str, Any]:
    """`action_id`: Slack wants one of each button, unlike its neighbours'."""
    shown = {"type": "plain_text", "text": fit(text, BUTTON_LIMIT)}
    return {"type": "button", "action_id": f"link-{number}", "text": shown, "url": address}


def _markdown(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # verbatim: names and addresses in it do not become links


def fit(text: str, limit: int) -> str:
    """Escaped, and cut so that no escape is torn."""
    if len(text) <= limit and text.isascii() and text.replace("\n", "").isprintable() and not _ESCAPED.search(text):
        return text  # nearly every text is so, and is not looked at sign by sign
    pieces: list[str] = []
    length, kept = 0, 0
    for character in text:
        shown = character if character.isprintable() or character == "\n" else _UNSHOWABLE
        piece = _ESCAPES.get(shown, shown)
        length += len(piece) + (piece > "\uffff")
        if length > limit:
            return "".join(pieces[:kept]) + _CUT
        pieces.append(piece)
        if length < limit:  # room for the sign that says it was cut
            kept = len(pieces)
    return "".join(pieces)


def _units(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)
