"""Alarms in the web admin: for whoever runs the installation, who looks and changes nothing; members of organisations see none of it."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from engagement import partitions
from engagement.models import Organisation
from operations import evaluation, runbook
from operations.models import Action, Alarm, AlarmEvent, Backup, Kind, Post, Redrive, State
from tests.operations import world

PAGES = ("", "add/", "{}/", "{}/change/", "{}/delete/", "{}/history/")


@pytest.fixture
def alarm(db: None) -> Alarm:
    """Tomorrow has no partition, so this one fires."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {partitions.name_of(timezone.now().date() + timedelta(days=1))}")
    evaluation.evaluate(timezone.now())
    return Alarm.objects.get(name="partitions-missing", state=State.FIRING)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def addresses(alarm: Alarm) -> list[str]:
    event = alarm.events.get()
    return [f"/admin/operations/{model}/{page.format(pk)}" for model, pk in (("alarm", alarm.pk), ("alarmevent", event.pk)) for page in PAGES]


def test_the_operator_sees_how_things_stand_and_what_to_do(alarm: Alarm, admin_client: Client) -> None:
    told = admin_client.get("/admin/operations/alarm/").content.decode()
    assert "Partitions are not made ahead" in told and "Firing" in told and "The stream is silent" in told
    told = admin_client.get(f"/admin/operations/alarm/{alarm.pk}/change/").content.decode()
    assert "Above 0, at once." in told and "Run manage.py prepare" in told and "of today and the next days" in told.lower()
    told = admin_client.get("/admin/operations/alarmevent/").content.decode()
    assert "Firing" in told and "partition of the events" in told
    told = admin_client.get(f"/admin/operations/alarmevent/{alarm.events.get().pk}/change/").content.decode()
    assert "of today and the next days" in told.lower()


def test_a_reading_without_a_number_and_an_alarm_no_longer_watched_are_shown(alarm: Alarm, admin_client: Client) -> None:
    Alarm.objects.filter(name="stream-behind").update(value=None)
    Alarm.objects.create(name="forgotten", since=timezone.now(), evaluated_at=timezone.now(), value=1)
    told = admin_client.get("/admin/operations/alarm/").content.decode()
    assert "cannot be read" in told and "as long as it exists" in told and "forgotten (no longer watched)" in told
    assert admin_client.get("/admin/operations/alarm/forgotten/change/").status_code == 200


def test_an_empty_list_says_why_it_is_empty(db: None, admin_client: Client) -> None:
    assert "first evaluation" in admin_client.get("/admin/operations/alarm/").content.decode()
    assert "last 90 days" in admin_client.get("/admin/operations/alarmevent/").content.decode()


def test_what_was_told_done_and_saved_is_listed(db: None, acme: Organisation, admin_client: Client) -> None:
    now = timezone.now()
    world.in_trouble(now, acme)
    world.post("Of Acme alone", organisation=acme, kind=Kind.NEWS, reference="week:2026-47")
    redrive = Redrive.objects.create(organisation=acme, kind="set aside", cause="1", cause_text="KeyError", rate=5, by="root", state=Redrive.State.FINISHED)
    seen = {"post": "Slack answered 500.", "action": "No partition of Tuesday.", "backup": "734.0 MB", "redrive": "KeyError"}
    for (name, said), row in zip(
        seen.items(), (Post.objects.filter(organisation=None).last(), Action.objects.get(), Backup.objects.get(), redrive), strict=True
    ):
        listed = admin_client.get(f"/admin/operations/{name}/").content.decode()
        assert said in listed and "Of Acme alone" not in listed, name
        assert said in admin_client.get(f"/admin/operations/{name}/{row.pk}/change/").content.decode(), name
    news = Post.objects.get(organisation=acme)
    assert admin_client.get(f"/admin/operations/post/{news.pk}/change/").status_code == 302  # as if it were not there


def test_an_alarms_page_has_its_part_of_the_runbook(alarm: Alarm, admin_client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "RUNBOOK.md"
    page.write_text("## Alarms\n\n### partitions-missing\n\nType `manage.py prepare`. <script>alert(1)</script>\n\n### other\n\nNot this.\n")
    monkeypatch.setattr(runbook, "PAGE", page)
    told = admin_client.get(f"/admin/operations/alarm/{alarm.pk}/change/").content.decode()
    assert "<p>Type <code>manage.py prepare</code>. &lt;script&gt;" in told and "Not this." not in told
    page.unlink()
    assert "has no heading for it" in admin_client.get(f"/admin/operations/alarm/{alarm.pk}/change/").content.decode()


def test_nobody_changes_anything(alarm: Alarm, admin_client: Client) -> None:
    before = (list(Alarm.objects.values()), list(AlarmEvent.objects.values()))
    for address in addresses(alarm):
        response = admin_client.post(address, {"post": "yes", "state": "ok", "action": "delete_selected", "_selected_action": [alarm.pk]})
        assert response.status_code in {200, 302, 403}, address
    assert (list(Alarm.objects.values()), list(AlarmEvent.objects.values())) == before


@pytest.mark.parametrize("name", ["alice", "bob", "charlie"])
def test_members_of_organisations_see_no_alarm(alarm: Alarm, request: pytest.FixtureRequest, name: str) -> None:
    client = client_of(request.getfixturevalue(name))
    for address in addresses(alarm):
        response = client.get(address, follow=True)
        assert response.status_code == 403 or "not made ahead" not in response.content.decode(), address
    assert "/admin/operations/alarm" not in client.get("/admin/live/", follow=True).content.decode()


def test_somebody_not_logged_in_is_asked_who_he_is(alarm: Alarm) -> None:
    for address in addresses(alarm):
        assert Client().get(address).status_code == 302
