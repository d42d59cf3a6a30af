"""POST /v1/feedback/ses: what is proved is kept and answered at once; what is not is refused by a code, and asks nobody for anything."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest import LogCaptureFixture, MonkeyPatch

from engagement.models import Organisation
from notifications import feedback_door
from notifications.feedback import amazon as asking
from notifications.feedback import sns
from notifications.feedback.certificates import Certificates
from notifications.models import FeedbackNotice
from tests.notifications.feedback.amazon import CERTIFICATE, SUBSCRIBE, TOPIC, Amazon, certificate, confirmation, notice
from tests.notifications.feedback.events import event
from tests.servers import WHOLE, running_door

ADDRESS = "/v1/feedback/ses"
TEXT = "text/plain; charset=UTF-8"


@pytest.fixture
def amazon(settings: LazySettings, monkeypatch: MonkeyPatch) -> Amazon:
    settings.SNS_TOPIC_ARNS = frozenset({TOPIC})
    found = Amazon({CERTIFICATE: certificate(now=timezone.now()), SUBSCRIBE: b"<ConfirmSubscriptionResponse/>"})
    monkeypatch.setattr(feedback_door, "certificates", Certificates(found.fetch))
    return found


def post(told: Any, *, content_type: str = TEXT, **headers: str) -> HttpResponse:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return Client(enforce_csrf_checks=True).post(ADDRESS, body, content_type=content_type, headers=headers)


def now_notice(message: Any = "hello", **more: Any) -> dict[str, Any]:
    return notice(message, at=timezone.now(), **more)


@pytest.mark.django_db
def test_a_notice_is_kept_once_however_often_it_is_told(amazon: Amazon) -> None:
    told = now_notice(event("bounce", 17))
    for content_type in (TEXT, "text/plain", "application/json", "application/json; charset=utf-8"):
        assert (post(told, content_type=content_type).status_code, FeedbackNotice.objects.count()) == (200, 1)
    [kept] = FeedbackNotice.objects.all()
    assert (kept.key, kept.topic, kept.applied_at) == (told["MessageId"], TOPIC, None)
    assert kept.body.endswith(told["Message"])
    assert amazon.asked == [CERTIFICATE]


@pytest.mark.django_db
def test_a_confirmation_is_kept_and_its_address_not_asked_here(amazon: Amazon) -> None:
    assert post(confirmation(at=timezone.now())).status_code == 200
    assert FeedbackNotice.objects.get().body.endswith(SUBSCRIBE)
    assert amazon.asked == [CERTIFICATE]


@pytest.mark.django_db
def test_the_end_of_a_subscription_is_said_in_the_log_alone(amazon: Amazon, caplog: LogCaptureFixture) -> None:
    assert post(confirmation(kind=sns.UNSUBSCRIPTION, at=timezone.now())).status_code == 200
    assert TOPIC in caplog.text and "its subscription was ended" in caplog.text
    assert (FeedbackNotice.objects.count(), amazon.asked) == (0, [CERTIFICATE])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        (b"not json", 400, "unreadable"),
        (b"{}", 400, "unreadable"),
        ({"Type": "Else"}, 400, "unknown_type"),
        ({"SignatureVersion": "9"}, 400, "unknown_signature_version"),
        ({"TopicArn": TOPIC + "-of-somebody-else"}, 403, "wrong_topic"),
        ({"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.tld/x.pem"}, 403, "wrong_certificate_address"),
        ({"at": timedelta(hours=2)}, 403, "too_old"),
        ({"at": timedelta(hours=-2)}, 403, "in_future"),
        ({"Type": "SubscriptionConfirmation", "Token": "1", "SubscribeURL": "https://10.0.0.1/"}, 403, "wrong_subscribe_address"),
    ],
)
def test_what_is_refused_has_a_code_and_asks_nobody(amazon: Amazon, told: Any, status: int, code: str) -> None:
    if isinstance(told, dict):
        told = notice(**{"at": timezone.now() - told.pop("at", timedelta(0)), **told})
    answer = post(told)
    assert (answer.status_code, answer["Content-Type"], json.loads(answer.content)["code"]) == (status, "application/problem+json", code)
    assert (amazon.asked, FeedbackNotice.objects.count()) == ([], 0)


@pytest.mark.django_db
def test_a_forged_signature_is_refused(amazon: Amazon) -> None:
    answer = post({**now_notice("hello"), "Message": "Hello"})
    assert (answer.status_code, json.loads(answer.content)["code"], FeedbackNotice.objects.count()) == (403, "wrong_signature", 0)
    amazon.answers[CERTIFICATE] = certificate(name="evil.tld", now=timezone.now())
    feedback_door.certificates = Certificates(amazon.fetch)
    answer = post(now_notice())
    assert (answer.status_code, json.loads(answer.content)["code"]) == (403, "wrong_certificate")


@pytest.mark.django_db
def test_without_topics_everything_is_refused(amazon: Amazon, settings: LazySettings) -> None:
    settings.SNS_TOPIC_ARNS = frozenset()
    assert (post(now_notice()).status_code, amazon.asked) == (403, [])


@pytest.mark.django_db
def test_where_amazon_does_not_answer_it_is_told_to_come_again(amazon: Amazon) -> None:
    amazon.answers[CERTIFICATE] = asking.NotFetched("TimeoutError")
    answer = post(now_notice())
    assert (answer.status_code, answer["Retry-After"], json.loads(answer.content)["code"]) == (503, "20", "unavailable")


def test_only_small_notices_of_the_right_kind_are_read(amazon: Amazon) -> None:
    """Without a database: they are refused before."""
    large = b" " * (feedback_door.LARGEST + 1)
    assert post(large).status_code == 413
    assert post(now_notice(), content_type="application/x-www-form-urlencoded").status_code == 415
    assert post(now_notice(), content_type="text/plain; charset=utf-16").status_code == 415
    assert post(now_notice(), **{"X-Amz-Sns-Rawdelivery": "true"}).status_code == 400
    for method in ("get", "put", "delete", "options"):
        answer = getattr(Client(), method)(ADDRESS)
        assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_every_refusal_has_a_status() -> None:
    assert set(sns.REFUSALS) <= set(feedback_door.PROBLEMS)
    assert {feedback_door.PROBLEMS[code][0] for code in sns.REFUSALS} == {400, 403}


@pytest.mark.django_db(transaction=True)
def test_the_real_server_brings_it_past_the_device_door(environment: dict[str, str], tmp_path: Path, acme: Organisation) -> None:
    with running_door(environment, tmp_path / "log", application=WHOLE, SNS_TOPIC_ARNS=TOPIC) as server:

        def told(body: bytes, kind: str = TEXT, path: str = ADDRESS) -> tuple[int, str]:
            answer = server.request("POST", path, body, {"content-type": kind})
            return answer.status, answer.json["code"]

        assert told(json.dumps(now_notice(TopicArn=TOPIC + "2")).encode()) == (403, "wrong_topic")
        assert told(b"{") == (400, "unreadable")
        assert told(b"x" * 2_000_000) == (413, "too_large")
        assert told(b"{}", "text/html") == (415, "unsupported_media_type")
        assert server.request("GET", ADDRESS).status == 405
        for path in ("/v1/feedback/ses/", "/v1/feedback", "/v1/feedback/ses2"):  # the door's, which knows none of them
            assert told(b"{}", path=path) == (404, "not_found")
        assert server.request("POST", "/v1/events", b"{}", {"content-type": "application/json"}).status == 401
