"""From a content and a shopper to a mail: what was put in comes out, links are ours, languages fit, nobody gets half a text."""

import re
from binascii import a2b_qp
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from engagement.models import Brand, Organisation
from notifications import links
from notifications.models import Content, Link, SendingPolicy, Variant
from notifications.rendering import CannotCompose, Mail, NoContent, Person, compose, mime
from tests.notifications.contents import ANN, Draft, campaign, variant_of
from tests.worlds import DEPTH


@pytest.fixture(autouse=True)
def address(settings: Settings) -> None:
    settings.ATRIUM_URL = "https://mall.example"


def parsed(mail: Mail) -> EmailMessage:
    return message_from_bytes(mail.bytes_, policy=policy.SMTP)


def part(mail: Mail, kind: str) -> str:
    found = parsed(mail).get_body((kind,))
    assert found is not None
    return str(found.get_content())


def sent(acme: Organisation, draft: Draft, who: Person = ANN, **more: Any) -> Mail:
    made = campaign(acme, draft, **more)
    return compose(made).mail(42, variant_of(made), who)


def tokens(text: str, room: str) -> list[str]:
    return re.findall(rf"https://mall\.example/m/{room}/([\w-]+)", text)


# --- The mail -------------------------------------------------------------------------------------------------------------


def test_a_mail_says_who_it_is_from_and_how_to_get_no_more(acme: Organisation, settings: Settings) -> None:
    settings.SES_CONFIGURATION_SET = "atrium"
    made = campaign(acme, Draft(preheader="For {{ attributes.first }} alone"), brand=Brand.objects.get(organisation=acme, key="brew"))
    mail = compose(made).mail(42, variant_of(made), ANN)
    read = parsed(mail)
    assert (mail.sender, mail.recipient) == ("news@acme.example.com", "ann@example.com")
    assert (read["From"], read["To"], read["Subject"]) == ("Acme <news@acme.example.com>", "ann@example.com", "Hello Ann")
    assert (read["X-Atrium-Message"], read["X-SES-MESSAGE-TAGS"], read["X-SES-CONFIGURATION-SET"]) == ("42", "atrium-message=42", "atrium")
    assert (read["List-Id"], read["List-Unsubscribe-Post"]) == ('"Brew & Co" <brew.acme.acme.example.com>', "List-Unsubscribe=One-Click")
    assert (read["Precedence"], read["Auto-Submitted"]) == ("bulk", "auto-generated")
    assert links.read(links.UNSUBSCRIBE, read["List-Unsubscribe"].removeprefix("<https://mall.example/m/u/").removesuffix(">")) == (42, 7)
    assert abs((parsedate_to_datetime(read["Date"]) - timezone.now()).total_seconds()) < 60
    assert read["Message-ID"] == f"<atrium.42.{made.pk}@acme.example.com>"
    assert compose(made).mail(42, variant_of(made), ANN).bytes_.count(read["Message-ID"].encode()) == 1, "It is the same however often it is made."
    assert [one.get_content_type() for one in read.iter_parts()] == ["text/plain", "text/html"]
    page, plain = part(mail, "html"), part(mail, "plain")
    assert "For Ann alone" in page and "For Ann alone" not in plain
    for told in (page, plain):
        assert all(
            words in told for words in ("Spring is here, Ann.", "Brew & Co".replace("&", "&amp;") if told is page else "Brew & Co", "Acme Malls", "1 Main Road")
        )
        assert [links.read(links.UNSUBSCRIBE, token) for token in tokens(told, "u")] == [(42, 7)]
        assert [links.read(links.PREFERENCES, token) for token in tokens(told, "p")] == [(42, 7)]
    assert [links.read(links.OPEN, token) for token in tokens(page, "o")] == [(42,)] and not tokens(plain, "o")


def test_what_leaves_is_fit_for_smtp(acme: Organisation) -> None:
    long = "ü" * 3000 + " " + "x" * 3000 + "\n.\n..\nFrom the shop\n"
    mail = sent(acme, Draft(subject="Grüße " * 40, body=f"<p>{long}</p>", text=long + "{{ attributes.first }}"))
    lines = mail.bytes_.split(b"\r\n")
    assert max(map(len, lines)) < 998 and mail.bytes_.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", mail.bytes_)
    assert parsed(mail)["Subject"] == ("Grüße " * 40).strip()
    assert "Grüße".encode() not in mail.bytes_ and long.strip() in part(mail, "plain").replace("\r\n", "\n")


_SAID = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120)


@settings(max_examples=25 * DEPTH)
@given(subject=_SAID, said=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200), name=_SAID.map(lambda name: name[:11]))
def test_what_was_put_in_is_read_back(subject: str, said: str, name: str) -> None:
    line = mime.one_line(subject)
    letter = mime.part("plain", said)
    try:
        shown, bare = mime.sender(f'"{mime.one_line(name).translate({34: None, 92: None})}" <news@acme.example>')
    except mime.NotAnAddress:
        shown, bare = "news@acme.example", "news@acme.example"
    content = mime.whole([mime.header("From", shown), mime.header("Subject", mime.words(line))], b"=_x", [(letter.head, letter.write([said]))])
    read = parsed(Mail(content, bare, bare))
    assert mime.one_line(str(read["Subject"] or "")) == line
    assert read["From"].addresses[0].addr_spec == "news@acme.example"
    assert mime.one_line(read["From"].addresses[0].display_name) == mime.one_line(name).translate({34: None, 92: None}).strip()
    body = next(read.iter_parts()).get_content()
    assert body.splitlines() == (mime._CONTROLS.sub("", said).splitlines() or [""])
    assert content.isascii() and max(map(len, content.split(b"\r\n"))) < 998


@settings(max_examples=40 * DEPTH)
@given(
    st.lists(
        st.text(st.sampled_from("ab =.\t\n\r<é€") | st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=90) | st.text("x", max_size=160),
        max_size=6,
    )
)
def test_a_page_in_pieces_is_the_page(pieces: list[str]) -> None:
    whole = mime._CONTROLS.sub("", "\r\n".join(mime._LINE_ENDS.split("\0".join(pieces))).replace("\0", ""))
    for known in (pieces, []):
        written = mime.part("html", "a", known).write(pieces)
        assert max(map(len, written.split(b"\r\n"))) <= 76 and not re.search(rb"(?<!\r)\n|\r(?!\n)", written) and written.isascii()
        assert a2b_qp(written).decode().removesuffix("\r\n") == whole.removesuffix("\r\n")


@pytest.mark.parametrize(
    ("given", "bare"),
    [("ann@bücher.example", "ann@xn--bcher-kva.example"), ("o'brien+x@shop.example", "o'brien+x@shop.example"), ("bjørn@example.no", "bjørn@example.no")],
)
def test_addresses_of_other_scripts_are_addresses(acme: Organisation, given: str, bare: str) -> None:
    mail = sent(acme, Draft(), Person(7, "x", given, attributes={"first": "X"}))
    assert mail.recipient == bare
    assert parsed(mail)["To"].addresses[0].addr_spec.encode("utf-8", "surrogateescape").decode() == bare


@pytest.mark.parametrize(
    "wrong", ["", "ann", "ann@", "@x.example", "a b@x.example", "ann@x.example\r\nBcc: eve@evil.example", "<ann@x.example>", "a@b@c", "a,b@c.d", ".a@c.d"]
)
def test_what_is_no_address_gets_no_mail(acme: Organisation, wrong: str) -> None:
    with pytest.raises(NoContent, match="address"):
        sent(acme, Draft(), Person(7, "x", wrong, attributes={"first": "X"}))


# --- Links ----------------------------------------------------------------------------------------------------------------


def test_every_link_goes_through_us_and_to_where_it_was_meant(acme: Organisation) -> None:
    body = """<a href="https://shop.example/spring?a=1&amp;b=2">Spring</a> <a href="https://shop.example/spring?a=1&amp;b=2">again</a>
        <a href="https://shop.example/c?code={{ attributes.tier }}&amp;x=1">Yours</a> <a href="mailto:help@shop.example">Help</a>"""
    made = campaign(acme, Draft(body=body))
    mail = compose(made).mail(42, variant_of(made), ANN)
    link = Link.objects.get(campaign=made)
    assert link.url == "https://shop.example/spring?a=1&b=2"
    for told in (part(mail, "html"), part(mail, "plain")):
        read = [links.read(links.CLICK, token) or links.read_text(links.ADDRESS, token) for token in tokens(told, "c")]
        own = ((42,), "https://shop.example/c?code=gold&x=1")
        assert [one for one in read if one != (42, 0)] == [(42, link.pk), (42, link.pk), own]
        assert "help@shop.example" in told
    compose(made)
    assert Link.objects.filter(campaign=made).count() == 1


def test_an_own_text_is_tracked_as_well(acme: Organisation) -> None:
    mail = sent(acme, Draft(text="Look (https://shop.example/a), or https://shop.example/{{ attributes.tier }}.\nBye {{ attributes.first }}"))
    read = [links.read(links.CLICK, token) or links.read_text(links.ADDRESS, token) for token in tokens(part(mail, "plain"), "c")]
    assert read == [(42, Link.objects.get(url="https://shop.example/a").pk), ((42,), "https://shop.example/gold")]
    assert "), or https" in part(mail, "plain") and ".\nBye Ann" in part(mail, "plain").replace("\r\n", "\n")


@pytest.mark.parametrize("given", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//evil.example", "https://bank.example@evil.example/", ""])
def test_data_cannot_choose_where_a_link_leads_but_to_the_web(acme: Organisation, given: str) -> None:
    with pytest.raises(NoContent, match="leads nowhere"):
        sent(acme, Draft(subject="x", body='<a href="{{ attributes.site }}">x</a>'), Person(7, "x", "x@example.com", attributes={"site": given}))


def test_a_body_with_its_own_unsubscribe_link_gets_no_second(acme: Organisation) -> None:
    mail = sent(acme, Draft(body='<p>Hi <a href="{{ unsubscribe_url }}">no more</a></p>'))
    assert len(tokens(part(mail, "html"), "u")) == 1
    perhaps = Draft(body='{% if attributes.no %}<a href="{{ unsubscribe_url }}">no more</a>{% endif %}x')
    assert len(tokens(part(sent(acme, perhaps, key="perhaps"), "html"), "u")) == 1, "One that only some would see does not count."


# --- Whom it speaks to ----------------------------------------------------------------------------------------------------


def test_everybody_gets_his_language_or_the_nearest(acme: Organisation) -> None:
    made = campaign(acme, Draft(subject="Hello", body="x"))
    variant = Variant.objects.get(campaign=made)
    for language in ("de", "pt-BR"):
        Content.objects.create(variant=variant, language=language, subject=language, body="<p>x</p>")
    composer = compose(made)

    def subject(language: str) -> str:
        return str(parsed(composer.mail(1, variant.pk, Person(7, "x", "x@example.com", language)))["Subject"])

    assert [subject(one) for one in ("de", "de-CH", "DE-ch-1996", "pt-BR", "pt", "pt-PT", "zh-Hant", "")] == [
        "de",
        "de",
        "de",
        "pt-BR",
        "Hello",
        "Hello",
        "Hello",
        "Hello",
    ]
    assert '<html lang="de">' in part(composer.mail(1, variant.pk, Person(7, "x", "x@example.com", "de")), "html")


def test_what_is_not_known_of_him_stops_his_mail_alone(acme: Organisation) -> None:
    made = campaign(acme, Draft(subject="Hello", body="<p>Dear {{ attributes.first }}</p>"))
    composer = compose(made)
    with pytest.raises(NoContent, match=r"attributes\.first is undefined"):
        composer.mail(1, variant_of(made), Person(7, "x", "x@example.com"))
    assert "Dear Ann" in part(composer.mail(1, variant_of(made), ANN), "plain")
    friendly = Draft(subject="{{ attributes.first | default: 'You' }}", body="{% if shopper.attributes.tier == 'gold' %}Gold{% else %}Everybody{% endif %}")
    assert parsed(sent(acme, friendly, Person(7, "x", "x@example.com"), key="friendly"))["Subject"] == "You"


def test_without_a_brand_the_organisation_speaks(acme: Organisation) -> None:
    mail = sent(acme, Draft(subject="{{ brand.name }}: {{ campaign.name }}", body="{{ organisation.name }} {{ shopper.id }} {{ shopper.language }}"))
    assert parsed(mail)["Subject"] == "Acme Malls: Spring"
    assert "Acme Malls crm-ann en-ZA" in part(mail, "plain")


def test_a_date_is_on_the_shoppers_clock(acme: Organisation) -> None:
    draft = Draft(subject="{{ 'now' | date: '%H' }} {{ '1990-05-17' | date: '%d.%m.' }}", body="x")
    hour = {
        parsed(sent(acme, draft, Person(7, "x", "x@example.com", time_zone=zone), key=key))["Subject"]
        for key, zone in (("p", "Pacific/Apia"), ("q", "Pacific/Pago_Pago"))
    }
    assert len(hour) >= 1 and all(one.endswith(" 17.05.") for one in hour)


def test_mjml_becomes_a_page_with_its_liquid_in_place(acme: Organisation) -> None:
    body = """<mjml><mj-body>{% if attributes.tier == "gold" %}<mj-section><mj-column><mj-text>Gold for {{ attributes.first }}</mj-text>
      <mj-button href="https://shop.example/{{ shopper.id }}">Go</mj-button></mj-column></mj-section>{% endif %}
      <mj-section><mj-column><mj-text>All</mj-text></mj-column></mj-section></mj-body></mjml>"""
    made = campaign(acme, Draft(subject="x", kind="mjml", body=body))
    composer = compose(made)
    gold = composer.mail(1, variant_of(made), ANN)
    assert "Gold for Ann" in part(gold, "html") and "Gold for Ann" in part(gold, "plain")
    assert links.read_text(links.ADDRESS, tokens(part(gold, "html"), "c")[0]) == ((1,), "https://shop.example/crm-ann")
    other = composer.mail(1, variant_of(made), Person(7, "x", "x@example.com", attributes={"tier": "blue"}))
    assert "Gold" not in part(other, "html") and "All" in part(other, "html") and "fonts.googleapis" not in part(other, "html")


def test_styles_go_into_their_elements_and_liquid_stays_in_its_table(acme: Organisation) -> None:
    body = """<style>p { color: teal } @media (max-width: 500px) { p { color: red } }</style><p style="x;;margin:0;">Hi</p>
      <table><tr>{% for n in (1..3) %}<td>{{ n }}</td>{% endfor %}</tr></table>"""
    page = part(sent(acme, Draft(subject="x", body=body)), "html")
    assert re.search(r'<p style="(color: teal;\s*margin:\s*0|margin:\s*0;\s*color: teal);?"', page) and "@media" in page
    assert "<tr><td>1</td><td>2</td><td>3</td></tr>" in page


def test_two_variants_say_two_things(acme: Organisation) -> None:
    made = campaign(acme, Draft(subject="A"), Draft(subject="B"))
    composer = compose(made)
    assert [parsed(composer.mail(1, variant_of(made, name), ANN))["Subject"] for name in "ab"] == ["A", "B"]
    with pytest.raises(NoContent, match="variant"):
        composer.mail(1, 0, ANN)


def test_a_campaign_that_cannot_be_written_says_why(acme: Organisation) -> None:
    with pytest.raises(CannotCompose, match="not closed"):
        compose(campaign(acme, Draft(body="{{ attributes.first")))
    SendingPolicy.objects.update(sender="")
    with pytest.raises(CannotCompose, match="No sender"):
        compose(campaign(acme, Draft(), key="nobody", sender=""))


def test_the_policys_sender_speaks_where_the_campaign_names_none(acme: Organisation) -> None:
    made = campaign(acme, Draft(), sender="")
    SendingPolicy.objects.filter(organisation=acme).update(sender="Büro, Süd <post@büro.example>")
    mail = compose(made).mail(1, variant_of(made), ANN)
    assert mail.sender == "post@xn--bro-hoa.example"
    assert parsed(mail)["From"].addresses[0].display_name == "Büro, Süd"


def test_the_text_reads_like_a_letter(acme: Organisation) -> None:
    body = """<h1>Hello {{ attributes.first }}</h1><!-- not this --><div style="display:none">nor this</div>{% if attributes.no %}<p>x</p>{% endif %}
      <p>Two  things<br>for you:</p><ul><li>one</li>
      <li>two &amp; <b>half</b></li></ul><table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table><img src="https://x.example/y" alt="A cup"><hr>
      <a href="mailto:us@x.example">us@x.example</a>"""
    text = part(sent(acme, Draft(body=body)), "plain").replace("\r\n", "\n").partition("\n\n-- ")[0]
    assert text == "Hello Ann\n\nTwo things\nfor you:\n\n- one\n- two & half\n\na b\nc\n\nA cup\n---\nus@x.example"
