"""The switches of what Atrium does by itself: shown with who set them, and set by operators alone."""

import html
import re

import pytest
from django.test import Client
from django.utils import timezone

from operations import runbook, upkeep
from operations.models import Mode, Switch
from tests.operations import world
from tests.operations.test_admin import client_of
from tests.operations.test_page import told
from tests.operations.test_redriving import done

NAME = upkeep.ACTIONS[0].name
ADDRESS = f"/admin/operations/action/{NAME}/switch/"


def test_each_action_is_shown_with_its_switch_and_what_it_did(db: None, admin_client: Client) -> None:
    world.healthy(timezone.now())
    said = told(admin_client)
    assert all(html.escape(str(action.title)) in html.escape(said) for action in upkeep.ACTIONS)
    assert "No partition of Tuesday." in said and "It is there." in said


@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.OFF, Mode.ON])
def test_a_switch_is_set_by_name(db: None, admin_client: Client, mode: Mode) -> None:
    assert str(mode.label) in done(admin_client, ADDRESS, mode=str(mode))
    assert (upkeep.mode(NAME), Switch.objects.get().by) == (mode, "admin")
    assert "set by admin" in told(admin_client)


def test_the_runbook_has_a_line_for_each_action() -> None:
    page = runbook.PAGE.read_text().split("\n## Automatic actions\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == [action.name for action in upkeep.ACTIONS]


def test_what_is_no_switch_or_no_mode_is_not_found(db: None, admin_client: Client) -> None:
    assert admin_client.post(ADDRESS, {"mode": "perhaps"}).status_code == 404
    assert admin_client.post(ADDRESS).status_code == 404
    assert admin_client.post("/admin/operations/action/other/switch/", {"mode": "off"}).status_code == 404
    assert admin_client.get(ADDRESS).status_code == 405
    assert not Switch.objects.exists()


@pytest.mark.parametrize("name", ["alice", "dora", "charlie"])
def test_members_set_none(db: None, request: pytest.FixtureRequest, name: str) -> None:
    assert client_of(request.getfixturevalue(name)).post(ADDRESS, {"mode": "off"}).status_code == 403
    assert not Switch.objects.exists()
