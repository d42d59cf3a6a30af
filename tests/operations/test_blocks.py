"""What is sent keeps to Slack's limits, and nothing in it can speak to Slack."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from operations import blocks
from tests.operations.fake_slack import fault, texts_of, units

EVIL = "<!channel> <@U1> <https://evil.example|click> & <!here> &amp; Ann <b>\x00\x1b[31m\u202e\ud800"
ANY_TEXT = st.one_of(st.text(st.characters(codec=None), max_size=5000), st.sampled_from([EVIL * 200, "&" * 5000, "😀" * 4000, "<" * 3001, "", " \n"]))


def notice(**fields: Any) -> blocks.Notice:
    return blocks.Notice(**{"mark": "🔴", "title": "T", "body": "B.", "remedy": "", "footer": "", **fields})


LINKS = st.lists(st.tuples(ANY_TEXT, st.one_of(ANY_TEXT, st.just("https://example.com/a?b=c&d"))), max_size=30)
LINES = st.lists(ANY_TEXT, max_size=40)


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT, LINKS, LINES)
def test_slack_takes_whatever_is_in_a_notice(title: str, body: str, remedy: str, footer: str, links: list[tuple[str, str]], lines: list[str]) -> None:
    whole = {"title": title, "body": body, "remedy": remedy, "footer": footer, "links": tuple(links), "lines": tuple(lines)}
    made = blocks.payload(notice(**whole))
    sent = json.dumps(made).encode()
    assert fault(sent) is None
    for text in texts_of(made):
        assert "<" not in text and ">" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)


def test_mentions_and_links_become_plain_letters() -> None:
    made = blocks.payload(notice(body=EVIL))
    assert made["blocks"][1]["text"]["text"].startswith("&lt;!channel&gt; &lt;@U1&gt; &lt;https://evil.example|click&gt; &amp; ")
    assert made["blocks"][1]["text"]["verbatim"] is True
    assert "\x1b" not in str(made) and "\u202e" not in str(made)


def test_long_texts_are_cut_at_the_limit_and_not_before_it_and_no_escape_is_torn() -> None:
    assert blocks.fit("a" * 150, 150) == "a" * 150
    assert blocks.fit("a" * 151, 150) == "a" * 149 + "…"
    assert blocks.fit("&" * 30, 150) == "&amp;" * 30
    assert blocks.fit("&" * 31, 150) == "&amp;" * 29 + "…"
    assert units(blocks.fit("😀" * 100, 150)) == 149
    assert blocks.fit("\nline\ttab", 150) == "\nline�tab"


def test_parts_that_are_empty_are_left_out() -> None:
    assert [block["type"] for block in blocks.payload(notice())["blocks"]] == ["header", "section"]
    full = blocks.payload(notice(remedy="Do this.", footer="Critical"))["blocks"]
    assert [block["type"] for block in full] == ["header", "section", "section", "context"]
    assert blocks.payload(notice())["text"] == "🔴 T: B."
    assert blocks.payload(notice(body=""))["text"] == "🔴 T"


def test_of_several_things_each_has_a_line_and_how_many_are_left_out_is_said() -> None:
    made = blocks.payload(notice(body="", lines=("one: x", "two: y")))
    assert made["text"] == "🔴 T: one: x · two: y" and made["blocks"][1]["text"]["text"] == "one: x\ntwo: y"
    many = texts_of(blocks.payload(notice(lines=tuple(f"line {number}: {'x' * 200}" for number in range(100))))["blocks"])
    shown = [line for text in many for line in text.splitlines() if line.startswith("line ")]
    assert f"+ {100 - len(shown)}" in many and 20 < len(shown) < 40


def test_links_become_buttons_and_an_address_that_slack_would_refuse_is_left_out() -> None:
    links = (
        ("Runbook", "https://example.com/RUNBOOK.md#disk"),
        ("Gone", "javascript:alert(1)"),
        ("Long", f"https://example.com/{'a' * 3000}"),
        ("", "https://a.example"),
    )
    made = blocks.payload(blocks.Notice(mark="🔴", title="T", body="B.", remedy="", footer="", links=links))
    row = made["blocks"][-1]
    assert [(button["text"]["text"], button["url"]) for button in row["elements"]] == [("Runbook", "https://example.com/RUNBOOK.md#disk")]
    assert fault(json.dumps(made).encode()) is None
