"""POST /v1/feedback/ses: a notice of Amazon SNS comes in, is proved, and kept; it is applied later. Amazon tries again what was not answered with 200."""

import logging
import re
from typing import Final

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from notifications.feedback import notices, sns
from notifications.feedback.certificates import Away, Certificates

LARGEST: Final = 1024 * 1024  # a notice has 256 KiB at most, written as JSON in JSON
_TYPES: Final = re.compile(r'(text/plain|application/json)\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
# Code: status and what is told. Those of sns.REFUSALS are 403, but for what cannot be read.
PROBLEMS: Final = {
    "method_not_allowed": (405, "Only POST is possible here."),
    "unsupported_media_type": (415, "Send text/plain or application/json in UTF-8."),
    "raw_delivery": (400, "Turn raw message delivery off: a raw message has no signature."),
    "too_large": (413, f"A notice has at most {LARGEST} bytes."),
    "unavailable": (503, "The notice cannot be kept or proved right now. Send it again."),
    **{code: (403, detail) for code, detail in sns.REFUSALS.items()},
    **{code: (400, sns.REFUSALS[code]) for code in ("unreadable", "unknown_type", "unknown_signature_version")},
}

logger = logging.getLogger("atrium.feedback")
certificates = Certificates()


@csrf_exempt
def ses(request: HttpRequest) -> HttpResponse:
    code = _refused_by_its_head(request)
    if code:
        return problem(code)
    body = request.read(LARGEST + 1)
    if len(body) > LARGEST:
        return problem("too_large")
    now = timezone.now()
    try:
        notice = sns.verified(body, topics=settings.SNS_TOPIC_ARNS, certificates=certificates, now=now)
        if notice.type == sns.UNSUBSCRIPTION:
            logger.warning("The topic %s no longer tells what became of mail: its subscription was ended.", notice.topic_arn)
        else:
            notices.keep(notice, now)
    except sns.Refused as refusal:
        return problem(refusal.code)
    except Away as away:
        logger.warning("A certificate of Amazon SNS could not be fetched (%s).", away)
        return problem("unavailable")
    except (OperationalError, InterfaceError):
        return problem("unavailable")
    return HttpResponse(status=200)


def _refused_by_its_head(request: HttpRequest) -> str:
    if request.method != "POST":
        return "method_not_allowed"
    if not _TYPES.fullmatch(request.headers.get("Content-Type", "")):
        return "unsupported_media_type"
    if request.headers.get("X-Amz-Sns-Rawdelivery", "").lower() == "true":
        return "raw_delivery"
    length = request.headers.get("Content-Length") or "0"
    return "too_large" if not length.isdecimal() or int(length[:20]) > LARGEST else ""


def problem(code: str) -> JsonResponse:
    status, detail = PROBLEMS[code]
    body = {"type": "about:blank", "title": code.replace("_", " ").capitalize(), "status": status, "code": code, "detail": detail}
    answer = JsonResponse(body, status=status, content_type="application/problem+json")
    if status == 405:
        answer["Allow"] = "POST"
    if status == 503:
        answer["Retry-After"] = "20"
    return answer
