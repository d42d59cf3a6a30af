"""What SES tells becomes one shape, whichever way it comes; and nothing that is mangled does harm."""

import copy
import itertools
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from notifications.feedback import ses
from notifications.feedback.ses import Heard, Unreadable
from notifications.models import MessageEvent
from tests.notifications.feedback.amazon import NOW
from tests.notifications.feedback.events import AT, KINDS, PROVIDER_ID, TAKEN, event, mail
from tests.worlds import DEPTH

SAMPLES: Final = Path(__file__).resolve().parents[4] / "shared" / "data" / "aws_webhooks"


def read(told: Any) -> Heard | None:
    return ses.read(told if isinstance(told, str) else json.dumps(told), NOW)


def heard(told: Any) -> Heard:
    found = read(told)
    assert found
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_heard(kind: str) -> None:
    found = heard(event(kind, 17))
    assert (found.kind, found.message, found.provider_id, found.taken_at) == (kind, 17, PROVIDER_ID, TAKEN)
    assert found.at == (TAKEN if kind in ("send", "reject", "rendering") else AT)
    assert found.source.startswith("ses:") and len(found.source) <= 128
    assert found.addresses == (("ann@acme.example.com",) if kind in ("bounce", "soft_bounce", "complaint", "unsubscribe") else ())
    assert "ann" not in found.detail and len(found.detail) <= 200


def test_the_kinds_are_those_of_the_model_and_all_ten_events_are_read() -> None:
    assert set(KINDS) == set(MessageEvent.Kind)
    assert set(ses.READERS) == set(KINDS.values()) and len(ses.READERS) == 10


@pytest.mark.parametrize("kind", ["bounce", "complaint", "delivery"])
def test_the_feedback_of_an_identity_says_the_same(kind: str) -> None:
    told = event(kind, 17)
    named = {**told, "notificationType": told["eventType"]}
    del named["eventType"]
    assert heard(named) == heard(told)


@pytest.mark.parametrize(
    "told",
    [
        {"notificationType": "Received", "mail": mail(message=17), "receipt": {}},
        {"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have subscribed."},
        "Successfully validated SNS topic for Amazon SES event publishing.",
    ],
)
def test_what_is_not_of_our_mail_is_not_counted(told: Any) -> None:
    assert read(told) is None


@pytest.mark.parametrize(
    ("kind", "sub", "action", "expected", "final"),
    [
        ("Permanent", "General", "failed", "bounce", True),
        ("Permanent", "OnAccountSuppressionList", "", "bounce", True),
        ("Transient", "General", "", "soft_bounce", False),  # as a rule: somebody is away and a machine answers
        ("Transient", "General", "failed", "soft_bounce", True),
        ("Transient", "MailboxFull", "", "soft_bounce", True),
        ("Undetermined", "Undetermined", "", "soft_bounce", False),
        ("Something new", "", "", "soft_bounce", False),
    ],
)
def test_a_bounce_is_for_ever_or_for_now(kind: str, sub: str, action: str, expected: str, final: bool) -> None:
    told = event("bounce", 17)
    told["bounce"] |= {"bounceType": kind, "bounceSubType": sub}
    told["bounce"]["bouncedRecipients"][0]["action"] = action
    found = heard(told)
    assert (found.kind, found.final) == (expected, final)


def test_a_complaint_that_takes_one_back_is_none() -> None:
    told = event("complaint", 17)
    told["complaint"]["complaintFeedbackType"] = "not-spam"
    assert read(told) is None


@pytest.mark.parametrize(
    ("wishes", "left"),
    [
        ({"unsubscribeAll": True}, True),
        ({"unsubscribeAll": False, "topicSubscriptionStatus": [{"topicName": "T", "subscriptionStatus": "OptOut"}]}, True),
        ({"unsubscribeAll": False, "topicSubscriptionStatus": [{"topicName": "T", "subscriptionStatus": "OptIn"}]}, False),
        ({"unsubscribeAll": "true"}, False),
        (None, False),
    ],
)
def test_who_leaves_a_list_or_a_topic_unsubscribes(wishes: Any, left: bool) -> None:
    told = event("unsubscribe", 17)
    told["subscription"]["newTopicPreferences"] = wishes
    assert (read(told) is not None) is left


def test_the_message_is_named_by_the_tag_else_by_the_header() -> None:
    header = [{"name": "x-atrium-MESSAGE", "value": "18"}]
    assert heard(event("delivery", 17, headers=header)).message == 17
    assert heard(event("delivery", None, headers=header)).message == 18
    assert heard(event("delivery")).message is None


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "017", "1" * 19, "१७", "17 ", "", None, 17, ["17"], "17; DROP TABLE"])
def test_what_is_no_number_of_a_message_names_none(number: Any) -> None:
    told = event("delivery")
    told["mail"]["tags"]["atrium-message"] = [number]
    assert heard(told).message is None


def test_the_address_is_whom_we_wrote_to_and_not_whom_it_reached() -> None:
    told = event("bounce", 17, to='"Ann, A." <Ann@Acme.Example.com>')
    told["bounce"]["bouncedRecipients"] = [{"emailAddress": "forwarded@elsewhere.example"}]
    assert heard(told).addresses == ("ann@acme.example.com",)


def test_of_several_recipients_those_are_meant_who_are_named() -> None:
    told = event("bounce", 17, destination=["jane@example.com", "mary@example.com", "richard@example.com"])
    told["bounce"]["bouncedRecipients"] = [{"emailAddress": "Jane@example.com"}, {"emailAddress": "richard@example.com"}, {"emailAddress": "x@evil.tld"}]
    assert heard(told).addresses == ("jane@example.com", "richard@example.com")


def test_the_same_told_twice_has_one_source_and_another_has_another() -> None:
    sources = [heard(event(kind, 17, at=AT + timedelta(seconds=number))).source for kind in ("bounce", "open", "click") for number in (0, 0, 1)]
    assert [first == second for first, second in itertools.pairwise(sources)] == [True, False, False, True, False, False, True, False]
    other = event("click", 17)
    other["click"]["link"] += "other"
    assert heard(other).source != heard(event("click", 17)).source


@pytest.mark.parametrize(
    "text", ["", "hello", "{", "null", "[]", "7", '"Bounce"', "{}", '{"eventType": "Bounce"}', '{"eventType": ["Bounce"], "mail": {}}', "[" * 100_000]
)
def test_what_is_none_of_ses_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


def test_an_event_that_nobody_knows_yet_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        read({"eventType": "Teleported", "mail": mail(message=17)})


# --- Mangled -------------------------------------------------------------------------------------------------------------

ODD: Final = (
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "\0",
    "ä" * 3000,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    [],
    {},
    [[]],
    [None],
    "<a@b",
    '"@',
    "a@b\r\nBcc: c@d",
)


def places(told: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = told.items() if isinstance(told, dict) else enumerate(told) if isinstance(told, list) else ()
    return [so_far, *(place for name, one in inner for place in places(one, (*so_far, name)))]


def mangled(told: Any, dice: random.Random) -> Any:
    place = dice.choice(places(told)[1:])
    owner = told
    for name in place[:-1]:
        owner = owner[name]
    if dice.random() < 0.2:
        del owner[place[-1]]
    else:
        owner[place[-1]] = copy.deepcopy(dice.choice(ODD))
    return told


def test_nothing_that_is_mangled_does_more_than_be_unreadable() -> None:
    dice = random.Random(20261121)
    seen = 0
    for _round in range(3000 * DEPTH):
        told = event(dice.choice(list(KINDS)), dice.choice([None, 17]))
        for _again in range(dice.randint(1, 6)):
            if len(places(told)) > 1:
                told = mangled(told, dice)
        text = json.dumps(told)
        if dice.random() < 0.3:
            at = dice.randrange(len(text))
            text = text[:at] + chr(dice.randrange(0x250)) * dice.randint(0, 3) + text[at + dice.randint(0, 4) :]
        try:
            found = read(text)
        except Unreadable as error:
            assert len(str(error)) < 100
            continue
        seen += found is not None
        if found:
            assert found.kind in KINDS and len(found.detail) <= 200 and len(found.provider_id) <= 128 and found.at.tzinfo
            assert not any("\0" in one or "\n" in one for one in (found.detail, found.provider_id, found.source, *found.addresses))
            assert found.message is None or 0 < found.message < 2**63
    assert seen > 500  # most of it still says something


@pytest.mark.skipif(not SAMPLES.exists(), reason="The samples of Amazon's notices are not beside this checkout.")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anymail_bounce_event", ("bounce", ("jane@example.com",))),
        ("anymail_multiple_bounce_event", ("bounce", ("jane@example.com", "richard@example.com"))),
        ("anymail_delivery_event", ("delivery", ())),
        ("anymail_send_event", ("send", ())),
        ("anymail_rendering_failure_event", ("rendering", ())),
        ("anymail_incorrect_received_event", None),
        ("ses_docs_delivery_delay", ("delay", ())),
    ],
)
def test_the_samples_that_others_collected_are_heard(name: str, expected: Any) -> None:
    told = json.loads((SAMPLES / f"{name}.json").read_text())
    found = read(told.get("Message", told))
    assert (found and (found.kind, found.addresses)) == expected
