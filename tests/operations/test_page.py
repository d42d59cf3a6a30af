"""The operations page: what it says of an installation that is new, well, in trouble and large; and who may read it."""

import html
import time
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engagement.models import Organisation
from operations.admin import installation, overview, page
from operations.models import Alarm, State
from tests.operations import world
from tests.operations.test_admin import client_of

PAGES: Final = ("/admin/operations/", "/admin/operations/now")
QUERIES: Final = 50  # however much there is


def told(client: Client, address: str = PAGES[0]) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def test_a_fresh_installation_says_what_is_missing(db: None, admin_client: Client) -> None:
    said = told(admin_client)
    assert "The alarms have never been evaluated." in said
    assert "No process has said yet that it runs." in said and "There is no backup that this database knows of." in said
    assert "Nothing was measured in the last 24 hours." in said and "No Slack is set" in said


def test_when_all_is_well_it_says_so_in_one_sentence(db: None, admin_client: Client) -> None:
    world.healthy(timezone.now())
    said = told(admin_client)
    assert "Everything is right." in said and "Silent for" not in said and "firing" not in said
    assert "stream-0" in said and "ip-10-0-1-7" in said and "The last good backup is 5 h 0 min old." in said


@pytest.mark.parametrize(
    ("states", "headline"),
    [
        ({"stream-behind": State.PENDING}, "1 alarm may fire soon."),
        ({"stream-behind": State.SILENCED, "backup-old": State.ACKNOWLEDGED, "web-silent": State.PENDING}, "2 alarms are known and not over."),
        ({"stream-behind": State.SILENCED, "backup-old": State.FIRING}, "1 alarm is firing."),
        ({"stream-behind": State.RESOLVED}, "Everything is right."),
    ],
)
def test_the_first_line_says_the_worst(db: None, admin_client: Client, states: dict[str, str], headline: str) -> None:
    now = timezone.now()
    world.healthy(now)
    for name, state in states.items():
        world.alarm(name, state, now)
    assert f'aria-live="polite">{headline}</p>' in told(admin_client)


def test_three_things_broken_are_all_named(acme: Organisation, admin_client: Client) -> None:
    world.in_trouble(timezone.now(), acme)
    said = told(admin_client)
    assert "2 alarms are firing." in said and "Silent for 12 min" in said
    assert "No stream process has worked for 12 min" in said and "Requests set aside because they cannot be processed: 12" in said
    assert "One should be made each day." in said and "Slack answered 500." in said


def test_that_nobody_looks_at_the_alarms_is_the_first_thing_said(db: None, admin_client: Client) -> None:
    world.healthy(timezone.now())
    Alarm.objects.update(evaluated_at=timezone.now() - overview.DAY)
    assert "Nobody has looked at the alarms for 1 day 0 h" in told(admin_client)


def test_however_much_there_is_the_page_asks_as_often_and_is_quick(acme: Organisation, admin_client: Client) -> None:
    world.much(timezone.now(), acme)
    told(admin_client)  # what is loaded once
    took = []
    for _try in range(3):
        with CaptureQueriesContext(connection) as asked:
            began = time.perf_counter()
            said = told(admin_client)
            took.append(time.perf_counter() - began)
    assert len(asked) <= QUERIES
    assert min(took) < 0.5  # less than a tenth of a second on quiet cores
    assert said.count('id="process-') == 56


def test_more_than_the_page_counts_is_told_as_more(acme: Organisation, admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "COUNTED_UP_TO", 2)
    monkeypatch.setattr(overview, "PROCESSES_LISTED", 3)
    world.beats(timezone.now())
    for _number in range(3):
        world.post("The stream is behind")
    said = told(admin_client)
    assert "2 or more" in said and "And 5 more." in said


@pytest.mark.parametrize("name", ["processes", "queues", "lag", "backups", "telling", "alarms", "parked", "actions"])
def test_a_panel_that_cannot_be_read_leaves_the_others_standing(db: None, admin_client: Client, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fails(now: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM a_table_that_is_not_there")

    world.healthy(timezone.now())
    panels = [page.Panel(one.name, one.title, fails if one.name == name else one.read) for one in page.PANELS]
    monkeypatch.setattr(page, "PANELS", panels)
    said = told(admin_client)
    assert said.count("data-problem") == 1 and "This could not be read (ProgrammingError)." in said
    assert ("Everything is right." in said) == (name != "alarms") and ("The last good backup" in said) == (name != "backups")
    with pytest.raises(DatabaseError), connection.cursor() as cursor:  # and nothing of it is left behind
        cursor.execute("SELECT * FROM a_table_that_is_not_there")


@pytest.mark.parametrize("name", ["alice", "bob", "emma", "dora", "charlie"])
def test_members_of_organisations_are_refused(db: None, request: pytest.FixtureRequest, name: str) -> None:
    client = client_of(request.getfixturevalue(name))
    for address in PAGES:
        assert client.get(address).status_code == 403
    assert "/admin/operations/" not in client.get("/admin/organisation/").content.decode()


def test_if_nobody_asked_who_reads_it_the_test_above_would_see_it(db: None, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "is_operator", lambda request: True)
    assert client_of(alice).get(PAGES[0]).status_code == 200


def test_somebody_without_a_membership_or_a_login_is_asked_who_he_is(db: None) -> None:
    for client in (Client(), client_of(User.objects.create_user("nemo"))):
        for address in PAGES:
            assert client.get(address).status_code == 302


def test_nothing_is_done_by_looking(db: None, admin_client: Client) -> None:
    for address in PAGES:
        assert admin_client.post(address).status_code == 405


def test_the_secret_address_of_slack_is_on_no_page(acme: Organisation, admin_client: Client, settings: Any) -> None:
    settings.SLACK_WEBHOOK_URL = "https://hooks.slack.com/services/T0/B0/verysecret"
    world.in_trouble(timezone.now(), acme)
    said = told(admin_client)
    assert "Alarms are told in Slack, by a webhook." in said and "verysecret" not in said and "hooks.slack.com" not in said
    settings.SLACK_BOT_TOKEN = "xoxb-verysecret"
    said = told(admin_client)
    assert "Alarms are told in Slack, by a bot." in said and "verysecret" not in said
