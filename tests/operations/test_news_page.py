"""The page on which an owner sets the channel for marketers' news: nobody else may, only Slack's own addresses are taken, and none is shown again."""

import logging
import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter
from pytest_django.fixtures import Settings

from engagement.models import Membership, Organisation
from operations import sealing
from operations.models import NewsChannel
from tests.operations.fake_slack import FakeSlack, cuts, echoes_the_address, says

PAGE = "/admin/news/"
HOOK = "/services/T0ACME/B0ACME/xoxsecretacme"
REAL = f"https://hooks.slack.com{HOOK}"


@pytest.fixture(autouse=True)
def nothing_says_the_address(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    said = "\n".join(f"{record.getMessage()} {record.exc_text or ''} {record.args}" for record in caplog.get_records("call"))
    assert "xoxsecretacme" not in said


@pytest.fixture
def hooks(slack: FakeSlack, settings: Settings) -> FakeSlack:
    settings.SLACK_API_URL = slack.base
    return slack


def client_of(user: User) -> Client:
    client = Client(raise_request_exception=True)
    client.force_login(user)
    return client


def save(client: Client, address: str = REAL, **more: str) -> str:
    told = client.post(PAGE, {"act": "save", "address": address, "campaigns": "on", "weekly": "on", **more}, follow=True)
    assert told.status_code == 200 and "xoxsecretacme" not in told.content.decode()
    return told.content.decode()


def test_an_owner_sets_the_channel_tries_it_and_takes_it_away(hooks: FakeSlack, acme: Organisation, alice: User) -> None:
    client = client_of(alice)
    assert "Incoming Webhooks" in client.get(PAGE).content.decode()
    assert PAGE in client.get("/admin/organisation/").content.decode()  # in her sidebar
    assert "Set by alice" in save(client, f" {hooks.base}{HOOK} ")
    kept = NewsChannel.objects.get()
    assert sealing.unseal(kept.address) == hooks.base + HOOK and (kept.campaigns, kept.weekly) == (True, True)
    assert "Slack has taken it" in client.post(PAGE, {"act": "try"}, follow=True).content.decode()
    assert hooks.titles == ["👋 This channel works"] and "Acme Malls" in str(hooks.messages)
    assert "Saved" in save(client, "", weekly="")
    kept = NewsChannel.objects.get()
    assert sealing.unseal(kept.address) == hooks.base + HOOK and (kept.campaigns, kept.weekly) == (True, False)
    assert "Removed" in client.post(PAGE, {"act": "remove"}, follow=True).content.decode()
    assert not NewsChannel.objects.exists()


@pytest.mark.parametrize("name", ["bob", "emma", "dora", "charlie"])
def test_nobody_but_an_owner_sees_sets_tries_or_removes_it(
    hooks: FakeSlack, acme: Organisation, alice: User, request: pytest.FixtureRequest, name: str
) -> None:
    save(client_of(alice), hooks.base + HOOK)
    before = list(NewsChannel.objects.values())
    client = client_of(request.getfixturevalue(name))
    if name != "charlie":  # he sits in the rival's, and has that one's page
        assert client.get(PAGE).status_code == 403 and PAGE not in client.get("/admin/organisation/").content.decode()
    for told in ({"act": "save", "address": REAL}, {"act": "try"}, {"act": "remove"}):
        answer = client.post(PAGE, told, follow=True)
        assert answer.status_code == (200 if name == "charlie" else 403) and "alice" not in answer.content.decode()
    assert list(NewsChannel.objects.filter(organisation=acme).values()) == before and hooks.messages == []


def test_a_stranger_is_asked_who_he_is_and_an_operator_without_a_membership_sees_nothing(acme: Organisation, admin_client: Client) -> None:
    assert Client().post(PAGE, {"act": "save", "address": REAL}).status_code == 302
    assert admin_client.get(PAGE).status_code == 403 and admin_client.post(PAGE, {"act": "save", "address": REAL}).status_code == 403
    assert not NewsChannel.objects.exists()


def test_a_form_of_another_site_changes_nothing(acme: Organisation, alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.post(PAGE, {"act": "save", "address": REAL}).status_code == 403 and not NewsChannel.objects.exists()


EVIL = (
    *("", "x", "http://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com.evil.example/services/T0/B0/x", "https://hooks.slack.com/"),
    *("https://evil.example/services/T0/B0/x", "https://user@hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com@evil.example/services/T0/B0/x"),
    *("https://hooks.slack.com:8443/services/T0/B0/x", "https://hooks.slack.com/services/../api/x", "https://hooks.slack.com/services/T0/B0/x?y=1"),
    *("https://hooks.slack.com/services/T0/B0/x#y", "http://127.0.0.1:1/services/T0/B0/x", "http://169.254.169.254/services/T0/B0/x", "file:///etc/passwd"),
    *(
        "https://hooks.slack.com/services/T0/B0/x\r\nHost: evil.example",
        "https://hooks.slack.com\\@evil.example/services/T0/B0/x",
        "https://[::1/services/T0/B0/x",
    ),
    "https://hooks.slack.com/services/T0/B0/" + "x" * 400,
)


@pytest.mark.parametrize("address", EVIL)
def test_only_an_address_of_slacks_webhooks_is_taken(acme: Organisation, alice: User, hooks: FakeSlack, settings: Settings, address: str) -> None:
    for trial in ("", hooks.base):
        settings.SLACK_API_URL = trial
        answer = client_of(alice).post(PAGE, {"act": "save", "address": address})
        [field] = re.findall(r'<input type="password" name="address"[^>]*>', answer.content.decode())
        assert answer.status_code == 200 and "errorlist" in answer.content.decode() and "value=" not in field
    assert not NewsChannel.objects.exists()


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (says(404, "no_service"), "HTTP 404 no_service"),
        (says(302, Location="http://127.0.0.1:1/"), "HTTP 302"),
        (says(500, "<b>page of somebody else</b>"), "(HTTP 500)"),
        (says(400, "invalid_payload"), "HTTP 400 invalid_payload"),
        (echoes_the_address, "(HTTP 502)"),
        (cuts, "RemoteDisconnected"),
    ],
)
def test_a_test_message_that_slack_does_not_take_says_why_and_shows_no_answer(
    acme: Organisation, alice: User, hooks: FakeSlack, behaviour: object, told: str
) -> None:
    client = client_of(alice)
    save(client, hooks.base + HOOK)
    hooks.next.append(behaviour)
    said = client.post(PAGE, {"act": "try"}, follow=True).content.decode()
    assert told in said and "somebody else" not in said and "xoxsecretacme" not in said and hooks.requests == 1


def test_with_another_secret_key_it_says_set_it_again(acme: Organisation, alice: User, hooks: FakeSlack, settings: Settings) -> None:
    client = client_of(alice)
    save(client, hooks.base + HOOK)
    NewsChannel.objects.update(address=sealing.seal("x")[:-4] + b"AAAA")
    assert "Set it again" in client.get(PAGE).content.decode()
    assert "Set it again" in client.post(PAGE, {"act": "try"}, follow=True).content.decode()
    assert "errorlist" in client.post(PAGE, {"act": "save", "address": ""}).content.decode()
    assert "Saved" in save(client, hooks.base + HOOK)
    assert hooks.requests == 0


def test_an_owner_of_two_organisations_sets_that_of_the_one_she_sits_in(acme: Organisation, rival: Organisation, alice: User) -> None:
    Membership.objects.create(user=alice, organisation=rival, role="owner")
    client = client_of(alice)
    save(client)
    client.post("/admin/organisation/", {"organisation": rival.pk})
    save(client, REAL.replace("ACME", "RIVAL"))
    assert {one.organisation_id: sealing.unseal(one.address) for one in NewsChannel.objects.all()} == {acme.pk: REAL, rival.pk: REAL.replace("ACME", "RIVAL")}


def test_a_page_of_an_error_hides_what_was_typed(db: None, acme: Organisation, alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "seal", lambda _text: 1 // 0)
    settings.DEBUG = False  # what is mailed to administrators is held to this; the other page is for a developer's own machine
    client = client_of(alice)
    with pytest.raises(ZeroDivisionError) as raised:
        client.post(PAGE, {"act": "save", "address": REAL, "campaigns": "on"})
    request = RequestFactory().post(PAGE, {"address": REAL})
    request.sensitive_post_parameters = ["address"]  # type: ignore[attr-defined]
    report = ExceptionReporter(request, raised.type, raised.value, raised.tb).get_traceback_text()
    assert "xoxsecretacme" not in report
