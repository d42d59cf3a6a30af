"""The pace of the account: by one row, for any number of senders; who may go first, how far in a day, and from which installation."""

import time
from datetime import timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement.environment import MailServer
from notifications import governor
from notifications.account_mail import Backend
from notifications.channels.wire import Timed, Wait
from notifications.governor import MARGIN, MARKETING, TRANSACTIONAL
from notifications.mail import Mail
from notifications.models import SendingAccount
from tests.notifications.pace import most_in_a_second, transmissions

ROOT: Final = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db


@pytest.fixture
def ses(settings: Settings) -> None:
    """Of this provider the row's rate and quota are believed."""
    settings.MAIL_SERVER = MailServer("ses", "eu-west-1")


@pytest.mark.usefixtures("ses")
def test_instants_of_all_who_ask_are_one_even_row() -> None:
    governor.told(rate=10, quota=-1, sent=0)
    instants = [instant for _ in range(4) for instant in governor.take(TRANSACTIONAL, 2).instants]
    steps = [later - earlier for earlier, later in pairwise(instants)]
    assert all(abs(step - 1 / (10 * MARGIN)) < 0.03 for step in steps)


@pytest.mark.usefixtures("ses")
def test_marketing_is_given_a_moment_ahead_and_transactional_mail_waits_no_longer_than_that() -> None:
    governor.told(rate=200, quota=-1, sent=0)
    while (grant := governor.take(MARKETING, 50)).instants:
        pass
    assert grant.why == governor.PACE
    assert time.monotonic() < grant.again_at + 0.02
    first = governor.take(TRANSACTIONAL, 1).instants[0]
    assert first - time.monotonic() <= governor.AHEAD_S + 1 / 200


def test_where_nothing_limits_all_leave_at_once() -> None:
    grant = governor.take(MARKETING, 500)
    assert len(grant.instants) == 500
    assert governor.pace(MARKETING) == governor.Pace(None, None)


def test_a_rate_of_our_own_holds_for_any_server(settings: Settings) -> None:
    settings.SEND_RATE = 50
    assert governor.pace(MARKETING).rate == pytest.approx(50 * MARGIN)


@pytest.mark.usefixtures("ses")
def test_a_part_of_the_day_is_kept_for_transactional_mail() -> None:
    governor.told(rate=1000, quota=1000, sent=948)
    assert len(governor.take(MARKETING, 10).instants) == 2
    assert governor.take(MARKETING, 10).why == governor.QUOTA
    assert governor.take(MARKETING, 10).again_at > time.monotonic() + 10
    assert len(governor.take(TRANSACTIONAL, 10).instants) == 10
    governor.told(rate=1000, quota=1000, sent=1000)
    assert governor.take(TRANSACTIONAL, 1).why == governor.QUOTA


@pytest.mark.usefixtures("ses")
def test_too_fast_halves_the_pace_once_for_all_who_hear_it_and_it_comes_back_by_and_by() -> None:
    governor.told(rate=100, quota=-1, sent=0)
    for _ in range(5):
        governor.pause_for_throttle()
    assert governor.pace(MARKETING).rate == pytest.approx(50 * MARGIN, rel=0.02)
    assert governor.take(MARKETING, 1).why == governor.PACE  # nothing for a second
    SendingAccount.objects.update(backed_off_at=timezone.now() - timedelta(seconds=governor.FASTER_S / 4))
    assert governor.pace(MARKETING).rate == pytest.approx(75 * MARGIN, rel=0.02)
    SendingAccount.objects.update(backed_off_at=timezone.now() - timedelta(seconds=governor.FASTER_S))
    assert governor.pace(MARKETING).rate == pytest.approx(100 * MARGIN, rel=0.02)


def test_too_fast_for_a_server_of_which_no_rate_is_known_slows_down_too() -> None:
    governor.pause_for_throttle()
    assert governor.pace(MARKETING).rate is not None
    assert governor.take(MARKETING, 10).why == governor.PACE
    SendingAccount.objects.update(backed_off_at=timezone.now() - timedelta(seconds=governor.FASTER_S))
    assert governor.pace(MARKETING).rate is None


def test_the_brake_slows_and_stops_marketing_and_never_transactional_mail(settings: Settings) -> None:
    settings.SEND_RATE = 100
    governor.brake(0.5, "2 % bounce")
    assert (governor.pace(MARKETING).rate, governor.pace(TRANSACTIONAL).rate) == (pytest.approx(50 * MARGIN), pytest.approx(100 * MARGIN))
    governor.brake(0, "4 % bounce")
    assert governor.take(MARKETING, 1).why == governor.STOPPED
    assert governor.take(TRANSACTIONAL, 1).instants


def test_a_brake_holds_also_where_no_rate_is_known() -> None:
    governor.brake(0.5, "2 % bounce")
    assert governor.pace(MARKETING).rate is not None
    assert governor.pace(TRANSACTIONAL).rate is None


def test_a_feed_gives_each_mail_its_instant_and_says_why_it_ended(settings: Settings) -> None:
    settings.SEND_RATE = 200
    mails = [Mail(b"", "a@x.example", f"b{number}@x.example") for number in range(60)]
    feed = governor.paced(MARKETING, mails)
    items = list(feed)
    assert [item.mail for item in items if isinstance(item, Timed)] == mails
    assert any(isinstance(item, Wait) for item in items)
    governor.brake(0, "")
    stopped = governor.paced(MARKETING, mails)
    assert (list(stopped), stopped.why) == ([], governor.STOPPED)


def test_a_copy_of_the_database_sends_nothing_until_somebody_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert governor.at_home()
    assert SendingAccount.objects.get().home
    settings.INSTANCE = "a copy"
    assert not governor.at_home()
    assert {governor.take(lane, 1).why for lane in (MARKETING, TRANSACTIONAL)} == {governor.NOT_HOME}
    monkeypatch.setattr("builtins.input", lambda _question: "no")
    with pytest.raises(CommandError):
        call_command("adopt_sending", stdout=StringIO())
    assert not governor.at_home()
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    call_command("adopt_sending", stdout=StringIO())
    assert governor.at_home()
    settings.INSTANCE = ""
    assert not governor.at_home()


@pytest.mark.parametrize(
    ("change", "home"),
    [
        ({"HOST": "10.0.0.9"}, False),  # a snapshot that was brought up beside it
        ({"NAME": "copy"}, False),
        ({}, True),
    ],
)
def test_an_installation_is_known_by_its_database_and_the_machine_that_has_it(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], home: bool, settings: Settings
) -> None:
    settings.EMBEDDED = False
    before = governor.home_of_this()
    for name, value in change.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    assert (governor.home_of_this() == before) == home


def test_what_django_sends_goes_by_the_same_wire_in_the_lane_that_waits_for_nobody(settings: Settings, tmp_path: Path) -> None:
    settings.MAIL_FOLDER, settings.SEND_RATE = tmp_path / "mail", 50
    governor.brake(0, "too many bounces")
    message = EmailMessage("Your password", "Choose another.", "Atrium <atrium@acme.example>", ["alice@acme.example"], bcc=["bob@acme.example"])
    assert Backend().send_messages([message]) == 1
    written = sorted((tmp_path / "mail").iterdir())
    assert [path.read_bytes().split(b"\r\n")[1] for path in written] == [b"Delivered-To: alice@acme.example", b"Delivered-To: bob@acme.example"]
    assert not any(b"Bcc" in path.read_bytes() for path in written)
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert mail.outbox == []


# --- Ten processes --------------------------------------------------------------------------------------------------------

# Whoever asks looks at the clock alone, and not at what the others were given.
ALONE: Final = 'governor._TAKE = governor._TAKE.replace("greatest(coalesce(a.free_at, c.now), c.now)", "c.now")'
RATE: Final = 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mutant", ["", ALONE], ids=["sound", "alone"])
def test_ten_processes_keep_one_pace(mutant: str) -> None:
    """Never more than the rate in any second, as measured when each leaves. How near to it they come hangs on free cores: `make bench` says."""
    SendingAccount.objects.all().delete()
    rate = RATE // 10 if mutant else RATE  # of the mutant so few that a busy machine sends more, too
    known = connection.settings_dict
    url = f"postgres://{known['USER']}:{known['PASSWORD']}@{known['HOST']}:{known['PORT']}/{known['NAME']}"
    left, _given_up = transmissions(url, 1.5 if mutant else 4.0, 10, rate, mutant)
    assert ALONE.split('"')[1] in governor._TAKE
    assert (most_in_a_second(left) <= rate) == (not mutant)
    if not mutant:
        assert len(left) > rate  # and they do get on
