"""The mailbox of an installation from which no mail leaves: each sees his organisation's, and nothing in a mail can do anything."""

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from analytics.models import Audience
from engagement.environment import MailServer
from engagement.models import Organisation
from notifications import mailbox
from notifications.channels.files import Files
from notifications.mail import Mail
from notifications.models import Campaign, Message, Run
from tests.analytics import rows

HTML = '<p>Hello <a href="http://127.0.0.1/m/c/x">there</a><script>top.location = "http://evil.example"</script></p>'


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.MAIL_FOLDER, settings.MAIL_SERVER = tmp_path / "mail", MailServer()
    return tmp_path / "mail"


def message(organisation: Organisation) -> Message:
    told = Audience.objects.create(organisation=organisation, key="all", name="Everybody", rule={"consent": {"channel": "email"}})
    campaign = Campaign.objects.create(organisation=organisation, key="news", name="News", audience=told, time_zone="UTC")
    run, now = Run.objects.create(campaign=campaign, due_at=timezone.now()), timezone.now()
    who = rows.shopper(organisation, "crm-1")
    return Message.objects.create(organisation=organisation, campaign=campaign, run=run, shopper=who, state="skipped", send_after=now, updated_at=now)


def write(folder: Path, subject: str, **headers: Any) -> str:
    """A mail, as the wire writes it; returns its name."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "News <news@example.com>", "ann@example.com", subject
    for name, value in headers.items():
        mail[f"X-Atrium-{name}"] = str(value)
    mail.set_content("Hello there.")
    mail.add_alternative(HTML, subtype="html")
    list(Files(folder).send([Mail(mail.as_bytes(), "news@example.com", "ann@example.com")]))
    return max(one.stem for one in folder.glob("*.eml"))


def shown(user: User, *name: str, status: int = 200, **asked: str) -> str:
    client = Client()
    client.force_login(user)
    answer = client.get(reverse("mailbox_mail", args=name) if name else reverse("mailbox"), asked)
    assert answer.status_code == status
    return answer.content.decode()


def test_an_empty_mailbox_says_what_fills_it(emma: User) -> None:
    assert "No mail yet" in shown(emma) and mailbox.listed() == []


def test_everybody_sees_the_mails_of_his_organisation(emma: User, alice: User, charlie: User, bob: User, dora: User, acme: Organisation, folder: Path) -> None:
    mine = message(acme)
    first, tried = write(folder, "Sold out", Message=mine.pk), write(folder, "[Test] Sold out", Message=0, Test=mine.campaign_id)
    nobodys = [write(folder, "Elsewhere", Message=mine.pk + 1), write(folder, "No number", Message="1 OR 1"), write(folder, "None")]
    for reader in (emma, alice):
        page = shown(reader)
        assert page.index("[Test] Sold out") < page.index(">Sold out<")  # the latest first
        assert not any(subject in page for subject in ("Elsewhere", "No number", "None<"))
        assert "Hello there." in shown(reader, first, **{"as": "text"}) and "X-Atrium-Test" in shown(reader, tried, **{"as": "headers"})
        assert all("Elsewhere" not in shown(reader, name, status=404) for name in nobodys)
    assert "Sold out" not in shown(charlie) and "Sold out" not in shown(charlie, first, status=404)
    for other in (bob, dora):
        shown(other, status=403)
        shown(other, first, status=403)


def test_a_mail_is_shown_where_it_can_do_nothing(emma: User, acme: Organisation, folder: Path) -> None:
    page = shown(emma, write(folder, "<script>alert(1)</script>", Message=message(acme).pk))
    assert "<script>alert(1)" not in page and "<script>top" not in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page and "allow-scripts" not in page
    assert "default-src &#x27;none&#x27;" in page


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "20261121-100000-000000-1-1", "20261121-100000-000000-1-1\0", ".hidden"])
def test_no_other_file_is_read(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder.parent / "secret.eml").write_text("Subject: secret\n\n")
    assert mailbox.read(name) is None and mailbox.read(f"../{name}") is None and mailbox.read("../secret") is None


def test_older_mail_follows_page_by_page(emma: User, acme: Organisation, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifications.admin.mailbox.PAGE", 2)
    number = message(acme).pk
    names = [write(folder, f"Number {n}", Message=number) for n in range(5)]
    page = shown(emma)
    assert "Number 4" in page and "Number 3" in page and "Number 2" not in page and f"before={names[3]}" in page
    assert "Number 0" in shown(emma, before=names[1]) and "Older mail" not in shown(emma, before=names[1])


def test_where_mail_leaves_there_is_no_mailbox(emma: User, settings: Any) -> None:
    assert reverse("mailbox") in shown(emma)
    settings.MAIL_SERVER = MailServer(scheme="smtp", host="mail.example.com", port=25)
    shown(emma, status=404)
    client = Client()
    client.force_login(emma)
    assert reverse("mailbox") not in client.get(reverse("audiences")).content.decode()
