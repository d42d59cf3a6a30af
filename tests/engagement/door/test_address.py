"""One address for the door and Django, as on one machine."""

from collections.abc import Iterator

import pytest

from engagement.models import Organisation
from tests.engagement.door.bodies import devices, request
from tests.servers import WHOLE, Server, running_door


@pytest.fixture(scope="module")
def address(door_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_door(door_environment, tmp_path_factory.mktemp("whole") / "log", application=WHOLE, DEBUG="1") as server:
        yield server


def test_events_go_to_the_door_and_pages_to_django(address: Server, transactional_db: None, acme: Organisation, acme_keys: dict[str, str]) -> None:
    assert address.post(acme_keys["publishable"], request(device="phone")).status == 202
    assert devices(acme) == ["phone"]
    page = address.request("GET", "/admin/login/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"csrfmiddlewaretoken" in page.body


def test_nothing_under_v1_reaches_django(address: Server) -> None:
    assert address.request("GET", "/v1/anything").headers["content-type"] == "application/problem+json"
    assert address.request("GET", "/v1").headers["content-type"] != "application/problem+json"


def test_the_process_lives_for_any_host_and_the_pages_do_not(address: Server) -> None:
    assert address.request("GET", "/healthz/live", headers={"host": "elsewhere.example"}).status == 200
    assert address.request("GET", "/admin/login/", headers={"host": "elsewhere.example"}).status == 400


def test_the_bridge_hands_on_queries_and_bodies(address: Server, transactional_db: None) -> None:
    login = address.request("GET", "/admin/?a=%C3%BC&b=1")
    assert (login.status, login.headers["location"]) == (302, "/admin/login/?next=/admin/%3Fa%3D%25C3%25BC%26b%3D1")
    refused = address.request("POST", "/admin/login/", b"username=a&password=b", {"content-type": "application/x-www-form-urlencoded"})
    assert refused.status == 403  # Django has read it, and misses its token


def test_a_form_is_read_whole(address: Server, transactional_db: None) -> None:
    token = "a" * 32
    form = f"csrfmiddlewaretoken={token}&username={'u' * 100_000}&password=wrong".encode()
    headers = {"content-type": "application/x-www-form-urlencoded", "cookie": f"csrftoken={token}"}
    assert address.request("POST", "/admin/login/", form, headers).status == 200  # the form again, with what is wrong
