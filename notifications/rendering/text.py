"""The part without pictures: made of the page, or written by hand; its addresses are links as well."""

import re
from html.parser import HTMLParser
from typing import Final

from notifications.rendering import markup
from notifications.rendering.markup import MARK, Prepared
from notifications.rendering.pieces import Piece

_BLOCKS: Final = frozenset("p div table tr section article header footer h1 h2 h3 h4 h5 h6 ul ol li blockquote pre hr center dl dt dd".split())  # noqa: SIM905
_APART: Final = frozenset("p h1 h2 h3 h4 h5 h6 ul ol blockquote table pre".split())  # with an empty line before  # noqa: SIM905
_UNSEEN: Final = frozenset("style script head title template".split())  # noqa: SIM905
_EMPTY: Final = frozenset("br hr img input meta link col area base wbr".split())  # noqa: SIM905
_BREAK: Final = "\0"  # a line ends here, if it has begun
_GAP: Final = "\1"  # and an empty one follows
_BREAKS: Final = re.compile(r"[ \t]*[\0\1][\0\1 \t]*")
_HIDDEN: Final = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"https?://[^\s<>\"]+")
_AFTER: Final = ".,;:!?)'’”"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.unseen: list[str] = []  # elements opened within the first that is not seen
        self.links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if self.unseen or tag in _UNSEEN or _HIDDEN.search(known.get("style", "")) or "hidden" in known:
            if tag not in _EMPTY:
                self.unseen.append(tag)
            return
        if tag == "br":
            self.out.append("\n")
        elif tag == "img":
            self.out.append(known.get("alt", ""))
        elif tag == "a":
            self.links.append((known.get("href", ""), len(self.out)))
        elif tag in _BLOCKS:
            self.out.append(_GAP if tag in _APART else _BREAK)
            self.out.append("- " if tag == "li" else f"---{_BREAK}" if tag == "hr" else "")
        elif tag in {"td", "th"}:
            self.out.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self.unseen:
            if tag in self.unseen:
                while self.unseen.pop() != tag:
                    pass
            return
        if tag == "a" and self.links:
            href, begun = self.links.pop()
            words = "".join(self.out[begun:]).strip()
            if href and not href.startswith("#") and href.removeprefix("mailto:").removeprefix("tel:") != words:
                self.out.append(f" ({href.removeprefix('mailto:').removeprefix('tel:')})" if words else href)
        elif tag in _BLOCKS:
            self.out.append(_GAP if tag in _APART else _BREAK)

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.out.append(re.sub(r"\s+", " ", data.replace(_BREAK, "").replace(_GAP, "")))

    def handle_comment(self, data: str) -> None:
        if not self.unseen and MARK.fullmatch(data):
            self.out.append(data)


def of_page(page: str) -> str:
    """The page's words, with its marks of Liquid; links stand in brackets behind theirs."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    text = _BREAKS.sub(lambda match: "\n\n" if _GAP in match.group() else "\n", "".join(reader.out))
    lines = (re.sub(r"[ \t\u00a0]+", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def with_links(text: str, found: list[Piece], prepared: Prepared) -> str:
    """Every address in the text as one of ours; those that hold Liquid as such."""

    def written(address: str) -> str:
        bare = address.rstrip(_AFTER)
        if bare.count("(") > bare.count(")") and address[len(bare) : len(bare) + 1] == ")":
            bare += ")"
        after = address[len(bare) :]
        if MARK.search(bare):
            return f"{{% link %}}{bare}{{% endlink %}}{after}"
        return (markup.link_to(bare, prepared) or bare) + after

    return markup.put_back(markup.each_word(text, _ADDRESS, written), found)
