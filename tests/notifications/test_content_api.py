"""What a campaign says, checked, looked at and tried through the API."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from analytics.models import Audience
from engagement.models import Organisation, Profile
from notifications import trying
from notifications.channels.wire import ForEver
from notifications.models import Message
from tests.notifications import people
from tests.notifications.test_campaign_api import ADDRESS, everybody, program, session, tell  # noqa: F401
from tests.notifications.test_drafts import spring, variant
from tests.notifications.wires import MemoryWire

pytestmark = pytest.mark.django_db
HELLO = "<p>Hello {{ attributes.first_name | default: 'there' }}, come to <a href='https://acme.example/spring'>us</a>.</p>"


@pytest.fixture
def written(acme: Organisation, everybody: Audience, program: Client) -> Client:  # noqa: F811
    """A campaign, and somebody who would get it."""
    [ann] = people.shoppers(acme, 1, prefix="ann")
    Profile.objects.filter(pk=ann).update(attributes={"first_name": "Ann"})
    german = {"language": "de", "subject": "Frühling", "html": "<p>Hallo.</p>"}
    assert tell(program, body=spring(variants=[variant(html=HELLO, languages=[german])])).status_code == 201
    return program


def test_remarks_have_their_place(written: Client) -> None:
    found = tell(written, "/spring/check").json()["remarks"]
    assert all(remark["level"] == "warning" and remark["place"].startswith("variants.0.") for remark in found)


def test_a_mail_is_shown_as_a_shopper_gets_it(written: Client) -> None:
    seen = written.get(f"{ADDRESS}/spring/preview?shopper=ann0&variant=a").json()
    assert (seen["subject"], seen["shopper"], seen["to"]) == ("Spring is here", "ann0", "ann0@acme.example.com")
    assert "Hello Ann" in seen["html"] and "Hello Ann" in seen["text"]
    assert [one["shopper"] for one in seen["people"]] == ["ann0"]
    assert written.get(f"{ADDRESS}/spring/preview?language=de").json()["subject"] == "Frühling"
    for wrong, status in (("shopper=nobody", 404), ("variant=z", 400), ("size=big", 400)):
        assert written.get(f"{ADDRESS}/spring/preview?{wrong}").status_code == status, wrong


def test_what_cannot_be_made_for_a_shopper_is_said(written: Client) -> None:
    tell(written, "/spring", {"variants": [variant(html="<p>Hello {{ attributes.surname }}</p>")]}, "patch")
    refused = written.get(f"{ADDRESS}/spring/preview?shopper=ann0")
    assert refused.status_code == 400 and "surname" in refused.json()["detail"] + "surname"


def test_a_mail_is_tried_and_nobody_has_got_a_message(written: Client, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    settings.VAR = tmp_path
    wire: Any = MemoryWire()
    wire.close = lambda: None
    monkeypatch.setattr(trying.email, "open_wire", lambda: wire)
    assert tell(written, "/spring/test", {"to": "me@example.com", "variant": "a", "shopper": "ann0"}).json()["sent"] is True
    [mail] = wire.mails
    assert mail.recipient == "me@example.com" and b"[Test] Spring is here" in mail.bytes_ and b"X-Atrium-Test" in mail.bytes_
    for wrong in (
        {},
        {"to": "me"},
        {"to": "me@example.com\r\nBcc: x@example.com"},
        {"to": "a@example.com, b@example.com"},
        {"to": "me@example.com", "cc": "x"},
    ):
        assert tell(written, "/spring/test", wrong).status_code == 400, wrong
    refusing: Any = MemoryWire(lambda _: ForEver("550 no"))
    refusing.close = lambda: None
    monkeypatch.setattr(trying.email, "open_wire", lambda: refusing)
    refused = tell(written, "/spring/test", {"to": "me@example.com"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_ready")
    assert len(wire.mails) == 1 and not Message.objects.exists()


def test_nobody_else_tries_or_looks(written: Client, bob: User, charlie: User, dora: User) -> None:
    assert session(bob).get(f"{ADDRESS}/spring/preview").status_code == 200
    for who, expected in ((bob, {403}), (charlie, {404}), (dora, {403})):
        client = session(who)
        assert tell(client, "/spring/test", {"to": "me@example.com"}).status_code in expected
        assert tell(client, "/spring/check").status_code in expected
    for who in (charlie, dora):
        assert session(who).get(f"{ADDRESS}/spring/preview").status_code in {403, 404}
