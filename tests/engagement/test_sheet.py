"""Files of shoppers as offices save them: read row by row with the right lines, refused with a reason, guessed at with sense."""

import csv
import gzip
import io
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.profiles import sheet
from engagement.profiles.sheet import Row, Unreadable
from tests.worlds import search

PLAIN: Final = "id,email\na,a@example.com\nb,b@example.com\n"


def kept(text: str | bytes, size: int = 7) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return sheet.packed(raw[first : first + size] for first in range(0, len(raw), size))


@pytest.mark.parametrize("text", [PLAIN, PLAIN.replace("\n", "\r\n"), PLAIN.replace(",", ";"), PLAIN.replace(",", "\t"), "\ufeff" + PLAIN, PLAIN.rstrip()])
def test_offices_save_the_same_table_in_many_ways(text: str) -> None:
    assert list(sheet.rows(kept(text))) == [Row(1, ["id", "email"]), Row(2, ["a", "a@example.com"]), Row(3, ["b", "b@example.com"])]
    assert sheet.count(kept(text)) == 2


def test_quotes_empty_lines_and_cells_over_several_lines_keep_their_lines() -> None:
    text = 'id;note\r\n\r\na;"one\r\ntwo; ""three"""\r\n;\r\nb; x \r\n'
    assert list(sheet.rows(kept(text))) == [Row(1, ["id", "note"]), Row(3, ["a", 'one\r\ntwo; "three"']), Row(6, ["b", "x"])]
    assert [row.line for row in sheet.rows(kept(text), after=3)] == [6]


def test_a_delimiter_inside_quotes_parts_nothing() -> None:
    assert sheet.heading(kept('"a,b,c";d\n')).cells == ["a,b,c", "d"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (PLAIN.encode("utf-16"), "utf16"),
        (PLAIN.encode("utf-16-le"), "utf16"),
        ("id,name\na,Zoë\n".encode("latin-1"), "not_utf8"),
        ("id,name\na,Zoë".encode()[:-1], "not_utf8"),
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n ;;\r\n", "empty"),
        ((",".join("c" * 201) + "\n").encode(), "columns"),
        (b'id,note\na,"never closed\nb,c\n', "quotes"),
        (b'id,note\na,"x"y\n', "quotes"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as error:
        content = kept(raw)
        sheet.heading(content)
        sheet.count(content)
    assert error.value.why == why
    if why == "quotes":
        assert error.value.line == 2


def test_a_file_too_large_is_refused_before_it_is_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MOST_BYTES", 100)
    read = []

    def chunks() -> "list[bytes]":
        return [b"x" * 60] * 5

    with pytest.raises(Unreadable, match="too_large"):
        sheet.packed(read.append(chunk) or chunk for chunk in chunks())
    assert len(read) == 2


def test_columns_are_guessed_by_name_and_by_what_they_hold() -> None:
    text = (
        "Customer ID;E-Mail;Sprache;tier;visits;VIP;zip;flag;nothing;Opt-in;consent_date;email\n"
        "a;a@example.com;de;gold;3;yes;01234;1;;yes;2026-01-01;x@example.com\n"
        "b;b@example.com;en;;4,5;no;98765;0;;no;;\n"
    )
    assert sheet.guess(kept(text)) == [
        *("id", "email", "language", "text:tier", "number:visits", "truth:VIP", "text:zip", "number:flag", "", "consent", "consent_at", "text:email"),
    ]


@pytest.mark.parametrize(
    ("cell", "said"), [("3", 3), ("-2.5", -2.5), ("4,5", 4.5), ("0", 0), ("01", None), ("1e3", None), ("", None), ("٣", None), ("=1+1", None)]
)
def test_numbers_are_read_as_people_write_them(cell: str, said: float | None) -> None:
    assert sheet.number(cell) == said


def test_the_rows_of_one_are_emptied_and_the_others_stay_on_their_lines() -> None:
    content = kept('id;email;note\na;a@example.com;"x\ny"\nb;b@example.com;\na2;A@Example.com;\nc;c@example.com;"z\n"\n')
    left = sheet.without(content, lambda _, cell: cell == "a" or cell.lower() == "a@example.com")
    assert left is not None
    assert [(row.line, row.cells[0]) for row in sheet.rows(left)] == [(1, "id"), (4, "b"), (6, "c")]
    assert b"xample.com" in gzip.decompress(left) and b"a@" not in gzip.decompress(left).lower()
    assert sheet.without(content, lambda column, cell: column == 2 and cell == "a") is None
    assert sheet.without(left, lambda _, cell: cell == "a") is None
    assert sheet.without(kept('id;note\na;"never closed\nmore of him'), lambda _, cell: cell == "nobody") == sheet.packed([b"id;note\n\n\n"])


@search(50)
@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4) | st.just("id"), min_size=2, max_size=3), min_size=1, max_size=6
    ),
    st.integers(0, 5),
)
def test_whatever_stands_in_cells_the_rows_that_are_left_are_those_of_the_others(table: list[list[str]], who: int) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([["id", "x", "y"], *table])
    content = kept(out.getvalue())
    name = table[who % len(table)][0].strip()
    before = list(sheet.rows(content))
    left = sheet.without(content, lambda _, cell: cell == name)
    expected = before[:1] + [row for row in before[1:] if name not in row.cells]
    assert list(sheet.rows(left or content)) == expected
