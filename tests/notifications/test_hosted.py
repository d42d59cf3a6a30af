"""Where links of mails lead: opened, followed, no more of it, less of it. Only who has the mail, only what it is for, and never by looking."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from engagement.models import Brand, Consent, ConsentState, Organisation, Profile, Shopper
from notifications import links, machines, suppressions, traces, wishes
from notifications.models import Campaign, CampaignState, Content, Message, MessageEvent, Preference, Suppression, Topic, Variant
from tests.notifications import people
from tests.notifications.visiting import BROWSER, HOUR, altered, choose, click, events, got, leave, link_of, pixel, visitor


@pytest.fixture
def told(acme: Organisation) -> Message:
    """A message that Ann got an hour ago, with consent."""
    return got(acme, "ann")


# --- Opened and followed --------------------------------------------------------------------------------------------------


def test_a_picture_is_shown_and_the_opening_noted_once_a_minute(told: Message, django_assert_num_queries: Callable[[int], Any]) -> None:
    with django_assert_num_queries(1):
        response = visitor().get(pixel(told))
    assert (response.status_code, response["Content-Type"], response.content[:6]) == (200, "image/gif", b"GIF89a")
    assert not response.cookies and response["Cache-Control"] == "no-store"
    traces.opened(told.pk, at := timezone.now().replace(second=1) + HOUR, "person", "browser")
    traces.opened(told.pk, at.replace(second=40), "person", "browser")
    assert events(told) == [("open", "person", "browser")] * 2


def test_a_click_leads_where_the_mail_said_and_nowhere_else(told: Message, rival: Organisation) -> None:
    link = link_of(told)
    response = visitor().get(click(told, link.pk))
    assert (response.status_code, response["Location"]) == (302, "https://shop.example/spring")
    assert (response["Referrer-Policy"], response["X-Robots-Tag"]) == ("no-referrer", "noindex, nofollow")
    assert [(event.kind, event.by, event.link_id) for event in MessageEvent.objects.filter(message=told)] == [("click", "person", link.pk)]
    foreign = link_of(got(rival, "cy"))
    assert visitor().get(click(told, foreign.pk)).status_code == 404, "A link of the rival's is none of this campaign's."
    assert visitor().get(click(told, 999_999)).status_code == 404
    own = f"/m/c/{links.sign(links.ADDRESS, told.pk, text='https://shop.example/for-ann')}"
    assert visitor().get(own)["Location"] == "https://shop.example/for-ann"


@pytest.mark.parametrize("query", ["", "?url=https://evil.example", "?next=//evil.example"])
def test_there_is_no_open_redirect(told: Message, query: str) -> None:
    token = links.sign(links.ADDRESS, told.pk, text="https://shop.example/")
    for path in (
        f"/m/c/{altered(token)}",
        f"/m/c/{token}A",
        "/m/c/https:%2F%2Fevil.example",
        f"/m/c/{links.sign(links.OPEN, told.pk)}",
        f"/m/o/{token}",
        "/m/c/x",
    ):
        response = visitor().get(path + query)
        assert response.status_code == 404 and "Location" not in response and "not complete" in response.content.decode(), path
    assert visitor().get(f"/m/c/{token}{query}")["Location"] == "https://shop.example/"


def test_a_test_and_an_erased_shopper_leave_no_trace(told: Message, acme: Organisation) -> None:
    test = link_of(told)
    assert visitor().get(f"/m/c/{links.sign(links.CLICK, links.NO_MESSAGE, test.pk)}")["Location"] == test.url
    assert visitor().get(f"/m/o/{links.sign(links.OPEN, links.NO_MESSAGE)}").status_code == 200
    for kind, path in ((links.UNSUBSCRIBE, "u"), (links.PREFERENCES, "p")):
        assert "This was a test" in visitor().post(f"/m/{path}/{links.sign(kind, links.NO_MESSAGE, 0)}").content.decode()
    addresses = pixel(told), click(told, test.pk), leave(told), choose(told)
    Profile.objects.filter(shopper=told.shopper).delete()
    Shopper.objects.filter(pk=told.shopper_id).delete()
    assert visitor().get(addresses[0]).status_code == 200 and visitor().get(addresses[1])["Location"] == test.url
    for path in addresses[2:]:
        for response in (visitor().get(path), visitor().post(path, {"again": "1"})):
            assert response.status_code == 200 and "Nothing is known of you here any more" in response.content.decode()
    assert not MessageEvent.objects.exists() and not Consent.objects.exists() and not Suppression.objects.exists()


# --- No more of it --------------------------------------------------------------------------------------------------------


def asked_for_more(of: Message) -> bool:
    """Nothing has been withdrawn."""
    return not (Consent.objects.exists() or Suppression.objects.exists() or events(of)) and ConsentState.objects.get(shopper=of.shopper).given


def test_looking_unsubscribes_nobody(told: Message) -> None:
    for agent in (BROWSER, "Mozilla/5.0", "BarracudaCentral"):
        response = visitor(agent).get(leave(told))
        assert response.status_code == 200 and b"Unsubscribe?" in response.content and b"Acme Malls" in response.content
        assert visitor(agent).head(leave(told)).status_code == 200
        assert visitor(agent).options(leave(told)).status_code == 405
    assert asked_for_more(told)


@pytest.mark.parametrize("body", [{"List-Unsubscribe": "One-Click"}, {}])
def test_one_click_is_enough_and_two_are_no_more(told: Message, body: dict[str, str]) -> None:
    for _again in range(3):
        response = visitor("").post(leave(told), body)
        assert response.status_code == 200 and b"You are unsubscribed" in response.content and not response.cookies
    state = ConsentState.objects.get(shopper=told.shopper)
    assert not state.given
    assert Consent.objects.filter(shopper=told.shopper).values_list("given", "source", "purpose").get() == (False, "unsubscribe", "marketing")
    stopped = Suppression.objects.get()
    assert (stopped.address, stopped.why, stopped.message, stopped.lifted_at) == ("ann-0@acme.example.com", "unsubscribe", told, None)
    assert [event[0] for event in events(told)] == ["unsubscribe"]


def test_a_body_of_any_kind_is_taken(told: Message) -> None:
    for kind, content in (
        ("text/plain", b"x"),
        ("application/json", b"{"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("application/x-www-form-urlencoded", b"%ff=%00"),
    ):
        assert visitor().post(leave(told), content, content_type=kind).status_code == 200, kind
    assert Suppression.objects.count() == 1


def test_whoever_agreed_again_elsewhere_can_unsubscribe_again(told: Message) -> None:
    visitor().post(leave(told))
    Suppression.objects.update(lifted_at=timezone.now(), lifted_by="consent")
    ConsentState.objects.filter(shopper=told.shopper).update(given=True, at=timezone.now())
    visitor().post(leave(told))
    assert not ConsentState.objects.get(shopper=told.shopper).given and Suppression.objects.get().lifted_at is None
    assert Consent.objects.filter(shopper=told.shopper, given=False).count() == 2


def test_a_bounce_stays_a_bounce(told: Message) -> None:
    Suppression.objects.create(organisation=told.organisation, address="ann-0@acme.example.com", why="bounce", at=timezone.now())
    visitor().post(leave(told))
    assert Suppression.objects.get().why == "bounce"
    assert b"Send me e-mail again" not in visitor().get(choose(told)).content


def test_one_who_unsubscribed_and_then_bounced_does_not_come_back_by_himself(told: Message) -> None:
    visitor().post(leave(told))
    with transaction.atomic(), connection.cursor() as cursor:
        suppressions.suppress(cursor, [suppressions.Noted(told.organisation_id, "ann-0@acme.example.com", "bounce", timezone.now())])
    visitor().post(choose(told), {"again": "yes"})
    assert Suppression.objects.get().why == "bounce" and Suppression.objects.get().lifted_at is None


def test_all_of_it_or_nothing(told: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishes, "_NOTE", "SELECT 1 / 0")
    client = visitor()
    client.raise_request_exception = False
    assert client.post(leave(told)).status_code == 500
    assert asked_for_more(told)


def test_who_meets_another_in_the_opposite_order_tries_again(told: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def struck(cursor: Any) -> None:
        tries.append(1)
        if len(tries) < wishes.TRIES:
            cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'both wait' USING ERRCODE = 'deadlock_detected'; END $$")

    wishes._tried(struck)
    assert len(tries) == wishes.TRIES
    monkeypatch.setattr(wishes, "TRIES", 1)
    with pytest.raises(OperationalError):
        wishes._tried(lambda cursor: cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'both wait' USING ERRCODE = 'deadlock_detected'; END $$"))


def test_only_the_right_token_unsubscribes_and_only_its_own_shopper(told: Message, acme: Organisation, rival: Organisation) -> None:
    other, foreign = got(acme, "ben"), got(rival, "cy")
    token = links.sign(links.UNSUBSCRIBE, told.pk, told.shopper_id)
    for wrong in (
        token[:-1],
        altered(token),
        links.sign(links.PREFERENCES, told.pk, told.shopper_id),
        links.sign(links.OPEN, told.pk),
        "x",
    ):
        assert visitor().post(f"/m/u/{wrong}").status_code == 404
    visitor().post(leave(told))
    assert [ConsentState.objects.get(shopper=one.shopper).given for one in (told, other, foreign)] == [False, True, True]
    assert Suppression.objects.get().organisation == acme


def test_an_unsubscription_outlives_the_message_it_came_from(told: Message) -> None:
    address = leave(told)
    Message.objects.filter(pk=told.pk).delete()
    assert visitor().post(address).status_code == 200
    assert not ConsentState.objects.get(shopper_id=told.shopper_id).given and Suppression.objects.get().message is None


# --- Less of it -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def offers(told: Message, acme: Organisation) -> dict[str, str]:
    """Names of fields: of Brew, which has spoken, and of a topic. Page has not spoken."""
    brew = Brand.objects.get(organisation=acme, key="brew")
    Campaign.objects.filter(pk=people.campaign(acme, "brews", brand=brew).pk).update(state=CampaignState.CANCELLED)
    Campaign.objects.filter(pk=people.campaign(acme, "pages", brand=Brand.objects.get(organisation=acme, key="page")).pk).update(name="a draft")
    topic = Topic.objects.create(organisation=acme, key="events", name="Events <b>")
    return {"brew": f"brand-{brew.pk}", "events": f"topic-{topic.pk}"}


def test_brands_and_topics_are_chosen(told: Message, offers: dict[str, str]) -> None:
    page = visitor().get(choose(told)).content.decode()
    assert "Brew &amp; Co" in page and "Events &lt;b&gt;" in page and "Page" not in page and page.count(" checked") == 2
    saved = visitor().post(choose(told), {"shown": list(offers.values()), "wished": [offers["events"]]}).content.decode()
    assert "Saved." in saved and saved.count(" checked") == 1
    assert Preference.objects.values_list("brand__key", "topic", "wished").get() == ("brew", None, False)
    before = Preference.objects.get()
    visitor().post(choose(told), {"shown": list(offers.values()), "wished": [offers["events"]]})
    assert Preference.objects.get() == before and Preference.objects.get().at == before.at, "Said twice, it is written once."
    visitor().post(choose(told), {"shown": list(offers.values()), "wished": list(offers.values())})
    assert Preference.objects.get().wished


def test_what_was_not_shown_is_not_refused(told: Message, offers: dict[str, str]) -> None:
    visitor().post(choose(told), {})
    visitor().post(choose(told), {"shown": ["brand-999999", "x", "topic-1' OR 1=1"], "wished": ["y"]})
    assert not Preference.objects.exists()


def test_looking_chooses_nothing(told: Message, offers: dict[str, str]) -> None:
    for ask in (visitor().get, visitor().head):
        assert ask(choose(told) + f"?shown={offers['brew']}&again=1").status_code == 200
    assert not Preference.objects.exists() and asked_for_more(told)


def test_nobody_chooses_what_belongs_to_another_organisation(told: Message, rival: Organisation) -> None:
    topic = Topic.objects.create(organisation=rival, key="t", name="Rivals")
    page = visitor().post(choose(told), {"shown": [f"topic-{topic.pk}"]}).content.decode()
    assert "Rivals" not in page and not Preference.objects.exists()
    assert "Acme" not in visitor().get(choose(got(rival, "cy"))).content.decode()


def test_a_language_is_chosen_among_those_that_are_written(told: Message, acme: Organisation) -> None:
    variant = Variant.objects.filter(campaign=told.campaign).get()
    Content.objects.create(variant=variant, language="de", subject="x", body="x")
    assert "Deutsch" in visitor().get(choose(told)).content.decode()
    visitor().post(choose(told), {"language": "fr"})
    assert Profile.objects.get(shopper=told.shopper).language == ""
    assert 'value="de" lang="de" selected' in visitor().post(choose(told), {"language": "de"}).content.decode()
    assert Profile.objects.get(shopper=told.shopper).language == "de"


def test_whoever_unsubscribed_himself_can_come_back_himself(told: Message) -> None:
    visitor().post(choose(told), {"again": "1"})
    assert not Consent.objects.exists(), "He has not left."
    visitor().post(leave(told))
    assert b"Send me e-mail again" in visitor().get(choose(told)).content
    assert b"Unsubscribe from everything" in visitor().post(choose(told), {"again": "1"}).content
    assert ConsentState.objects.get(shopper=told.shopper).given and Suppression.objects.get().lifted_at is not None
    assert list(Consent.objects.filter(shopper=told.shopper).order_by("pk").values_list("given", "source")) == [
        (False, "unsubscribe"),
        (True, "preference page"),
    ]


# --- What the pages are ---------------------------------------------------------------------------------------------------


def test_the_pages_keep_nothing_load_nothing_and_are_not_framed(told: Message) -> None:
    for path in (leave(told), choose(told), "/m/u/x", click(told, links.HONEYPOT)):
        response = visitor().get(path)
        policy = response["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script-src" not in policy and "unsafe" not in policy
        assert response["X-Frame-Options"] == "DENY" and response["Cache-Control"] == "no-store" and response["Referrer-Policy"] == "no-referrer"
        assert response["X-Robots-Tag"] == "noindex, nofollow" and not response.cookies
        assert "@" not in response.content.decode().replace("@media", ""), "No address is shown."


def test_a_name_is_a_name_here_too(told: Message) -> None:
    Organisation.objects.filter(pk=told.organisation_id).update(name="<script>alert(1)</script>")
    for path in (leave(told), choose(told)):
        assert b"<script" not in visitor().get(path).content


def test_the_rules_have_names_and_a_last_word() -> None:
    assert len({rule.name for rule in machines.RULES}) == len(machines.RULES)
    assert {rule.by for rule in machines.RULES} == {machines.PERSON, machines.MACHINE, machines.UNKNOWN} == set(MessageEvent.By.values)


def test_if_looking_acted_the_test_above_would_see_it(told: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard, taken out."""
    visitor().get(leave(told))
    assert asked_for_more(told)
    known = wishes.whose(told.pk, told.shopper_id)
    assert known
    wishes.unsubscribe(known, timezone.now())
    assert not asked_for_more(told)
