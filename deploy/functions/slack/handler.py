"""What AWS tells, told to Slack: alarms, backups, the database, groups of machines, mail. Of the standard library, and boto3, which is there.

Slack's address is a secret: it is in no log, no error and no answer. What was not told in the end is raised, so that AWS tries again and then keeps it.
"""

import json
import os
import time
from functools import cache
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from operations import aws_events, blocks

TRIES: Final = 3
TIMEOUT_S: Final = 5
LONGEST_WAIT_S: Final = 5  # whatever Retry-After says: whoever sent this tries again by itself


class NotTold(Exception):
    """Its text may be shown."""


class _NoRedirection(HTTPRedirectHandler):
    """The page at its end would be taken for Slack's yes."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def handle(event: dict[str, Any], _context: object) -> dict[str, int]:
    notices = [notice for notice in aws_events.notices(event, runbook=os.environ.get("RUNBOOK", "")) if notice.level != "debug"]
    for notice in notices:
        tell(json.dumps(blocks.payload(notice)).encode())
    return {"told": len(notices)}


def tell(message: bytes) -> None:
    problem = "not tried"
    for number in range(TRIES):
        problem, wait = _tried(message)
        if not problem:
            return
        if number + 1 < TRIES:
            time.sleep(min(wait, LONGEST_WAIT_S))
    raise NotTold(f"Slack took nothing: {problem}.")


def _tried(message: bytes) -> tuple[str, float]:
    """Why Slack did not take it, and how long it wants to be left alone; nothing where it did."""
    request = Request(_address(), data=message, headers={"Content-Type": "application/json"})  # noqa: S310 (the address is checked below)
    try:
        with build_opener(_NoRedirection).open(request, timeout=TIMEOUT_S) as answer:
            return ("", 0.0) if answer.status == 200 else (f"HTTP {answer.status}", 1.0)
    except HTTPError as error:
        asked = error.headers.get("Retry-After", "")
        return f"HTTP {error.code}", float(asked) if asked.isascii() and asked.isdecimal() else 1.0
    except (OSError, HTTPException, ValueError) as error:  # their texts may hold the address
        return type(error).__name__, 1.0


@cache
def _address() -> str:
    """Asked for once while the function stays warm; a new one is taken up within the hour, when AWS replaces it, or at the next release."""
    import boto3

    return address_in(boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SLACK_SECRET"])["SecretString"])


def address_in(kept: str) -> str:
    """Of the secret as people put it in: the address itself, or a JSON object that holds it."""
    if not kept.startswith("https://"):
        try:
            kept = str(json.loads(kept)["SLACK_WEBHOOK_URL"])
        except (ValueError, KeyError, TypeError):
            kept = ""
    if not kept.startswith("https://"):
        raise NotTold("The secret holds no address of Slack.")
    return kept
