"""What is answered where a request failed for a reason of ours; and what Django's own pages of an error (only with DEBUG) may show of the settings."""

import re
from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.utils.translation import gettext as _
from django.views.debug import SafeExceptionReporterFilter

from engagement import logs

FOR_PROGRAMS: Final = ("/api/", "/v1/")


class Filter(SafeExceptionReporterFilter):
    """Some addresses are secrets too: whoever knows the webhook's may write into the channel, and a broker's may hold a password."""

    hidden_settings = re.compile(SafeExceptionReporterFilter.hidden_settings.pattern + "|WEBHOOK|BROKER_URL", flags=re.IGNORECASE)


def failed(request: HttpRequest) -> HttpResponse:
    """With the request's number, under which the log tells what happened."""
    number = logs.request_id.get()
    if request.path_info.startswith(FOR_PROGRAMS):
        detail = _("The fault is ours. Say this number to whoever runs this installation: %(number)s.") % {"number": number}
        body = {"type": "about:blank", "title": "Failed", "status": 500, "code": "failed", "detail": detail, "request_id": number}
        return JsonResponse(body, status=500, content_type="application/problem+json")
    return HttpResponse(loader.get_template("500.html").render({"number": number}), status=500)
