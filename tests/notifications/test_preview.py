"""Before it is sent: real shoppers, worth looking at, their mails, and a test that leaves no trace."""

import re
from email import message_from_bytes, policy

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from analytics import facts
from analytics.models import Audience
from engagement.models import Organisation, Profile
from notifications import links, preview
from notifications.models import Campaign, Content, Link, MessageEvent, SendingPolicy, Suppression, Variant
from notifications.rendering import NoContent
from tests.notifications import people
from tests.notifications.contents import ANN, Draft, campaign, variant_of


@pytest.fixture
def crowd(acme: Organisation, rival: Organisation) -> list[int]:
    """Six of Acme's, and one of the rival's with more of everything."""
    told = [
        {"first_name": "Bo"}, {"first_name": "Bo", "tier": "gold", "city": "Durban", "points": 3}, {"first_name": "Wolfeschlegelsteinhausen"},
        {"first_name": "Bo", "tier": "x"}, {}, {"first_name": "Bo", "city": "x"},
    ]  # fmt: skip
    numbers = people.shoppers(acme, len(told))
    for number, attributes in zip(numbers, told, strict=True):
        Profile.objects.filter(shopper=number).update(attributes=attributes, language="de-CH" if len(attributes) == 2 else "en")
    (foreign,) = people.shoppers(rival, 1, prefix="r")
    Profile.objects.filter(shopper=foreign).update(attributes={f"a{n}": "x" * 500 for n in range(20)}, language="fr")
    return numbers


def test_those_are_shown_for_whom_a_mail_goes_wrong_first(acme: Organisation, crowd: list[int]) -> None:
    made = campaign(acme)
    found = [(one.person.shopper, one.why) for one in preview.people(made)]
    assert found == [(crowd[4], "least data"), (crowd[1], "most data"), (crowd[2], "longest name"), (crowd[3], "another language")]
    assert preview.names(made) == {"first_name", "tier", "city", "points"}


def test_only_the_audience_is_looked_at_where_it_is_known(acme: Organisation, crowd: list[int]) -> None:
    made = campaign(acme)
    Audience.objects.filter(pk=made.audience_id).update(members=facts.pack_set(facts.BitMap(crowd[:1])))
    assert [one.person.shopper for one in preview.people(Campaign.objects.get(pk=made.pk))] == [crowd[0]]


def test_an_audience_of_nobody_shows_nobody(acme: Organisation, rival: Organisation) -> None:
    people.shoppers(rival, 1)
    assert preview.people(campaign(acme)) == []


def test_a_preview_is_the_mail_with_the_links_as_they_were_meant(acme: Organisation) -> None:
    made = campaign(
        acme, Draft(preheader="For {{ attributes.first }}", body="<p>Dear {{ attributes.first }} <a href='https://shop.example/?a=1&b=2'>x</a></p>")
    )
    seen = preview.mail(made, variant_of(made), person=ANN)
    assert (seen.subject, seen.preheader, seen.recipient) == ("Hello Ann", "For Ann", "ann@example.com")
    assert 'href="https://shop.example/?a=1&amp;b=2"' in seen.html and "https://shop.example/?a=1&b=2" in seen.text
    assert "/m/o/" not in seen.html and "/m/c/" not in seen.html
    assert [remark.place for remark in seen.remarks] == ["body"], "The foot brings the link to unsubscribe."
    SendingPolicy.objects.update(postal_address=" ")
    assert "postal address" in preview.mail(made, variant_of(made), person=ANN).remarks[-1].detail
    assert not Link.objects.exists()


def test_a_preview_in_another_language_and_one_that_cannot_be_made(acme: Organisation) -> None:
    made = campaign(acme, Draft())
    Content.objects.create(variant=Variant.objects.get(campaign=made), language="de", subject="Hallo", body="x")
    assert preview.mail(made, variant_of(made), "de", ANN).subject == "Hallo"
    assert preview.mail(made, variant_of(made), "de").subject == "Hallo"
    with pytest.raises(NoContent, match="undefined"):
        preview.mail(made, variant_of(made))


def test_a_test_mail_says_so_and_its_links_leave_no_trace(acme: Organisation, settings: Settings) -> None:
    settings.ATRIUM_URL = "https://mall.example"
    made = campaign(
        acme, Draft(body="<p>Dear {{ attributes.first }} <a href='https://shop.example/a'>x</a> <a href='https://shop.example/{{ shopper.id }}'>y</a></p>")
    )
    mail = preview.test_mail(made, variant_of(made), "", ANN, "emma@example.com")
    read = message_from_bytes(mail.bytes_, policy=policy.SMTP)
    assert (mail.recipient, read["To"], read["Subject"], read["X-Atrium-Test"]) == ("emma@example.com", "emma@example.com", "[Test] Hello Ann", str(made.pk))
    assert "X-Atrium-Message" not in read and "X-SES-MESSAGE-TAGS" not in read
    page = read.get_body(("html",)).get_content()
    client = Client(headers={"user-agent": "Mozilla/5.0 (X11)"})
    targets = [client.get(found)["Location"] for found in re.findall(r'href="https://mall\.example(/m/c/[^"]+)"', page)]
    assert targets == ["https://shop.example/a", "https://shop.example/crm-ann"]
    for found in re.findall(r'https://mall\.example(/m/[up]/[^">]+)', page):
        assert "This was a test" in client.post(found).content.decode()
    assert not (Link.objects.exists() or MessageEvent.objects.exists() or Suppression.objects.exists())
    assert links.read(links.UNSUBSCRIBE, read["List-Unsubscribe"].rpartition("/")[2].removesuffix(">")) == (links.NO_MESSAGE, 0)
