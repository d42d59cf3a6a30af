"""Fault 59: what a template or a name tries, and that it is inert or refused, in bounded time and space."""

import time
from email import message_from_bytes, policy
from typing import Final

import pytest

from engagement.models import Organisation
from notifications.rendering import CannotCompose, NoContent, Person, checking, compose, liquid, markup, mime
from notifications.rendering.checking import ERROR, WARNING, check
from tests.notifications.contents import ANN, Draft, campaign, variant_of

SOON_S: Final = 5.0  # on a machine busy with other tests

REFUSED: Final = [
    "{{ 7*7 }}",
    "{{ x.__class__ }}",
    "{{ attributes.first.__class__.__mro__ }}",
    "{{ settings.SECRET_KEY }}",
    "{% include 'a' %}",
    "{% render 'a' %}",
    "{% load x %}",
    "{% raw %}{{ x }}{% endraw %}",
    "{% liquid echo 1 %}",
    "{{ attributes.first | safe }}",
    "{{ attributes.first | nosuch }}",
    "{{ attributes }}",
    "{{ shopper.email }}",
    "{{ now }}",
    "{{ forloop.parentloop }}",
    "{{ attributes.first",
    "{% if attributes.first %}",
    "{{" * 50_000,
    "{% if true %}" * 500,
    "{% click 1 %}",
    "{% link %}x{% endlink %}",
    "<script>alert(1)</script>",
    "<p onclick='x()'>x</p>",
    "<iframe src='https://x.example'></iframe>",
    "<form action='https://x.example'></form>",
    "<img src='data:image/png;base64,AA'>",
    "<img src='cid:1'>",
    "<img src='file:///etc/passwd'>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='ftp://x.example'>x</a>",
    "<a href='https://bank.example@evil.example'>x</a>",
    "<a href={{ attributes.first }}>x</a>",
    "<td {% if true %}class='x'{% endif %}>x</td>",
    "<style>p { color: {{ attributes.first }} }</style>",
    "<div>" * 100_000,
    "x" * 300_000,
    "<xmp>" + "<a " * 50_000 + '"</xmp>',
    "<!--><noscript>" + "<a " * 50_000 + '"</noscript>',
    "<style>a{}/*<*/" + "p,*{color:red}" * 3000 + "</style>" + "<i>x</i>" * 4000,
    "{{ " + "attributes[" * 90 + "'x'" + "]" * 90 + " }}",
    "<style>" + "p,*{color:red}" * 3000 + "</style>" + "<i>x</i>" * 4000,
]


SLOW: Final = [
    *("<!--" * 49_000, "<a " * 60_000, "<" * 199_000, "<p title='" + "a " * 90_000, "&" * 199_000, '<a href="' * 20_000, " \n" * 90_000),
    "{% if 1 %}" * 19_000,
    "{{ a }}" * 28_000,
    "".join(f"{{{{ a{number} }}}}" for number in range(15_000)),
]


@pytest.mark.parametrize("kind", ["html", "mjml"])
@pytest.mark.parametrize("body", SLOW, ids=range(len(SLOW)))
def test_nothing_that_is_not_closed_takes_long_to_read(body: str, kind: str) -> None:
    began = time.monotonic()
    check(Draft(subject="x", kind=kind, body=body))
    assert time.monotonic() - began < SOON_S


def test_a_library_that_panics_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    class Panicking:
        def inline(self, page: str) -> str:
            raise PanicException

    monkeypatch.setattr(markup, "_INLINER", Panicking())
    assert [one.detail for one in check(Draft(subject="x", body="x"))] == ["The body cannot be read."]


def test_what_word_reads_in_comments_is_let_through() -> None:
    body = "<!--[if mso]><noscript><xml></xml></noscript><![endif]--><p>Hello</p><!--[if mso]></td><![endif]-->"
    assert not [one for one in check(Draft(subject="x", body=body)) if one.level == ERROR]


@pytest.mark.parametrize("body", REFUSED, ids=range(len(REFUSED)))
def test_what_a_template_may_not_do_is_refused_when_it_is_saved(body: str) -> None:
    began = time.monotonic()
    found = check(Draft(subject="x", body=body))
    assert [one.place for one in found if one.level == ERROR] == ["body"] or {one.place for one in found if one.level == ERROR} == {"body"}
    assert all(len(one.detail) < 400 for one in found)
    assert time.monotonic() - began < SOON_S


GREEDY: Final = [
    "{% for i in (1..1000000000) %}x{% endfor %}",
    "{% for i in (1..1000) %}{% for j in (1..1000) %}{% for k in (1..1000) %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for i in (1..300) %}x{% endfor %}" * 900,
    "{% for i in (1..100) %}" + "x" * 100_000 + "{% endfor %}",
    "{% assign x = 'aaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 40 + "{{ x }}",
    "{% assign x = 9 %}" + "{% assign x = x | times: x %}" * 40 + "{{ x }}",
    "{% assign x = '" + "a" * 900 + "' %}{% assign x = x | replace: 'a', x %}{{ x }}",
    "{% assign x = '" + "a" * 900 + "' | split: '' %}{% assign y = x | join: '" + "b" * 900 + "' %}{{ y }}",
    "{% assign x = (1..1000000000) | join: '' %}{{ x }}",
    "{% for i in (1..800) %}{% capture x %}{{ x }}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endcapture %}{% endfor %}{{ x }}" * 12,
]


@pytest.mark.parametrize("body", GREEDY, ids=range(len(GREEDY)))
def test_ten_megabytes_are_not_written_and_nobody_waits(acme: Organisation, body: str) -> None:
    began = time.monotonic()
    made = campaign(acme, Draft(subject="x", body="{% assign x = '' %}" + body))
    with pytest.raises(NoContent):
        compose(made).mail(1, variant_of(made), ANN)
    assert any(one.level == ERROR for one in check(Draft(subject="x", body="{% assign x = '' %}" + body)))
    assert time.monotonic() - began < SOON_S


def test_a_slow_template_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch, acme: Organisation) -> None:
    monkeypatch.setattr(liquid, "SECONDS", -1.0)
    made = campaign(acme, Draft(subject="x", body="{{ 'a' | upcase }}"))
    with pytest.raises(NoContent, match="too long"):
        compose(made).mail(1, variant_of(made), ANN)


def test_a_mail_has_a_largest_size(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    made = campaign(acme, Draft(body="<p>{{ attributes.first }}</p>" + "=" * 30_000))
    assert len(compose(made).mail(1, variant_of(made), ANN).bytes_) > 90_000
    monkeypatch.setattr("notifications.rendering.composing.LARGEST_MAIL", 90_000)
    with pytest.raises(NoContent, match="size"):
        compose(made).mail(1, variant_of(made), ANN)


NAMES: Final = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '" onmouseover="x',
    "'><b>",
    "{{ 7 }}{% if %}",
    "&lt;b&gt;",
    "a\r\nBcc: eve@evil.example\r\n\r\nx",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(acme: Organisation, name: str) -> None:
    words = '<p title="{{ attributes.first }}">Dear {{ attributes.first }}, {{ attributes.first | upcase }}'
    body = words + ' <a href="https://x.example/?n={{ attributes.first }}">x</a></p>'
    made = campaign(acme, Draft(subject="For {{ attributes.first }}", preheader="{{ attributes.first }}", body=body))
    mail = compose(made).mail(1, variant_of(made), Person(7, name, "x@example.com", attributes={"first": name}))
    read = message_from_bytes(mail.bytes_, policy=policy.SMTP)
    assert read["Subject"] == f"For {mime.one_line(name)}" and "Bcc" not in read
    page = read.get_body(("html",)).get_content()
    assert not any(word in page.lower() for word in ("<img src=x", "<script", '" onmouseover', "'><b>", "<b>"))
    assert ("Dear " + name.replace("\r", "").split("\n")[0]) in read.get_body(("plain",)).get_content()


@pytest.mark.parametrize("sender", ["News <news@x.example>\r\nBcc: eve@evil.example", "News\n<news@x.example>", "nobody", "<>", "a@b@c"])
def test_a_sender_with_a_line_in_it_is_none(acme: Organisation, sender: str) -> None:
    with pytest.raises(CannotCompose, match="No sender"):
        compose(campaign(acme, Draft(), sender=sender))


def test_a_subject_of_two_lines_is_refused_when_it_is_saved() -> None:
    assert [(one.level, one.place) for one in check(Draft(subject="Hello\r\nBcc: eve@evil.example"))] == [(ERROR, "subject")]
    assert [(one.level, one.place) for one in check(Draft(subject=" "))] == [(ERROR, "subject")]


def test_without_escaping_a_name_would_be_markup(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard, taken out: the test above would see it."""
    from notifications.rendering import composing

    monkeypatch.setattr(composing, "page_liquid", lambda: liquid.Liquid(autoescape=False, ours=True))
    made = campaign(acme, Draft(body="<p>{{ attributes.first }}</p>"))
    mail = compose(made).mail(1, variant_of(made), Person(7, "x", "x@example.com", attributes={"first": NAMES[0]}))
    assert NAMES[0] in message_from_bytes(mail.bytes_, policy=policy.SMTP).get_body(("html",)).get_content()


# --- Remarks --------------------------------------------------------------------------------------------------------------


def said(draft: Draft, *names: str) -> list[tuple[str, str]]:
    return [(one.level, one.detail) for one in check(draft, names)]


def test_a_good_content_gets_no_remark() -> None:
    words = "<p>Spring is here, and with it the new coffees from the mountains. Come and try one with us, {{ attributes.first }}.</p>"
    body = words + "<a href='{{ unsubscribe_url }}'>No more</a>"
    assert said(Draft(body=body), "first") == []


def test_what_is_unwise_is_remarked_and_stops_nobody() -> None:
    body = "<img src='https://x.example/a.png'><a href='http://localhost/x'>x</a> <a href='https://10.0.0.1/'>y</a>" + "<p>x</p>" * 4500 + "y" * 90_000
    found = check(Draft(subject="FREE MONEY!!! " * 6, body=body + "{{ attributes.nick }}"), ["first"])
    assert {one.level for one in found} == {WARNING}
    told = " ".join(one.detail for one in found)
    for words in ("characters of a subject", "capitals", "Pressing", "unsubscribe", "localhost", "10.0.0.1", "Gmail", "alt", "nick"):
        assert words in told, words


def test_a_fault_says_its_line() -> None:
    found = check(Draft(body="<p>a</p>\n<p>\n{{ attributes.first | nosuch }}</p>"))
    assert [(one.line, "nosuch" in one.detail) for one in found] == [(3, True)]
    assert [one.line for one in check(Draft(body="<p>\n\n{{ x </p>"))] == [3]
    assert "Known are: shopper.id, shopper.language, attributes.…" in check(Draft(body="{{ shoper.id }}"))[0].detail
    assert checking.known_variables().count(",") == 8


def test_liquid_in_attributes_text_and_comments_is_told_apart() -> None:
    for state, text in (
        ("text", "<p>"),
        ("tag", "<p class="),
        ('"', '<p class="a'),
        ("'", "<p class='a"),
        ("comment", "<!-- <p>"),
        ("style", "<p><style>a{"),
        ("text", "<style>a</style>"),
    ):
        assert markup._state_after(text, "text") == state, text
