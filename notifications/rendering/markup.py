"""The body of a mail, once for everybody: MJML to HTML, styles into their elements, links named, the hidden line above, the foot below.

Liquid is taken out before others read the text, and put back after: what reads HTML moves text out of tables and escapes what stands in addresses.
In text it is replaced by a comment, which may stand everywhere; in an attribute's value by a word.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import css_inline
import mjml
from django.utils.translation import gettext as _

from notifications.rendering import pieces, targets
from notifications.rendering.pieces import Piece, Unreadable

LONGEST_SOURCE: Final = 200_000
LONGEST_PREPARED: Final = 300_000
MOST_ELEMENTS: Final = 5_000
DEEPEST: Final = 200
MOST_STYLE: Final = 10_000_000  # characters of style, times elements: what writing them into the elements costs

_WORD: Final = "liquidpiece{}ends"
_COMMENT: Final = "<!--liquidpiece{}ends-->"
MARK: Final = re.compile(r"liquidpiece(\d+)ends")
_PUT_BACK: Final = re.compile(r"<!--liquidpiece(\d+)ends-->|liquidpiece(\d+)ends")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
# Without an end of their own, or ended by the next of their kind.
_FLAT: Final = frozenset("area base br col embed hr img input link meta source track wbr p li td th tr dt dd option tbody thead tfoot".split())  # noqa: SIM905
_STEPS: Final = {
    "text": re.compile(r"<!--|<[a-zA-Z/]"),
    "comment": re.compile(r"-->"),
    "tag": re.compile(r"[\"'>]"),
    '"': re.compile(r'"'),
    "'": re.compile(r"'"),
}
_RAW: Final = re.compile(r"<(style|script|title|textarea)\b[^>]*$", re.IGNORECASE)
_LINK: Final = re.compile(r'<!--.*?-->|<style\b.*?</style>|(<(?:a|area)\b(?:[^>"]|"[^"]*")*?\shref=")([^"]*)(")', re.DOTALL)
_BODY: Final = re.compile(r'<body\b(?:[^>"]|"[^"]*")*>')
_VERBATIM: Final = frozenset(("script", "iframe", "noscript", "noembed", "noframes", "xmp", "plaintext"))
_STYLES: Final = re.compile(r"<(?:mj-)?style\b.*?(?:</(?:mj-)?style|$)", re.DOTALL | re.IGNORECASE)
_ELEMENT: Final = re.compile(r'<!--.*?-->|<style\b.*?</style>|<([a-z][a-z0-9:-]*)((?:[^>"]|"[^"]*")*)>', re.DOTALL)
_ATTRIBUTE: Final = re.compile(r'\s([^\s="/]+)="([^"]*)"')
_REFUSED: Final = frozenset("script iframe frame frameset object embed applet form base svg math".split())  # noqa: SIM905
_SOURCES: Final = frozenset(("src", "background", "poster", "srcset"))
_SOURCE: Final = re.compile(r"\s*(https?://|liquidpiece)", re.IGNORECASE)
_PAGE: Final = re.compile(r"<(html|body)\b", re.IGNORECASE)
_INLINER: Final = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
_STYLE: Final = re.compile(r'\bstyle="([^"]*)"')
_TIDY: Final = css_inline.CSSInliner(inline_style_tags=False, keep_style_tags=True, load_remote_stylesheets=False)
OURS: Final = ("unsubscribe_url", "preferences_url")


@dataclass
class Prepared:
    """Liquid of one content: what is rendered for everybody. `{% click 3 %}` stands for the fourth of `targets`, `{% link %}` for one that has Liquid in it."""

    subject: str
    html: str
    text: str
    targets: list[str] = field(default_factory=list)
    has_unsubscribe: bool = False  # in the body, for everybody
    private: list[str] = field(default_factory=list)  # hosts that shoppers cannot reach

    def click(self, target: str) -> str:
        if target not in self.targets:
            self.targets.append(target)
        return f"{{% click {self.targets.index(target)} %}}"


def take_out(source: str, *, markup: bool) -> tuple[str, list[Piece]]:
    """The text with a mark for each piece of Liquid, and the pieces. Raises Unreadable."""
    if MARK.search(source):
        raise Unreadable(_("“liquidpiece…ends” is a word that this program needs for itself."), 1)
    found = list(pieces.find(source))
    out, at, state = [], 0, "text"
    for number, piece in enumerate(found):
        between = source[at : piece.start]
        out.append(between)
        at = piece.end
        if not markup:
            out.append(_WORD.format(number))
            continue
        state = _state_after(between, state)
        if state in {"tag", "style", "script"}:
            where = _("between the attributes of an element, or without quotes") if state == "tag" else f"<{state}>"
            raise Unreadable(_("Liquid cannot stand here: %(where)s.") % {"where": where}, pieces.line_of(source, piece.start))
        out.append((_COMMENT if state == "text" else _WORD).format(number))
    return "".join([*out, source[at:]]), found


def _state_after(text: str, state: str) -> str:
    """In what a text leaves its reader, who was in `state` before it: text, comment, tag, a quoted value, or an element whose content is no markup."""
    at, opened = 0, ""
    while True:
        step = _STEPS.get(state) or re.compile(rf"</{state}", re.IGNORECASE)
        match = step.search(text, at)
        if match is None:
            return state
        at = match.end()
        if state == "text":
            state, opened = ("comment", "") if match.group() == "<!--" else ("tag", text[match.start() : at])
            begun = match.start()
        elif state == "tag" and match.group() == ">":
            raw = _RAW.search(text[begun : at - 1]) if opened else None
            state, opened = (raw.group(1).lower() if raw else "text"), ""
        elif state == "tag":
            state = match.group()
        elif state in {'"', "'"}:
            state = "tag"
        else:
            state = "text" if state == "comment" else "tag"


def put_back(text: str, found: list[Piece]) -> str:
    return _PUT_BACK.sub(lambda match: found[int(match.group(1) or match.group(2))].text, text)


def bounded(source: str) -> None:
    """Refuses what would cost its readers too much. Raises Unreadable."""
    if len(source) > LONGEST_SOURCE:
        raise Unreadable(_("The body is longer than %(number)s characters.") % {"number": LONGEST_SOURCE}, 1)
    elements = depth = 0
    opened: dict[str, int] = {}
    for match in _TAG.finditer(source):
        name = match.group(2).lower()
        if not match.group(1):
            elements += 1
            if name not in _FLAT:
                opened[name] = opened.get(name, 0) + 1
                depth += 1
        elif opened.get(name):
            opened[name] -= 1
            depth -= 1
        if depth > DEEPEST or elements > MOST_ELEMENTS:
            raise Unreadable(_("The body has too many elements, or too many within each other."), pieces.line_of(source, match.start()))
    style = sum(map(len, _STYLES.findall(source)))
    if style * elements > MOST_STYLE:
        raise Unreadable(_("The body has too much style for so many elements."), 1)


def shown(source: str) -> str:
    """The source without its comments, as a browser ends them. By searching: a pattern would go back and forth over what is not closed."""
    out, at = [], 0
    while (start := source.find("<!--", at)) >= 0:
        out.append(source[at:start])
        ends = [found + len(end) for end in ("-->", "--!>") if (found := source.find(end, start + 2)) >= 0]
        if source.startswith(("<!-->", "<!--->"), start):
            ends = [source.index(">", start) + 1]
        if not ends:
            return "".join(out)
        at = min(ends)
    return "".join([*out, source[at:]])


def plain(source: str) -> None:
    """Refuses elements whose content is read as text and written back as markup. Raises Unreadable."""
    for match in _TAG.finditer(shown(source)):
        if match.group(2).lower() in _VERBATIM:
            raise Unreadable(_("<%(name)s> does not work in mails. Take it out.") % {"name": match.group(2)[:20]}, 1)


def _paged(marked: str, kind: str) -> str:
    """Raises Unreadable, another ValueError, or what the libraries make of it."""
    if kind == "mjml":
        marked = mjml.mjml2html(marked, fonts={})
        bounded(marked)
    elif not _PAGE.search(marked):  # before a body, its reader would move comments and drop blanks
        marked = f"<html><head></head><body>{marked}</body></html>"
    return _inlined(marked)


def to_html(body: str, kind: str, language: str) -> tuple[str, list[Piece]]:
    """A whole page with its styles inside, marks in place of Liquid, and the pieces. Raises Unreadable."""
    bounded(body)
    plain(body)
    marked, found = take_out(body, markup=True)
    try:
        page = _paged(marked, kind)
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(_("The body cannot be read: %(detail)s") % {"detail": str(error)[:200]}, 1) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the libraries in Rust: no Exception, and would end the sender of everybody's mails
            raise
        raise Unreadable(_("The body cannot be read."), 1) from None
    harmless(page)
    if len(page) > LONGEST_PREPARED:
        raise Unreadable(_("The body becomes too large when its styles are written into its elements."), 1)
    if language:
        page = re.sub(r"<html(?![^>]*\slang=)", f'<html lang="{html.escape(language)}"', page, count=1)
    return (page if page[:15].lower().startswith("<!doctype") else f"<!DOCTYPE html>\n{page}"), found


def _inlined(marked: str) -> str:
    try:
        return _INLINER.inline(marked)
    except css_inline.InlineError:  # an element's own style is written wrongly, which mail programs forgive
        page = _STYLE.sub(lambda match: f'style="{_declarations(match.group(1))}"', _TIDY.inline(marked))
    try:
        return _INLINER.inline(page)
    except css_inline.InlineError:
        return page  # the styles stay where they are


def _declarations(style: str) -> str:
    return ";".join(one for one in style.split(";") if re.match(r"\s*[a-zA-Z-]+\s*:\s*\S", one))


def harmless(page: str) -> None:
    """Refuses what no mail program shows and what a preview must not run, and pictures that would have to be attached. Raises Unreadable."""
    for match in _ELEMENT.finditer(page):
        name, rest = match.group(1), match.group(2) or ""
        if name in _REFUSED or (name == "meta" and "refresh" in rest.lower()):
            raise Unreadable(_("<%(name)s> does not work in mails. Take it out.") % {"name": name}, 1)
        for attribute, value in _ATTRIBUTE.findall(rest):
            if attribute.startswith("on"):
                raise Unreadable(_("%(name)s=… does not work in mails. Take it out.") % {"name": attribute}, 1)
            if attribute in _SOURCES and not _SOURCE.match(html.unescape(value)):
                raise Unreadable(_("The picture “%(source)s” must have an address that begins with https://. Nothing is attached.") % {"source": value[:60]}, 1)


def name_links(page: str, found: list[Piece], prepared: Prepared) -> str:
    """Every link of the page as one of ours. Raises Unreadable for one that leads neither to the web nor to a mailbox."""
    depth = _depths(found)

    def named(match: re.Match[str]) -> str:
        if not match.group(1):
            return match.group()
        marks = [int(number) for number in MARK.findall(match.group(2))]
        target = html.unescape(match.group(2)).strip()
        if marks:
            first = found[marks[0]]
            if len(marks) == 1 and first.path in OURS and MARK.fullmatch(target):
                prepared.has_unsubscribe |= first.path == "unsubscribe_url" and depth[marks[0]] == 0
                return match.group()
            return f"{match.group(1)}{{% link %}}{match.group(2)}{{% endlink %}}{match.group(3)}"
        written = link_to(target, prepared)
        return f"{match.group(1)}{written or match.group(2)}{match.group(3)}"

    return _LINK.sub(named, page)


def link_to(target: str, prepared: Prepared) -> str:
    """What to write in place of a plain target, or nothing where it stays as it is. Raises Unreadable."""
    if not target or target.startswith(("#", "mailto:", "tel:")):
        return ""
    try:
        spelled = targets.web(target)
    except targets.Refused as refused:
        raise Unreadable(_why(refused.why) % {"target": target[:80]}, 1) from None
    if targets.is_private(spelled):
        prepared.private.append(target[:80])
    return prepared.click(spelled)


def _why(reason: str) -> str:
    return {
        "scheme": _("The link “%(target)s” must begin with https://, http:// or mailto:."),
        "host": _("The link “%(target)s” names no host."),
        "user": _("The link “%(target)s” hides its host behind a user name."),
        "long": _("The link “%(target)s” is too long."),
    }[reason]


def _depths(found: list[Piece]) -> list[int]:
    """Of each piece: in how many blocks it stands."""
    depth, depths = 0, []
    for piece in found:
        depth -= piece.name.startswith("end")
        depths.append(depth)
        depth += piece.name in {"if", "unless", "case", "for", "capture", "comment"}
    return depths


def escaped(line: str) -> str:
    """A line of plain text with Liquid, as it stands in HTML."""
    marked, found = take_out(line, markup=False)
    return put_back(html.escape(marked), found)


def framed(page: str, *, above: str, below: str) -> str:
    """The page with something at the head and the foot of its body."""
    opened = _BODY.search(page)
    at = opened.end() if opened else 0
    page = page[:at] + above + page[at:]
    at = page.rfind("</body>")
    return page[:at] + below + page[at:] if at >= 0 else page + below


def each_word(text: str, pattern: re.Pattern[str], write: Callable[[str], str]) -> str:
    return pattern.sub(lambda match: write(match.group()), text)
