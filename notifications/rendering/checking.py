"""What is wrong with a content, and what is unwise in it, in words for whoever writes it."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.static_analysis import Variable

from notifications.rendering import preparing, text
from notifications.rendering.liquid import Liquid, write
from notifications.rendering.markup import MARK, Prepared
from notifications.rendering.pieces import Unreadable
from notifications.rendering.preparing import Frame, Place, Source

ERROR: Final = "error"  # it cannot be sent so
WARNING: Final = "warning"  # it can, and may not be what was meant

# All that a template may see. None: and whatever name stands behind it.
VARIABLES: Final[dict[str, Collection[str] | None]] = {
    "shopper": ("id", "language", "attributes"),
    "attributes": None,
    "brand": ("name",),
    "organisation": ("name", "postal_address"),
    "campaign": ("name",),
    "unsubscribe_url": (),
    "preferences_url": (),
}
FIELDS: Final = ("subject", "preheader", "body", "text")
MOST_REMARKS: Final = 20  # of the Liquid in one field: whoever has more has another trouble
LONG_SUBJECT: Final = 70  # more is cut in lists of mails
CLIPPED: Final = 100_000  # bytes of HTML: Gmail shows no more
FEW_WORDS: Final = 20
_PRESSING: Final = re.compile(r"\b(free money|act now|click here|100% free|winner|cash bonus|guaranteed|risk[- ]free|urgent)\b", re.IGNORECASE)
_LINK_MARK: Final = re.compile(r"\{% (?:click \d+|link|endlink) %\}")


@dataclass(frozen=True)
class Remark:
    level: str
    place: str  # subject, preheader, body, text, foot, from
    detail: str
    line: int = 0  # of the body or the text, where it is known


def check(content: Source, names: Collection[str] = (), *, frame: Frame | None = None) -> list[Remark]:
    """`names`: the attributes that shoppers have, where they are known. `frame`: what stands around it, where that is known."""
    found: list[Remark] = []
    for place in FIELDS:
        found += islice(_liquid_of(place, getattr(content, place), names), MOST_REMARKS)
    try:
        prepared = preparing.prepare(content, frame or Frame())
    except Place as fault:
        remark = remark_of(fault)
        return found if any(one.level == ERROR and one.place == remark.place for one in found) else [*found, remark]
    if not any(one.level == ERROR for one in found):
        found += _tried(prepared)
        found += _unwise(content, prepared)
    if frame and not frame.has_postal_address:
        found.append(
            Remark(WARNING, "foot", _("No postal address is set. Many countries ask for one at the foot of every mail: write it into the sending policy."))
        )
    return found


def remark_of(fault: Place | LiquidError) -> Remark:
    if isinstance(fault, Place):
        return Remark(ERROR, fault.place, str(fault), fault.line)
    return Remark(ERROR, "body", words_of(fault))


def words_of(error: LiquidError) -> str:
    """What the library says, on one line, without the template around it. It names variables and never their values."""
    said = " ".join(str(error.message or type(error).__name__).split())
    return said[:160]


def no_sender() -> str:
    return _("No sender is set, or it is no address. Write it as: Name <address@example.com>.")


def no_words() -> str:
    return _("Nothing is written yet.")


_CHECKED: Final = Liquid(autoescape=True)


def _liquid_of(place: str, source: str, names: Collection[str]) -> Iterator[Remark]:
    try:
        template = _CHECKED.compile(source)
    except Unreadable as fault:
        yield Remark(ERROR, place, str(fault), fault.line)
        return
    except LiquidError as error:
        at = _line(source, error.token.start_index) if error.token else 0
        yield Remark(ERROR, place, _("Liquid cannot be read: %(detail)s.") % {"detail": words_of(error)}, at)
        return
    seen = template.analyze(include_partials=False)
    for name, spans in seen.filters.items():
        if name not in _CHECKED.filters:
            yield Remark(ERROR, place, _("There is no filter “%(name)s” in mails.") % {"name": name[:40]}, _line(source, spans[0].index))
    yield from _variables_of(place, source, [one for variables in seen.globals.values() for one in variables], names)


def _line(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1


def _variables_of(place: str, source: str, variables: Iterable[Variable], names: Collection[str]) -> Iterator[Remark]:
    told: set[str] = set()
    for variable in variables:
        path, shown = [str(segment) for segment in variable.segments], str(variable)[:80]
        if shown in told:
            continue
        told.add(shown)
        at = _line(source, variable.span.index)
        attribute = _attribute_of(path)
        if attribute is None and not _is_known(path):
            yield Remark(ERROR, place, _("There is no %(name)s. Known are: %(known)s.") % {"name": shown, "known": known_variables()}, at)
        elif attribute is not None and names and attribute not in names:
            words = _("Nobody was found with the attribute “%(name)s”. Who lacks it gets no mail, unless a default is given: {{ %(path)s | default: '…' }}")
            yield Remark(WARNING, place, words % {"name": attribute[:64], "path": shown}, at)


def _attribute_of(path: list[str]) -> str | None:
    if path[:2] == ["shopper", "attributes"]:
        path = path[1:]
    return path[1] if len(path) == 2 and path[0] == "attributes" else None


def _is_known(path: list[str]) -> bool:
    leaves = VARIABLES.get(path[0], None)
    return leaves is not None and path != ["shopper", "attributes"] and (len(path) == 1 if not leaves else len(path) == 2 and path[1] in leaves)


def known_variables() -> str:
    return ", ".join(
        f"{root}.{leaf}" if leaf else root
        for root, leaves in VARIABLES.items()
        for leaf in (["…"] if leaves is None else [one for one in leaves if one != "attributes"] or [""])
    )


class _Nowhere:
    def click(self, number: int) -> str:
        return ""

    def to(self, target: str) -> str:
        return ""

    def pixel(self) -> str:
        return ""

    def unseen(self) -> str:
        return ""


class _Anything(dict[str, object]):
    """Of every attribute a plausible value."""

    def __missing__(self, key: str) -> object:
        return "https://shop.example/2026-01-31"


def _tried(prepared: Prepared) -> Iterator[Remark]:
    """Written once, for somebody of whom everything is known: does it end, and within bounds?"""
    anything = _Anything()
    facts: dict[str, object] = {root: _Anything() for root in VARIABLES}
    facts |= {
        "shopper": _Anything(attributes=anything),
        "attributes": anything,
        "unsubscribe_url": "https://shop.example/",
        "preferences_url": "https://shop.example/",
    }
    ours = Liquid(autoescape=True, ours=True)
    for place, source in (("subject", prepared.subject), ("body", prepared.html), ("text", prepared.text)):
        try:
            write(ours.compile(source), facts, _Nowhere())
        except ResourceLimitError as error:
            yield Remark(ERROR, place, _("This asks for too much: %(detail)s") % {"detail": words_of(error)})
        except (LiquidError, Unreadable):
            continue  # values of this kind do not suit it; those of shoppers may


def _unwise(content: Source, prepared: Prepared) -> Iterator[Remark]:
    subject = re.sub(r"\{[{%].*?[}%]\}", "", content.subject).strip()
    if len(subject) > LONG_SUBJECT:
        yield Remark(WARNING, "subject", _("Most mail programs show about %(number)s characters of a subject.") % {"number": LONG_SUBJECT})
    if len(subject) > 8 and subject.upper() == subject and subject.lower() != subject:
        yield Remark(WARNING, "subject", _("A subject in capitals is often taken for spam."))
    if re.search(r"[!?]{2}|\${2}|€{2}", subject) or _PRESSING.search(subject):
        yield Remark(WARNING, "subject", _("Pressing words and repeated signs are often taken for spam."))
    if not prepared.has_unsubscribe:
        yield Remark(
            WARNING, "body", _("The body has no link to unsubscribe for everybody. One is added at its foot: {{ unsubscribe_url }} places it elsewhere.")
        )
    for target in sorted(set(prepared.private))[:5]:
        yield Remark(WARNING, "body", _("Shoppers cannot reach “%(target)s” from where they are.") % {"target": target})
    size = len(prepared.html.encode())
    if size > CLIPPED:
        yield Remark(WARNING, "body", _("The body has %(size)s kB. Gmail shows the first 100 and hides the rest, the foot too.") % {"size": size // 1000})
    words = len(re.sub(MARK, "x", _LINK_MARK.sub("", text.of_page(prepared.html))).split())
    pictures = re.findall(r"<img\b[^>]*>", prepared.html)
    if pictures and words < FEW_WORDS:
        yield Remark(WARNING, "body", _("There are pictures and hardly any words. Many see no pictures, and filters take such mails for spam."))
    bare = sum(" alt=" not in picture for picture in pictures)
    if bare:
        said = ngettext(
            "%(number)s picture has no words for those who do not see it (alt).", "%(number)s pictures have no words for those who do not see them (alt).", bare
        )
        yield Remark(WARNING, "body", said % {"number": bare})
