"""How AWS wraps what it sends."""

import json
from typing import Any, Final

Json = Any
ACCOUNT: Final = "210987654321"
REGION: Final = "af-south-1"
TOKEN: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def by_topic(message: Json, subject: str | None = None, **attributes: str) -> Json:
    """As a function is given it."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": "arn:aws:sns:af-south-1:210987654321:alerts:1",
                "Sns": sns(message, subject, **attributes),
            }
        ]
    }


def sns(message: Json, subject: str | None = None, **attributes: str) -> Json:
    return {
        "Type": "Notification",
        "MessageId": "5f1c1b9e-0001-4a4e-9f5e-0a1b2c3d4e5f",
        "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:atrium-alerts",
        "Subject": subject,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-03T04:05:06.789Z",
        "SignatureVersion": "1",
        "Signature": "c2lnbmF0dXJlLW9mLW5vYm9keS1hdC1hbGw0Mjk4Nzk0Mzk4NDM5ODQzOQ==",
        "SigningCertUrl": f"https://sns.{REGION}.amazonaws.com/cert-{TOKEN}.pem",
        "UnsubscribeUrl": f"https://sns.{REGION}.amazonaws.com/?Action=Unsubscribe&Token={TOKEN}",
        "MessageAttributes": {name: {"Type": "String", "Value": value} for name, value in attributes.items()},
    }


def by_http(message: Json, subject: str | None = None) -> Json:
    """As it is posted: the other spelling of the addresses."""
    made = sns(message, subject)
    made["SigningCertURL"], made["UnsubscribeURL"] = made.pop("SigningCertUrl"), made.pop("UnsubscribeUrl")
    return made


def by_bridge(source: str, kind: str, detail: Json, *resources: str) -> Json:
    return {
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": "2026-11-03T04:05:06Z",
        "region": REGION,
        "resources": list(resources),
        "detail": detail,
    }
