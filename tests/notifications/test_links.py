"""Signed addresses: each good for one thing, and nobody can make or change one."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from notifications import links
from tests.worlds import DEPTH

KINDS = (links.OPEN, links.CLICK, links.ADDRESS, links.UNSUBSCRIBE, links.PREFERENCES)


@settings(max_examples=40 * DEPTH)
@given(st.sampled_from(KINDS), st.lists(st.integers(0, 2**63 - 1), max_size=4), st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_what_was_signed_is_read_back(kind: str, numbers: list[int], text: str) -> None:
    token = links.sign(kind, *numbers, text=text)
    assert links.read_text(kind, token) == (tuple(numbers), text)
    assert not set(token) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_a_token_is_good_for_its_kind_alone() -> None:
    for made in KINDS:
        token = links.sign(made, 7, 9)
        for asked in KINDS:
            assert (links.read(asked, token) is not None) == (asked == made)


def test_every_changed_letter_is_noticed() -> None:
    token = links.sign(links.UNSUBSCRIBE, 123_456, 42)
    for at in range(len(token)):
        for letter in "Aa0-_":
            changed = token[:at] + letter + token[at + 1 :]
            assert changed == token or links.read(links.UNSUBSCRIBE, changed) is None, changed
    for wrong in ("", "=", "A", token[:-1], token + "A", token + "=", token + "\n", token[:5] + "*" + token[5:], token[:5] + "ä" + token[6:], "A" * 100_000):
        assert links.read(links.UNSUBSCRIBE, wrong) is None, wrong


def test_idle_bits_at_the_end_do_not_make_a_second_spelling() -> None:
    token = links.sign(links.OPEN, 5)
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        other = token[:-1] + letter
        if other != token and urlsafe_b64decode(other + "=" * (-len(other) % 4)) == raw:
            assert links.read(links.OPEN, other) is None


def test_a_token_of_another_key_is_none(settings: Settings) -> None:
    token = links.sign(links.OPEN, 5)
    settings.SECRET_KEY = "another key, of another installation"
    assert links.read(links.OPEN, token) is None


def test_a_target_cannot_be_exchanged() -> None:
    token = links.sign(links.ADDRESS, 5, text="https://shop.example/a")
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    forged = urlsafe_b64encode(raw.replace(b"shop.example", b"evil.example")).rstrip(b"=").decode()
    assert links.read_text(links.ADDRESS, forged) is None
    assert links.read(links.ADDRESS, token) is None, "Who asks for numbers alone is not given a target."


def test_addresses_are_short_and_begin_with_the_setting(settings: Settings) -> None:
    settings.ATRIUM_URL = "https://mall.example"
    million = 1_000_000
    for address in (links.pixel(million), links.click(million, 9), links.unsubscribe(million, million), links.preferences(million, million)):
        assert address.startswith("https://mall.example/m/") and len(address) < 60, address


@pytest.mark.parametrize("broken", [lambda kind, body: b"\0" * links.MAC_BYTES])
def test_without_the_signature_a_token_could_be_made_up(monkeypatch: pytest.MonkeyPatch, broken: object) -> None:
    """The guard, taken out: what the tests above refuse would pass."""
    body = bytes((1, 9))
    forged = urlsafe_b64encode(body + b"\0" * links.MAC_BYTES).rstrip(b"=").decode()
    assert links.read(links.OPEN, forged) is None
    monkeypatch.setattr(links, "_mac", broken)
    assert links.read(links.OPEN, forged) == (9,)
