"""What SES tells, as its guide has it: all ten events of a configuration set, and the feedback of an identity."""

from datetime import UTC, datetime
from typing import Any, Final

AT: Final = datetime(2026, 11, 21, 11, 59, 30, tzinfo=UTC)
TAKEN: Final = datetime(2026, 11, 21, 11, 59, tzinfo=UTC)
PROVIDER_ID: Final = "0102018c1f2e3d4c-aabbccdd-1111-2222-3333-444455556666-000000"

KINDS: Final = {
    "send": "Send",
    "delivery": "Delivery",
    "bounce": "Bounce",
    "soft_bounce": "Bounce",
    "complaint": "Complaint",
    "reject": "Reject",
    "rendering": "Rendering Failure",
    "delay": "DeliveryDelay",
    "open": "Open",
    "click": "Click",
    "unsubscribe": "Subscription",
}
PARTS: Final = {"Rendering Failure": "failure", "DeliveryDelay": "deliveryDelay"}


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def mail(
    *, message: int | None = None, provider_id: str = PROVIDER_ID, to: str = "ann@acme.example.com", taken: datetime = TAKEN, **more: Any
) -> dict[str, Any]:
    tags = {"ses:configuration-set": ["atrium"], "ses:source-ip": ["192.0.2.0"], **({"atrium-message": [str(message)]} if message else {})}
    base = {"timestamp": stamp(taken), "source": "news@acme.example.com", "sendingAccountId": "123456789012", "messageId": provider_id, "destination": [to]}
    return {**base, "headersTruncated": False, "headers": [{"name": "Subject", "value": "Hello"}], "tags": tags, **more}


def event(kind: str, message: int | None = None, *, at: datetime = AT, to: str = "ann@acme.example.com", **more: Any) -> dict[str, Any]:
    """One event; `more` goes to its mail."""
    who = {"emailAddress": to}
    parts: dict[str, dict[str, Any]] = {
        "send": {},
        "delivery": {"timestamp": stamp(at), "recipients": [to], "processingTimeMillis": 546, "smtpResponse": "250 ok: Message 64111812 accepted"},
        "bounce": {
            **{"bounceType": "Permanent", "bounceSubType": "General", "timestamp": stamp(at), "feedbackId": f"0102-b-{stamp(at)}", "reportingMTA": "dsn; mx"},
            "bouncedRecipients": [{**who, "action": "failed", "status": "5.1.1", "diagnosticCode": f"smtp; 550 5.1.1 <{to}>... User unknown"}],
        },
        "soft_bounce": {
            **{"bounceType": "Transient", "bounceSubType": "General", "timestamp": stamp(at), "feedbackId": f"0102-s-{stamp(at)}"},
            "bouncedRecipients": [who],
        },
        "complaint": {
            **{"timestamp": stamp(at), "feedbackId": f"0102-c-{stamp(at)}", "complaintFeedbackType": "abuse", "userAgent": "ExampleCorp Feedback Loop (V0.01)"},
            "complainedRecipients": [who],
        },
        "reject": {"reason": "Bad content"},
        "rendering": {"templateName": "Mine", "errorMessage": f"Attribute '{to}' is not present in the rendering data."},
        "delay": {"timestamp": stamp(at), "delayType": "MailboxFull", "expirationTime": stamp(at), "delayedRecipients": [{**who, "status": "4.4.1"}]},
        "open": {"timestamp": stamp(at), "ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 10_3_3 like Mac OS X)"},
        "click": {
            "timestamp": stamp(at),
            "ipAddress": "192.0.2.1",
            "userAgent": "Mozilla/5.0 (X11; Linux)",
            "link": "https://acme.example.com/",
            "linkTags": None,
        },
        "unsubscribe": {
            **{"timestamp": stamp(at), "contactList": "All", "source": "UnsubscribeHeader"},
            "newTopicPreferences": {"unsubscribeAll": True, "topicSubscriptionStatus": [{"topicName": "T", "subscriptionStatus": "OptOut"}]},
        },
    }
    name = KINDS[kind]
    return {"eventType": name, "mail": mail(message=message, to=to, **more), PARTS.get(name, name.lower()): parts[kind]}
