"""A file of shoppers (CSV): its text, its rows with the lines that they stand on, and what its columns may mean. Pure: no database, and no Django.

bytes  ->  UTF-8 without a mark, checked, packed  ->  rows, one by one, never all of them in memory
"""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

MOST_BYTES: Final = 50 * 1024 * 1024
MOST_COLUMNS: Final = 200
SAMPLE: Final = 100  # rows that are looked at to guess what a column holds
DELIMITERS: Final = (",", ";", "\t")
IGNORE: Final = ""

_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:[.,]\d{1,10})?", re.ASCII)
YES: Final = frozenset({"yes", "y", "true", "1", "x", "ja", "oui", "si", "sí", "on"})
NO: Final = frozenset({"no", "n", "false", "0", "nein", "non", "off"})


class Unreadable(Exception):
    """`why`: too_large, utf16, not_utf8, empty, columns, quotes. `line`: where, from 1 on."""

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(why)
        self.why, self.line = why, line


@dataclass(frozen=True, slots=True)
class Row:
    line: int  # its first one, from 1 on
    cells: list[str]


def packed(chunks: Iterable[bytes]) -> bytes:
    """The file as it is kept. Raises Unreadable; never holds the whole text."""
    out, size, first = io.BytesIO(), 0, b""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as into:
        for chunk in chunks:
            size += len(chunk)
            if size > MOST_BYTES:
                raise Unreadable("too_large")
            first = first or chunk[:4]
            if first.startswith(_UTF16) or b"\0" in chunk:
                raise Unreadable("utf16")
            into.write(_decoded(decoder, chunk).encode())
        into.write(_decoded(decoder, b"", final=True).encode())
    return out.getvalue()


def _decoded(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> str:
    try:
        return decoder.decode(chunk, final)
    except UnicodeDecodeError:
        raise Unreadable("not_utf8") from None


def rows(content: bytes, after: int = 0) -> Iterator[Row]:
    """The rows that begin after a line, the heading among them, without empty ones. Raises Unreadable where a quote is not closed."""
    delimiter = _delimiter(content)
    with io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(content)), encoding="utf-8", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        line = 0
        try:
            for cells in reader:
                first, line = line + 1, reader.line_num
                if first > after and any(cell.strip() for cell in cells):
                    yield Row(first, [cell.strip() for cell in cells])
        except csv.Error:
            raise Unreadable("quotes", line + 1) from None


def _delimiter(content: bytes) -> str:
    """Whichever parts the heading most often; a comma where none does."""
    with io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(content)), encoding="utf-8", newline="") as text:
        heading = next((line for line in text if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", heading)
    return max(DELIMITERS, key=bare.count)


def heading(content: bytes) -> Row:
    """The names of the columns. Raises Unreadable where there is none."""
    found = next(rows(content), None)
    if found is None:
        raise Unreadable("empty")
    if len(found.cells) > MOST_COLUMNS:
        raise Unreadable("columns", found.line)
    return found


def count(content: bytes) -> int:
    """Rows below the heading. Raises Unreadable."""
    return max(0, sum(1 for _ in rows(content)) - 1)


def without(content: bytes, theirs: Callable[[int, str], bool]) -> bytes | None:
    """The file with every row below the heading emptied that has such a cell (by its column, from 0 on): the others stay on their lines.

    None where there is none.
    """
    lines: list[tuple[int, int]] = []
    following: Row | None = None
    try:
        for place, row in enumerate(rows(content)):
            if following is not None:
                lines.append((following.line, row.line))
            following = row if place and any(theirs(column, cell) for column, cell in enumerate(row.cells)) else None
    except Unreadable as error:
        # Beyond it nobody takes anything in, so nothing of it need be kept.
        lines.append((following.line if following else error.line, 2**62))
        following = None
    if following is not None:
        lines.append((following.line, 2**62))
    return _emptied(content, lines) if lines else None


def _emptied(content: bytes, lines: Sequence[tuple[int, int]]) -> bytes:
    out = io.BytesIO()
    gone = iter((*lines, (2**62, 2**62)))
    first, end = next(gone)
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as into,
        io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(content)), encoding="utf-8", newline="") as text,
    ):
        for number, line in enumerate(text, start=1):
            while number >= end:
                first, end = next(gone)
            into.write(b"\n" if number >= first else line.encode())
    return out.getvalue()


# --- What columns may mean ------------------------------------------------------------------------------------------------

_NAMES: Final = {
    "id": {"id", "shopper", "shopper id", "customer", "customer id", "customer number", "crm id", "external id", "user id", "member id", "kundennummer"},
    "email": {"email", "e mail", "mail", "email address", "e mail address"},
    "language": {"language", "lang", "locale", "sprache"},
    "time_zone": {"time zone", "timezone", "tz", "zeitzone"},
    "consent": {"consent", "opt in", "optin", "marketing consent", "email consent", "newsletter"},
    "consent_at": {"consent at", "consent date", "opt in date", "opted in at", "consented at"},
}


def guess(content: bytes) -> list[str]:
    """Of each column what it may be: a field, or `text:name`, `number:name`, `truth:name` of an attribute. Each field once."""
    names = heading(content)
    sample = [row.cells for row, _ in zip(rows(content, after=names.line), range(SAMPLE), strict=False)]
    taken: set[str] = set()
    found = []
    for place, name in enumerate(names.cells):
        plain = " ".join(re.sub(r"[\W_]+", " ", name.lower()).split())
        field = next((field for field, known in _NAMES.items() if plain in known and field not in taken), None)
        cells = [cells[place] for cells in sample if len(cells) > place and cells[place]]
        chosen = field or (f"{_kind(cells)}:{name[:64].strip()}" if name and cells else IGNORE)
        chosen = IGNORE if chosen in taken else chosen
        taken.add(chosen)
        found.append(chosen)
    return found


def _kind(cells: list[str]) -> str:
    if all(len(cell) > 1 and cell.lower() in YES | NO for cell in cells):
        return "truth"
    return "number" if all(_NUMBER.fullmatch(cell) for cell in cells) else "text"


def number(cell: str) -> int | float | None:
    """None where it is none."""
    if not _NUMBER.fullmatch(cell):
        return None
    return float(cell.replace(",", ".")) if "." in cell or "," in cell else int(cell)


def truth(cell: str) -> bool | None:
    plain = cell.lower()
    return True if plain in YES else False if plain in NO else None
