"""Mail by the API of SES, against a simulation of it: what is certain of each mail, and what the account may send."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.stub import Stubber
from moto import mock_aws
from pytest_django.fixtures import Settings

from engagement.environment import MailServer
from notifications import governor
from notifications.channels import email, ses
from notifications.channels.wire import ForEver, ForNow, NotTold, Result, Sent, Unknown
from notifications.mail import Mail
from notifications.models import SendingAccount

REGION = "eu-west-1"
MAIL = Mail(
    b"X-Atrium-Message: 42\r\nFrom: news@acme.example\r\nTo: alice@acme.example\r\nSubject: News\r\n\r\nHello\r\n", "news@acme.example", "alice@acme.example"
)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Whatever the machine knows of AWS, nothing leaves it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    settings.MAIL_SERVER = MailServer("ses", REGION)
    settings.SES_CONFIGURATION_SET = "campaigns"


@contextmanager
def stubbed(settings_set: str = "campaigns") -> Iterator[tuple[ses.Api, Stubber]]:
    client = ses.client(REGION)
    with Stubber(client) as stub:
        yield ses.Api(client, settings_set), stub
    client.close()


def asked(**more: Any) -> dict[str, Any]:
    return {
        "FromEmailAddress": MAIL.sender,
        "Destination": {"ToAddresses": [MAIL.recipient]},
        "Content": {"Raw": {"Data": MAIL.bytes_}},
        "EmailTags": [{"Name": "atrium-message", "Value": "42"}],
        **more,
    }


def test_a_mail_goes_as_it_is_with_its_set_and_its_message_as_a_tag() -> None:
    with stubbed() as (api, stub):
        stub.add_response("send_email", {"MessageId": "0102018f-1"}, asked(ConfigurationSetName="campaigns"))
        assert api.send(MAIL) == Sent("0102018f-1")
    with stubbed("") as (api, stub):
        stub.add_response("send_email", {"MessageId": "0102018f-2"}, asked())
        assert api.send(MAIL) == Sent("0102018f-2")


def test_a_whole_round_through_the_simulated_service(settings: Settings) -> None:
    settings.SES_CONFIGURATION_SET = ""
    with mock_aws():
        known = boto3.client("sesv2", region_name=REGION)
        known.create_email_identity(EmailIdentity="acme.example")
        known.close()
        wire = email.open_wire()
        results = list(wire.send([MAIL] * 5))
        wire.close()
    assert all(isinstance(result, Sent) and result.provider_id for result in results)


@pytest.mark.parametrize(
    ("code", "status", "result"),
    [
        ("TooManyRequestsException", 429, ForNow("TooManyRequestsException", throttled=True)),
        ("ThrottlingException", 400, ForNow("ThrottlingException", throttled=True)),
        ("LimitExceededException", 400, ForNow("LimitExceededException", throttled=True)),
        ("MessageRejected", 400, ForEver("MessageRejected")),
        ("BadRequestException", 400, ForEver("BadRequestException")),
        ("SendingPausedException", 400, ForNow("SendingPausedException", of_all=True)),
        ("AccessDeniedException", 403, ForNow("AccessDeniedException", of_all=True)),
        ("ExpiredTokenException", 403, ForNow("ExpiredTokenException", of_all=True)),
        ("NotFoundException", 404, ForNow("NotFoundException", of_all=True)),
        ("InternalFailure", 500, Unknown("InternalFailure")),
        ("ServiceUnavailable", 503, Unknown("ServiceUnavailable")),
    ],
)
def test_each_refusal_has_its_result_and_no_address_in_it(code: str, status: int, result: Result) -> None:
    with stubbed() as (api, stub):
        stub.add_client_error("send_email", code, f"about {MAIL.recipient}", http_status_code=status)
        assert api.send(MAIL) == result


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (exceptions.EndpointConnectionError(endpoint_url="x"), ForNow("SES is not reached: EndpointConnectionError.", of_all=True)),
        (exceptions.ConnectTimeoutError(endpoint_url="x"), ForNow("SES is not reached: ConnectTimeoutError.", of_all=True)),
        (exceptions.NoCredentialsError(), ForNow("SES is not reached: NoCredentialsError.", of_all=True)),
        (exceptions.SSLError(endpoint_url="x", error="certificate verify failed"), ForNow("SES is not reached: SSLError.", of_all=True)),
        (exceptions.SSLError(endpoint_url="x", error="bad record mac"), Unknown("No answer came: SSLError.")),
        (exceptions.ReadTimeoutError(endpoint_url="x"), Unknown("No answer came: ReadTimeoutError.")),
        (exceptions.ConnectionClosedError(endpoint_url="x"), Unknown("No answer came: ConnectionClosedError.")),
    ],
)
def test_what_may_have_left_is_unknown_and_what_cannot_have_is_for_now(monkeypatch: pytest.MonkeyPatch, error: Exception, result: Result) -> None:
    client = ses.client(REGION)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(client, "send_email", fail)
    assert ses.Api(client, "").send(MAIL) == result
    client.close()


def test_the_library_tries_nothing_a_second_time() -> None:
    """A try whose answer was lost may have sent the mail."""
    client, tries = ses.client(REGION), list[int]()

    def unanswered(**_: Any) -> None:
        tries.append(1)
        raise exceptions.ReadTimeoutError(endpoint_url="x")

    client.meta.events.register("before-send.sesv2.SendEmail", unanswered)
    assert isinstance(ses.Api(client, "").send(MAIL), Unknown)
    assert tries == [1]
    client.close()


def limits_of(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None) -> None:
    client = ses.client(REGION)
    stub = Stubber(client)
    if answer is None:
        stub.add_client_error("get_account", "AccessDeniedException", http_status_code=403)
    else:
        stub.add_response("get_account", answer, {})
    stub.activate()
    monkeypatch.setattr(ses, "client", lambda *_, **__: client)


QUOTA = {"MaxSendRate": 200.0, "Max24HourSend": 50_000.0, "SentLast24Hours": 1_000.0}


@pytest.mark.django_db
def test_the_live_quota_becomes_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    limits_of(monkeypatch, {"SendQuota": QUOTA, "SendingEnabled": True})
    governor.refresh()
    account = SendingAccount.objects.get()
    assert (account.rate, account.quota, account.sent, account.asked_at is not None) == (200, 50_000, 1_000, True)
    assert governor.pace(governor.TRANSACTIONAL) == governor.Pace(200 * governor.MARGIN, 49_000)
    assert governor.pace(governor.MARKETING).left_today == 46_500


@pytest.mark.django_db
def test_an_account_that_is_paused_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limits_of(monkeypatch, {"SendQuota": QUOTA, "SendingEnabled": False})
    governor.refresh()
    assert governor.take(governor.TRANSACTIONAL, 1).why == governor.QUOTA


@pytest.mark.django_db
def test_a_provider_that_says_nothing_leaves_what_it_said_last(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    governor.told(rate=14, quota=50_000, sent=10)
    limits_of(monkeypatch, None)
    governor.refresh()
    assert SendingAccount.objects.get().rate == 14
    assert "does not say" in caplog.text


def test_a_refusal_to_tell_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limits_of(monkeypatch, None)
    with pytest.raises(NotTold) as refused:
        email.limits()
    assert (str(refused.value), refused.value.__context__) == ("ClientError", None)
