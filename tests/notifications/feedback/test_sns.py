"""Fault 58: only what Amazon signed, for a topic of ours, now. Nothing is fetched for what is refused."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import settings as depth
from hypothesis import strategies as st

from notifications.feedback import amazon as asking
from notifications.feedback import certificates, sns
from notifications.feedback.certificates import Away, Certificates
from notifications.feedback.sns import Refused
from tests.notifications.feedback.amazon import CERTIFICATE, HOST, NOW, SUBSCRIBE, TOPIC, Amazon, authority, certificate, confirmation, notice
from tests.worlds import DEPTH

GENUINE: Final = json.loads((Path(__file__).parent / "genuine.json").read_text())
THEN: Final = datetime(2022, 7, 28, 21, 30, tzinfo=UTC)


def verified(told: Any, amazon: Amazon | None = None, *, now: datetime = NOW, topics: frozenset[str] = frozenset({TOPIC})) -> sns.Notice:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return sns.verified(body, topics=topics, certificates=Certificates((amazon or Amazon()).fetch), now=now)


def refused(told: Any, *, now: datetime = NOW) -> str:
    """The code; and nothing was fetched."""
    amazon = Amazon()
    with pytest.raises(Refused) as caught:
        verified(told, amazon, now=now)
    assert amazon.asked == []
    return caught.value.code


# --- What Amazon itself signed -------------------------------------------------------------------------------------------


def genuine(told: dict[str, str], *, now: datetime = THEN) -> sns.Notice:
    amazon = Amazon({told["SigningCertURL"]: GENUINE["certificate"].encode()})
    return verified(told, amazon, now=now, topics=frozenset(one["TopicArn"] for one in GENUINE["notices"]))


@pytest.mark.parametrize("told", GENUINE["notices"], ids=lambda told: f"version {told['SignatureVersion']}")
def test_what_amazon_signed_is_taken_and_with_one_byte_bent_it_is_not(told: dict[str, str]) -> None:
    assert genuine(told).message == "Hello world"
    for name in ("Message", "MessageId", "Timestamp", "Signature"):
        bent = {
            **told,
            name: ("7" if told[name][0] != "7" else "8").join(["", told[name][1:]]) if name != "Timestamp" else told[name].replace("58.317", "58.318"),
        }
        if bent != told:
            with pytest.raises(Refused, match="signature"):
                genuine(bent)
    with pytest.raises(Refused, match="signature"):
        genuine({**told, "Subject": "Hello"})


def test_the_certificate_of_then_says_nothing_now() -> None:
    [told, _] = GENUINE["notices"]
    later = THEN + timedelta(days=40)
    with pytest.raises(Refused, match="older"):
        genuine(told, now=later)
    with pytest.raises(certificates.Wrong, match="not valid now"):
        Certificates(lambda url, *, at_most: GENUINE["certificate"].encode()).key(told["SigningCertURL"], later)


# --- Every kind and version ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "A subject", ""])
def test_notices_of_both_versions_are_taken(version: str, subject: str | None) -> None:
    assert verified(notice('{"ä": "\\u0041 \U0001f600"}', version=version, Subject=subject)).type == sns.NOTIFICATION


@pytest.mark.parametrize("kind", [sns.SUBSCRIPTION, sns.UNSUBSCRIPTION])
@pytest.mark.parametrize("version", ["1", "2"])
def test_confirmations_are_taken_with_their_address_signed(kind: str, version: str) -> None:
    told = confirmation(kind=kind, version=version)
    assert verified(told).subscribe_url == SUBSCRIBE
    with pytest.raises(Refused, match="signature"):
        verified({**told, "SubscribeURL": SUBSCRIBE + "1"})
    with pytest.raises(Refused, match="signature"):
        verified({**told, "Token": "another"})


@pytest.mark.parametrize("name", ["Message", "MessageId", "Subject", "Timestamp", "Type"])
def test_a_field_bent_after_signing_is_found_out(name: str) -> None:
    told = notice(Subject="A subject")
    bent = {"Timestamp": (NOW + timedelta(seconds=1)).isoformat(), "Type": sns.UNSUBSCRIPTION}.get(name, told[name] + "1")
    with pytest.raises(Refused, match="signature"):
        verified({**told, name: bent})


def test_a_signature_says_its_version() -> None:
    with pytest.raises(Refused, match="signature"):
        verified({**notice(version="1"), "SignatureVersion": "2"})
    for wrong in ("", "AAAA", "no base64!", "ü"):
        with pytest.raises(Refused, match="signature"):
            verified({**notice(), "Signature": wrong})


# --- Refused without asking anybody --------------------------------------------------------------------------------------

EVIL: Final = (
    f"https://{HOST}.evil.tld/x.pem",
    f"https://evil.tld/{HOST}/x.pem",
    f"https://evil-{HOST}/x.pem",
    "https://s3.eu-west-1.amazonaws.com/sns.eu-west-1.amazonaws.com/x.pem",
    "https://sns.s3.amazonaws.com/x.pem",
    "https://sns.eu-west-1.s3.amazonaws.com/x.pem",
    "https://sns.us-east-1.amazonaws.com/x.pem",  # Amazon's, of a region that none of our topics is in
    f"https://{HOST}.cn/x.pem",
    f"http://{HOST}/x.pem",
    f"HTTPS://{HOST}/x.pem",
    f"ftp://{HOST}/x.pem",
    "file:///etc/x.pem",
    f"//{HOST}/x.pem",
    f"https://{HOST}:443/x.pem",
    f"https://{HOST}:8443/x.pem",
    f"https://me@{HOST}/x.pem",
    f"https://{HOST}@evil.tld/x.pem",
    f"https://evil.tld\\@{HOST}/x.pem",
    f"https://{HOST}\\x.pem",
    f"https://{HOST}./x.pem",
    f"https://{HOST.upper()}/x.pem",
    f"https://{HOST}/x.pem?at=evil",
    f"https://{HOST}/x.pem#",
    f"https://{HOST}/x.pem\n",
    f" https://{HOST}/x.pem",
    f"https://{HOST}/x.key",
    f"https://{HOST}/../x.pem",
    f"https://{HOST}/a/x.pem",
    f"https://{HOST}/%2e%2e/x.pem",
    f"https://{HOST}",
    "https://127.0.0.1/x.pem",
    "https://169.254.169.254/x.pem",
    "https://[::1]/x.pem",
    "https://[/x.pem",
    "https://sns.eu-west-1.amazonaws。com/x.pem",
    "",
    "x" * 5000,
)


@pytest.mark.parametrize("address", EVIL)
def test_a_certificate_from_elsewhere_is_refused_and_not_fetched(address: str) -> None:
    assert refused(notice(SigningCertURL=address)) == "wrong_certificate_address"


@pytest.mark.parametrize("address", [one for one in EVIL if one.endswith(("x.pem", "x.pem#", "x.pem\n"))])
def test_a_confirmation_to_elsewhere_is_refused(address: str) -> None:
    asked = f"?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=1"
    assert refused(confirmation(SubscribeURL=address.replace("x.pem", asked))) == "wrong_subscribe_address"


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "?Action=ConfirmSubscription",
        f"?Action=DeleteTopic&TopicArn={TOPIC}",
        f"?Action=ConfirmSubscription&TopicArn={TOPIC}2",
        f"?Action=ConfirmSubscription&Action=DeleteTopic&TopicArn={TOPIC}",
        f"?Action=ConfirmSubscription&TopicArn={TOPIC}&TopicArn=x",
        f"elsewhere?Action=ConfirmSubscription&TopicArn={TOPIC}",
    ],
)
def test_a_confirmation_of_something_else_is_refused(asked: str) -> None:
    assert refused(confirmation(SubscribeURL=f"https://{HOST}/{asked}")) == "wrong_subscribe_address"


def test_china_has_a_host_of_its_own() -> None:
    topic = "arn:aws-cn:sns:cn-north-1:123456789012:mail"
    assert sns.is_certificate_address("https://sns.cn-north-1.amazonaws.com.cn/x.pem", topic)
    assert not sns.is_certificate_address("https://sns.cn-north-1.amazonaws.com/x.pem", topic)
    assert not sns.is_certificate_address("https://sns.cn-north-1.amazonaws.com.cn/x.pem", topic.replace("aws-cn", "aws"))


@pytest.mark.parametrize("topic", [TOPIC + "2", TOPIC.upper(), TOPIC[:-1], "", "arn:aws:sns:eu-west-1:999999999999:atrium-mail"])
def test_another_topic_is_refused(topic: str) -> None:
    assert refused(notice(TopicArn=topic)) == "wrong_topic"


def test_what_is_old_or_of_the_future_is_refused() -> None:
    assert verified(notice(at=NOW - timedelta(minutes=64)))
    assert verified(notice(at=NOW + timedelta(minutes=4)))
    assert refused(notice(at=NOW - timedelta(minutes=66))) == "too_old"
    assert refused(notice(at=NOW - timedelta(days=3000))) == "too_old"
    assert refused(notice(at=NOW + timedelta(minutes=6))) == "in_future"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Type": "Something"}, "unknown_type"),
        ({"SignatureVersion": "3"}, "unknown_signature_version"),
        ({"MessageId": ""}, "unreadable"),
        ({"MessageId": "x" * 129}, "unreadable"),
        ({"MessageId": "1\n2"}, "unreadable"),
        ({"Message": 7}, "unreadable"),
        ({"Message": None}, "unreadable"),
        ({"Message": "a\0b"}, "unreadable"),
        ({"Timestamp": "yesterday"}, "unreadable"),
        ({"Timestamp": "2026-11-21T12:00:00"}, "unreadable"),
        ({"Timestamp": "0001-01-01T00:00:00+14:00"}, "unreadable"),
        ({"TopicArn": None}, "unreadable"),
        ({"SigningCertURL": None}, "unreadable"),
    ],
)
def test_what_is_no_notice_of_sns_is_refused(more: dict[str, Any], code: str) -> None:
    told = {**notice(), **more}
    assert refused({name: value for name, value in told.items() if value is not None}) == code


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"7", b'"x"', b"\xff\xfe", b'{"Type": "\\ud800"}', b"[" * 100_000, b"{}", b'{"Type": NaN}'])
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    assert refused(body) == "unreadable"


@depth(max_examples=60 * DEPTH)
@given(data=st.data())
def test_nothing_bent_anywhere_gets_through(data: st.DataObject) -> None:
    """A byte of the body bent: it is refused, or what counts of it is what was signed."""
    whole = notice("hello", MessageId="19ba9823-d7f2-53c1-860e-cb10e0d13dfc")
    body = bytearray(json.dumps(whole).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    try:
        found = verified(bytes(body))
    except Refused:
        return
    except KeyError:  # another certificate of Amazon's, which is not there
        return
    assert (found.message, found.message_id, found.topic_arn) == ("hello", whole["MessageId"], TOPIC)


# --- The certificate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pem",
    [
        certificate(name="evil.tld"),
        certificate(name="sns.amazonaws.com.evil.tld"),
        certificate(name="s3.amazonaws.com"),
        certificate(issuer="Evil"),
        certificate(own=True),
        certificate(authority=True),
        certificate(now=NOW - timedelta(days=31)),
        certificate(now=NOW + timedelta(days=31)),
        certificate(size=1024),
    ],
    ids=["name", "longer name", "other service", "issuer", "of its own", "authority", "expired", "not yet", "weak"],
)
def test_a_certificate_that_is_not_of_sns_is_refused(pem: bytes) -> None:
    size = 1024 if len(pem) < 1200 and pem == certificate(size=1024) else 2048
    with pytest.raises(Refused, match="certificate"):
        verified(notice(size=size), Amazon({CERTIFICATE: pem}))


@pytest.mark.parametrize("name", ["sns.amazonaws.com", f"sns.{HOST[4:]}", "sns-signing.af-south-1.amazonaws.com", "sns-cn-north-1.amazonaws.com.cn"])
def test_the_names_that_amazon_signs_under_are_known(name: str) -> None:
    assert verified(notice(), Amazon({CERTIFICATE: certificate(name=name)}))
    assert verified(notice(), Amazon({CERTIFICATE: certificate(name="Amazon", names=(name,))}))


def test_what_follows_a_certificate_must_be_the_chain_above_it() -> None:
    assert verified(notice(), Amazon({CERTIFICATE: certificate() + authority()}))
    with pytest.raises(Away, match="no certificate"):
        verified(notice(), Amazon({CERTIFICATE: certificate() + certificate(name="evil.tld")}))
    with pytest.raises(Away, match="no certificate"):
        verified(notice(), Amazon({CERTIFICATE: b"<html>no certificate</html>"}))


def test_a_certificate_is_fetched_once_a_day() -> None:
    amazon = Amazon({CERTIFICATE: certificate(now=NOW)})
    kept = Certificates(amazon.fetch)
    for hours in (0, 1, 23):
        kept.key(CERTIFICATE, NOW + timedelta(hours=hours))
    assert amazon.asked == [CERTIFICATE]
    kept.key(CERTIFICATE, NOW + timedelta(hours=24))
    assert amazon.asked == [CERTIFICATE] * 2


def test_one_that_cannot_be_fetched_is_asked_for_again_after_a_while() -> None:
    amazon = Amazon({CERTIFICATE: asking.NotFetched("HTTP 503")})
    kept = Certificates(amazon.fetch)
    for seconds in (0, 1, 29):
        with pytest.raises(Away):
            kept.key(CERTIFICATE, NOW + timedelta(seconds=seconds))
    assert len(amazon.asked) == 1
    amazon.answers[CERTIFICATE] = certificate()
    assert kept.key(CERTIFICATE, NOW + timedelta(seconds=30))


def test_whoever_makes_certificates_up_makes_few_fetches() -> None:
    amazon = Amazon({f"https://{HOST}/{number}.pem": asking.NotFetched("HTTP 403") for number in range(50)})
    kept = Certificates(amazon.fetch)
    for url in list(amazon.answers):
        with pytest.raises(Away):
            kept.key(url, NOW)
    assert len(amazon.asked) == certificates.FETCHES_A_MINUTE
    amazon.answers[CERTIFICATE] = certificate()
    assert kept.key(CERTIFICATE, NOW + timedelta(minutes=1))
