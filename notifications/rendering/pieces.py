"""Where Liquid stands in a text. Read once from front to back, before Liquid's own reader, which goes back and forth over what is not closed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _

LONGEST: Final = 1000
MOST: Final = 3000
NAMES: Final = frozenset(
    "assign capture endcapture case when else endcase comment endcomment cycle for endfor break continue if elsif endif unless endunless #".split()  # noqa: SIM905
)
_OPENS: Final = re.compile(r"\{[{%]")
_NAME: Final = re.compile(r"\{%-?\s*(#|\w*)")


class Unreadable(ValueError):
    """Says to a person what is wrong, and in which line."""

    def __init__(self, detail: str, line: int) -> None:
        super().__init__(detail)
        self.line = line


@dataclass(frozen=True, slots=True)
class Piece:
    start: int
    end: int
    text: str
    name: str  # of a tag; empty: something is written

    @property
    def path(self) -> str:
        """What is written, where that is a plain variable: `unsubscribe_url` of `{{ unsubscribe_url }}`."""
        return "" if self.name else self.text[2:-2].strip("- \t\r\n")


def find(source: str, names: frozenset[str] = NAMES) -> Iterator[Piece]:
    """Raises Unreadable, also for a tag that is not among the names."""
    at = number = 0
    while opened := _OPENS.search(source, at):
        start = opened.start()
        close = source.find("}}" if source[start + 1] == "{" else "%}", start + 2)
        if close < 0:
            raise Unreadable(_("What begins with %(mark)s is not closed.") % {"mark": source[start : start + 2]}, line_of(source, start))
        at, number = close + 2, number + 1
        if number > MOST and names is NAMES:
            raise Unreadable(_("There are more than %(number)s pieces of Liquid.") % {"number": MOST}, line_of(source, start))
        if at - start > LONGEST:
            raise Unreadable(_("This is longer than %(number)s characters. Is it not closed?") % {"number": LONGEST}, line_of(source, start))
        text = source[start:at]
        name = ""
        if text[1] == "%":
            match = _NAME.match(text)
            name = match.group(1) if match else ""
            if name not in names:
                raise Unreadable(_("There is no tag “%(name)s” in mails.") % {"name": name[:40]}, line_of(source, start))
        yield Piece(start, at, text, name)


def line_of(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1
