"""What an operator does on the operations page, and nobody else: acknowledging, silencing."""

import html
from datetime import timedelta
from typing import Final

import pytest
from django.test import Client
from django.utils import timezone

from engagement.models import Organisation
from operations.models import Alarm, AlarmEvent, State
from tests.operations import world
from tests.operations.test_admin import client_of
from tests.operations.test_page import told
from tests.operations.test_redriving import done

ALARM: Final = "/admin/operations/alarm/stream-silent"


@pytest.fixture
def trouble(acme: Organisation) -> Organisation:
    world.in_trouble(timezone.now(), acme)
    return acme


def stands() -> tuple[str, str]:
    """The state of the alarm, and who was the last to move it."""
    return Alarm.objects.get(pk="stream-silent").state, AlarmEvent.objects.filter(alarm="stream-silent").latest("pk").by


# --- Alarms ---------------------------------------------------------------------------------------------------------------


def test_an_alarm_is_acknowledged_once_and_by_name(trouble: Organisation, admin_client: Client) -> None:
    assert "is acknowledged" in done(admin_client, f"{ALARM}/acknowledge/")
    assert stands() == (State.ACKNOWLEDGED, "admin")
    said = told(admin_client)
    assert "1 alarm is firing." in said and f"{ALARM}/acknowledge/" not in said and f"{ALARM}/silence/" in said
    events = AlarmEvent.objects.count()
    assert "nothing to acknowledge" in done(admin_client, f"{ALARM}/acknowledge/")
    assert AlarmEvent.objects.count() == events


@pytest.mark.parametrize(("span", "hours"), [("1", 1), ("8", 8), ("24", 24)])
def test_an_alarm_is_silenced_for_some_hours_and_the_silence_is_ended(trouble: Organisation, admin_client: Client, span: str, hours: int) -> None:
    assert "is silent until" in done(admin_client, f"{ALARM}/silence/", span=span)
    assert stands() == (State.SILENCED, "admin")
    until = Alarm.objects.get(pk="stream-silent").silent_until
    assert until and abs(until - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=1)
    assert "silent until" in told(admin_client)
    assert "is not silent any more" in done(admin_client, f"{ALARM}/unsilence/")
    assert stands() == (State.FIRING, "admin")


def test_an_alarm_is_silenced_until_a_time_that_comes_within_a_month(trouble: Organisation, admin_client: Client) -> None:
    until = (timezone.now() + timedelta(hours=30)).replace(second=0, microsecond=0)
    assert "is silent until" in done(admin_client, f"{ALARM}/silence/", span="until", until=f"{until:%Y-%m-%dT%H:%M}")
    assert Alarm.objects.get(pk="stream-silent").silent_until == until


@pytest.mark.parametrize("until", ["", "2020-01-01T10:00", "2999-01-01T10:00", "tomorrow"])
def test_a_silence_that_cannot_be_is_refused_with_what_to_say(trouble: Organisation, admin_client: Client, until: str) -> None:
    response = admin_client.post(f"{ALARM}/silence/", {"span": "until", "until": until})
    assert response.status_code == 200 and 'class="wrong" role="alert"' in response.content.decode()
    assert admin_client.post(f"{ALARM}/silence/", {"span": "99"}).status_code == 200
    assert stands()[0] == State.FIRING


def test_opening_the_address_of_slacks_button_silences_nothing(trouble: Organisation, admin_client: Client) -> None:
    """Chat programs open links to show what is behind them."""
    said = html.unescape(admin_client.get(f"{ALARM}/silence/").content.decode())
    assert "The stream is silent" in said and "Silence it" in said and stands()[0] == State.FIRING
    for verb in ("acknowledge", "unsilence"):
        assert admin_client.get(f"{ALARM}/{verb}/").status_code == 405


def test_an_alarm_that_nobody_declared_is_not_found(trouble: Organisation, admin_client: Client) -> None:
    for verb in ("acknowledge", "silence", "unsilence"):
        assert admin_client.post(f"/admin/operations/alarm/forgotten/{verb}/", {"span": "1"}).status_code == 404


# --- Who may not ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alice", "emma", "dora", "charlie"])
def test_members_do_none_of_it(trouble: Organisation, request: pytest.FixtureRequest, name: str) -> None:
    client = client_of(request.getfixturevalue(name))
    for verb in ("acknowledge", "silence", "unsilence"):
        assert client.post(f"{ALARM}/{verb}/", {"span": "1"}).status_code == 403
    assert client.get(f"{ALARM}/silence/").status_code == 403
    assert stands()[0] == State.FIRING
