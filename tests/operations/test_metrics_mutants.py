"""Without each guard of logs and metrics a law of theirs is broken, and a test can see it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import resolve
from pytest_django.fixtures import Settings

from engagement import logs, metrics, traffic
from engagement.metrics import emf, measures, shelf, telling
from operations import metrics as page
from tests.faults.mutants import changed

Law = Callable[[Path], bool]


def asked(path: str = "/metrics", **more: str) -> HttpRequest:
    return RequestFactory().get(path, **{"HTTP_HOST": "localhost", **more})  # type: ignore[arg-type]


def who_is_behind_a_proxy_is_far(_folder: Path) -> bool:
    return not any(page._is_near(asked(**{name: "8.8.8.8"})) for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"))


def a_name_that_is_not_ours_is_far(_folder: Path) -> bool:
    return page._is_near(asked()) and not page._is_near(asked(HTTP_HOST="evil.example"))


def no_token_is_no_token(_folder: Path) -> bool:
    return not page._has_token(asked(HTTP_AUTHORIZATION="Bearer "))


def a_route_is_no_path(_folder: Path) -> bool:
    request = asked("/m/p/secret")
    request.resolver_match = resolve("/m/p/secret")
    return "secret" not in traffic.route_of(request)


def a_line_is_one_line(_folder: Path) -> bool:
    record = logging.makeLogRecord({"msg": "a\nb ann@acme.example"})
    return not {"\n", "ann@acme.example"} & {part for part in ("\n", "ann@acme.example") if part in logs.Line().format(record)}


def a_database_is_not_quoted(_folder: Path) -> bool:
    class Quoting(Exception):
        sqlstate = "23505"

    return "Ann Smith" not in logs.told(Quoting("Key (name)=(Ann Smith) already exists."))


def what_follows_goes_on(folder: Path) -> bool:
    first = telling.Teller("web", folder=folder)
    FOUND.of("a").inc(3)
    first.tell()
    assert first._place
    first._place.close()
    FOUND.children.clear()
    telling.Teller("web", folder=folder)
    return FOUND.of("a").value == 3


def two_at_once_have_a_place_each(folder: Path) -> bool:
    one, two = shelf.Place(folder, "web"), shelf.Place(folder, "web")
    return one._file != two._file


def a_label_has_an_end(_folder: Path) -> bool:
    for number in range(measures.MOST + 20):
        FOUND.of(str(number)).inc()
    return len(FOUND.children) <= measures.MOST + 1


def an_object_has_a_hundred_metrics_at_most(_folder: Path) -> bool:
    points = [((), f"atrium_{number}_total", "Count", 1.0) for number in range(150)]
    return all(line.count('"Unit"') <= 100 for line in emf.lines(points, process="web", now_ms=1))


FOUND: Final = metrics.Family[metrics.Counter](metrics.Counter, "atrium_tried_total", "X", ("word",))
GUARDS: Final[list[tuple[Any, str, str, Law]]] = [
    (page._is_near, "name in _FORWARDED or ", "", who_is_behind_a_proxy_is_far),
    (page._is_near, 'or name.startswith("HTTP_X_FORWARDED")', "", who_is_behind_a_proxy_is_far),
    (page._is_our_name, 'validate_host(name, ["localhost", *settings.ALLOWED_HOSTS])', "True", a_name_that_is_not_ours_is_far),
    (page._has_token, "bool(wanted) and ", "", no_token_is_no_token),
    (traffic.route_of, "request.resolver_match.route or", "request.path_info or", a_route_is_no_path),
    (logs._clean, "scrubbed(text)", "text", a_line_is_one_line),
    (logs._clean, ".translate(_ESCAPES)", "", a_line_is_one_line),
    (logs.told, 'str(code or "") if of_database else ', "", a_database_is_not_quoted),
    (telling.Teller.__init__, "inherit(self._place.left_behind())", "pass", what_follows_goes_on),
    (shelf.Place.__init__, "fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass", two_at_once_have_a_place_each),
    (measures.Family._new, "len(self.children) >= MOST", "False", a_label_has_an_end),
    (emf.lines, "told[start : start + MOST_METRICS]", "told[start:]", an_object_has_a_hundred_metrics_at_most),
]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    FOUND.children.clear()
    for module in (measures, shelf, emf):
        monkeypatch.setattr(module, "FAMILIES", {FOUND.name: FOUND})
    monkeypatch.setattr(measures, "_inherited", {})


@pytest.mark.parametrize("law", dict.fromkeys(law for _, _, _, law in GUARDS))
def test_with_all_guards_the_law_holds(law: Law, tmp_path: Path) -> None:
    assert law(tmp_path)


@pytest.mark.parametrize(("function", "old", "new", "law"), GUARDS)
def test_without_a_guard_it_is_broken(function: Any, old: str, new: str, law: Law, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "__code__", changed(function, old, new))
    assert not law(tmp_path)
