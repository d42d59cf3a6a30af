"""The OpenAPI document: valid, complete, true to what the addresses answer, and shown by a page that needs nothing from elsewhere."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

from engagement import provisioning
from engagement.door.answers import PROBLEMS
from engagement.door_described import POST_EVENTS
from engagement.protocols import atrium
from engagement.protocols.refusals import Reason
from tests.cast import acme_file
from tests.servers import WHOLE, running_door

NOT_DESCRIBED = {"schema", "docs"}  # the document and its page themselves


@pytest.fixture
def document() -> dict[str, Any]:
    response = Client().get("/api/v1/schema", headers={"accept": "application/json"})
    assert response.status_code == 200
    found: dict[str, Any] = json.loads(response.content)
    return found


def test_the_document_is_valid_and_its_making_warns_of_nothing(tmp_path: Path) -> None:
    written = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(written))
    assert written.read_text().startswith("openapi: 3.")


def test_every_address_of_the_api_is_described_and_the_door_too(document: dict[str, Any]) -> None:
    included = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == "api/v1/"]
    own = [entry for entry in get_resolver().url_patterns if str(entry.pattern).startswith("api/v1/") and entry not in included]
    inner = [entry for api in included for entry in api.url_patterns]
    named = [*((f"/api/v1/{entry.pattern}", entry.name) for entry in inner), *((f"/{entry.pattern}", entry.name) for entry in own)]
    served = {re.sub(r"<\w+:(\w+)>", r"{\1}", address) for address, name in named if name not in NOT_DESCRIBED}
    assert set(document["paths"]) == served | {"/v1/events"}


def test_every_operation_says_who_may_call_it_and_how_it_refuses(document: dict[str, Any]) -> None:
    assert set(document["components"]["securitySchemes"]) == {"secretKey", "session", "publishableKey"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            wanted = [{"publishableKey": []}] if path == "/v1/events" else [{"secretKey": []}, {"session": []}]
            assert operation["security"] == wanted, path
            assert {"400", "401", "403", "503"} <= set(operation["responses"]), path
            assert operation["summary"] and all(parameter.get("description") for parameter in operation["parameters"]), path


def test_what_the_document_says_of_the_door_is_what_the_door_does(document: dict[str, Any]) -> None:
    door = document["paths"]["/v1/events"]["post"]
    rejected = door["responses"]["202"]["content"]["application/json"]["schema"]["properties"]["rejected"]
    assert rejected["items"]["properties"]["reason"]["enum"] == [reason.value for reason in Reason]
    assert all(f"`{reason.value}`" in door["description"] for reason in Reason)
    refusals = {int(status) for status in door["responses"]} - {202}
    assert refusals == {status for status, _ in PROBLEMS.values()} - {404}
    example = POST_EVENTS["requestBody"]["content"]["application/json"]["example"]
    batch = atrium.read(json.dumps(example).encode(), received_us=1_795_082_410_000_000, imported=False)
    assert (batch.accepted, batch.refusals) == (3, [])


def test_the_page_to_try_it_needs_no_other_host(db: None) -> None:
    page = Client().get("/api/v1/docs")
    script = Client().get("/api/v1/docs?script=")
    assert (page.status_code, script.status_code) == (200, 200)
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert sources and all(source.startswith("/") and not source.startswith("//") for source in sources)
    assert "<script>" not in page.content.decode()
    assert not re.search(r"https?://", script.content.decode())
    for source in sources:
        assert source.startswith("/api/v1/docs?script") or static_file(source).is_file(), source


def static_file(address: str) -> Path:
    return Path(str(finders.find(address.removeprefix("/static/"))))


@pytest.fixture
def keys(transactional_db: None) -> dict[str, str]:
    """Acme's tokens by kind. One of its zones has the key that the document's examples use."""
    document = acme_file()
    document["zones"].append({"key": "north-food", "venue": "north", "name": "Food court", "kind": "area", "boundary": None})
    tokens = provisioning.provision(document).keys
    return {key["kind"]: tokens[key["name"]] for key in document["keys"]}


@pytest.fixture
def server(keys: dict[str, str], environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a whole server on this test's database: the door and Django."""
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as running:
        yield f"http://127.0.0.1:{running.port}"


@pytest.mark.parametrize(
    ("kind", "selection", "phases", "examples"),
    [
        ("secret", ["--exclude-path", "/v1/events", "--exclude-path-regex", "/reports/"], "examples,coverage,fuzzing", 25),
        # One view reads the parameters of all reports: every kind of wrong one is tried on two of them.
        ("secret", ["--include-path-regex", "/reports/(footfall|cross-visits)$"], "examples,coverage,fuzzing", 10),
        ("secret", ["--include-path-regex", "/reports/", "--exclude-path-regex", "/reports/(footfall|cross-visits)$"], "examples,fuzzing", 5),
        ("publishable", ["--include-path", "/v1/events"], "examples,coverage,fuzzing", 30),
    ],
)
def test_no_request_that_a_machine_can_think_of_breaks_the_api(
    server: str, keys: dict[str, str], tmp_path: Path, kind: str, selection: list[str], phases: str, examples: int
) -> None:
    # Not checked: that all bad data is refused (an empty parameter is an absent one), and that all good data is taken (years
    # beyond 2999 and bodies that only say that they are gzip are not).
    command = [
        *(Path(sys.executable).with_name("schemathesis"), "run", f"{server}/api/v1/schema", *selection),
        *("--header", f"Authorization: Bearer {keys[kind]}", "--checks", "all", "--exclude-checks", "negative_data_rejection,positive_data_acceptance"),
        *("--phases", phases, "--max-examples", str(examples), "--seed", "1", "--continue-on-failure", "--no-shrink"),
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout[-6_000:]
    tested = re.search(r"(\d+) generated", ended.stdout)
    assert tested and int(tested[1]) > 100, ended.stdout[-2_000:]
