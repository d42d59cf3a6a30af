"""What is sent keeps to Slack's limits, and nothing in it can speak to Slack."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from operations import blocks
from tests.operations.fake_slack import fault, units

EVIL = "<!channel> <@U1> <https://evil.example|click> & <!here> &amp; Ann <b>\x00\x1b[31m\u202e\ud800"
ANY_TEXT = st.one_of(st.text(st.characters(codec=None), max_size=5000), st.sampled_from([EVIL * 200, "&" * 5000, "😀" * 4000, "<" * 3001, "", " \n"]))


def notice(**fields: str) -> blocks.Notice:
    return blocks.Notice(**{"mark": "🔴", "title": "T", "body": "B.", "remedy": "", "footer": "", **fields})


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_slack_takes_whatever_is_in_a_notice(title: str, body: str, remedy: str, footer: str) -> None:
    made = blocks.payload(notice(title=title, body=body, remedy=remedy, footer=footer))
    sent = json.dumps(made).encode()
    assert fault(sent) is None
    for text in texts(made):
        assert "<" not in text and ">" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)


def texts(made: object) -> list[str]:
    if isinstance(made, dict):
        return [text for value in made.values() for text in texts(value)]
    if isinstance(made, list):
        return [text for value in made for text in texts(value)]
    return [made] if isinstance(made, str) else []


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
