"""Idempotency-Key: a write told again is answered again, and not done again; whatever happens in between."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.http import HttpResponse
from django.test import override_settings
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from engagement import idempotency, tasks
from engagement.access import organisation_of
from engagement.api import Writing, problem
from engagement.models import ApiKey, IdempotentAnswer, Organisation, ShopperList

pytestmark = pytest.mark.django_db


class Lists(Writing):
    """A write as others are: it makes a list, and fails in the middle where it is told to."""

    @idempotency.once
    def post(self, request: Request) -> Response | HttpResponse:
        data: Any = request.data
        if data.get("key") == "taken":
            return problem("bad_body", "There is such a list.")

        made = ShopperList.objects.create(organisation=organisation_of(request), key=data["key"], name="x")
        wait = data.get("wait")
        if wait:
            STARTED.set()
            assert GO_ON.wait(10)
        if data.get("break"):
            raise RuntimeError("the power went")
        return Response({"number": made.pk, "at": timezone.now(), "asked": data["key"]}, status=201)


STARTED, GO_ON = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def _events() -> Iterator[None]:
    STARTED.clear()
    GO_ON.clear()
    yield
    GO_ON.set()


def tell(token: str, body: dict[str, Any], key: str | None = None, query: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} | ({} if key is None else {"Idempotency-Key": key})
    request = APIRequestFactory().post(f"/api/v1/lists{query}", json.dumps(body), content_type="application/json", headers=headers)
    response = Lists.as_view()(request)
    return response.render() if hasattr(response, "render") else response


@pytest.fixture
def token(acme_keys: dict[str, str]) -> str:
    return acme_keys["secret"]


def test_the_same_request_is_answered_again_to_the_letter_and_done_once(token: str) -> None:
    first, again = (tell(token, {"key": "a"}, "k-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content and first["Content-Type"] == again["Content-Type"]
    assert (first.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert again["Cache-Control"] == "no-store"
    assert ShopperList.objects.count() == 1


def test_blanks_and_the_order_of_names_make_no_other_request(token: str) -> None:
    tell(token, {"key": "a", "note": 1}, "k-1")
    assert tell(token, {"note": 1, "key": "a"}, "k-1")["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(("body", "query"), [({"key": "b"}, ""), ({"key": "a"}, "?organisation=acme")])
def test_another_request_under_the_same_key_is_refused(token: str, body: dict[str, Any], query: str) -> None:
    tell(token, {"key": "a"}, "k-1")
    refused = tell(token, body, "k-1", query)
    assert (refused.status_code, refused["Content-Type"], json.loads(refused.content)["code"]) == (422, "application/problem+json", "key_reused")
    assert ShopperList.objects.count() == 1


def test_without_a_key_a_write_is_simply_done(token: str) -> None:
    assert [tell(token, {"key": key}).status_code for key in "ab"] == [201, 201]
    assert not IdempotentAnswer.objects.exists()


@pytest.mark.parametrize("key", ["", " ", "two words", "é", "x" * 129])
def test_a_key_that_cannot_be_one_is_refused(token: str, key: str) -> None:
    refused = tell(token, {"key": "a"}, key)
    assert (refused.status_code, json.loads(refused.content)["errors"][0]["parameter"]) == (400, "Idempotency-Key")
    assert not ShopperList.objects.exists()


def test_a_crash_in_between_leaves_nothing_and_the_same_key_can_be_tried_again(token: str) -> None:
    with pytest.raises(RuntimeError):
        tell(token, {"key": "a", "break": True}, "k-1")
    assert not ShopperList.objects.exists() and not IdempotentAnswer.objects.exists()
    assert tell(token, {"key": "a"}, "k-1").status_code == 201


def test_a_refusal_is_not_kept(token: str) -> None:
    assert tell(token, {"key": "taken"}, "k-1").status_code == 400
    assert tell(token, {"key": "a"}, "k-1").status_code == 201


def test_the_rivals_key_of_the_same_name_is_another(token: str, rival_keys: dict[str, str]) -> None:
    assert [tell(one, {"key": "a"}, "k-1").status_code for one in (token, rival_keys["secret"])] == [201, 201]
    assert ShopperList.objects.values("organisation").distinct().count() == 2
    assert tell(token, {"key": "a"}, "k-1")["Idempotent-Replayed"] == "true"


def test_who_may_no_longer_write_gets_no_stored_answer_either(token: str, acme: Organisation) -> None:
    tell(token, {"key": "a"}, "k-1")
    ApiKey.objects.filter(organisation=acme).update(revoked_at=timezone.now())
    assert tell(token, {"key": "a"}, "k-1").status_code == 401


def test_the_database_alone_does_not_say_what_was_asked(token: str, acme: Organisation) -> None:
    """The digest is keyed: another installation's of the same request is another."""
    digests = []
    for secret in ("x" * 30, "y" * 30):
        with override_settings(SECRET_KEY=secret):
            tell(token, {"key": "a"}, "k-1")
        digests.append(bytes(IdempotentAnswer.objects.get().request))
        IdempotentAnswer.objects.all().delete()
        ShopperList.objects.all().delete()
    assert digests[0] != digests[1] and {len(one) for one in digests} == {32}


def test_answers_are_forgotten_after_a_day(token: str) -> None:
    for key in ("old", "new"):
        tell(token, {"key": key}, key)
    IdempotentAnswer.objects.filter(key="old").update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    for _ in range(2):
        tasks.forget_answers()
        assert [one.key for one in IdempotentAnswer.objects.all()] == ["new"]


@pytest.mark.django_db(transaction=True)
def test_one_that_comes_while_the_first_is_being_done_is_told_to_come_again(token: str) -> None:
    def first() -> int:
        try:
            return int(tell(token, {"key": "a", "wait": True}, "k-1").status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first)
        assert STARTED.wait(10)
        busy = tell(token, {"key": "a", "wait": True}, "k-1")
        other = tell(token, {"key": "b"}, "k-2")
        GO_ON.set()
        assert running.result() == 201
    assert (busy.status_code, json.loads(busy.content)["code"], busy["Retry-After"]) == (409, "key_under_way", "1")
    assert other.status_code == 201
    assert tell(token, {"key": "a", "wait": True}, "k-1")["Idempotent-Replayed"] == "true"


@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once_do_it_once(token: str) -> None:
    start = threading.Barrier(16)

    def once(_number: int) -> bytes:
        start.wait()
        try:
            while (response := tell(token, {"key": "a"}, "k-1")).status_code == 409:
                pass
            return bytes(response.content)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(once, range(16)))
    assert len(set(answers)) == 1 and json.loads(answers[0])["asked"] == "a"
    assert ShopperList.objects.count() == 1
