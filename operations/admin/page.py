"""The operations page: what runs where, what waits, what is wrong and what is done about it. Its panels are read one by one, and fail alone."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from engagement import site
from operations.admin import acting, overview, parked, standing
from operations.admin.installation import for_operators

log = logging.getLogger(__name__)

READ_WITHIN: Final = "2s"  # one panel: nobody waits longer for a page that says how things stand


@dataclass(frozen=True)
class Panel:
    name: str
    title: Any
    read: Callable[[datetime], Any]
    wide: bool = False

    @property
    def template(self) -> str:
        return f"operations/panels/{self.name}.html"


PANELS: Final = (
    Panel("alarms", gettext_lazy("Alarms"), standing.alarms, wide=True),
    Panel("parked", gettext_lazy("Parked work"), parked.parked, wide=True),
    Panel("processes", gettext_lazy("What runs where"), overview.processes, wide=True),
    Panel("queues", gettext_lazy("What waits"), overview.queues),
    Panel("lag", gettext_lazy("How late the stream was, in the last 24 hours"), overview.lag),
    Panel("backups", gettext_lazy("Backups"), overview.backups),
    Panel("telling", gettext_lazy("Slack"), overview.telling),
    Panel("actions", gettext_lazy("What Atrium does by itself"), acting.actions, wide=True),
)


@dataclass(frozen=True)
class Read:
    """A panel with what it shows, or with the sentence that says why it shows nothing."""

    panel: Panel
    shown: Any = None
    problem: str = ""


def read(panel: Panel, now: datetime) -> Read:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [READ_WITHIN])
            return Read(panel, shown=panel.read(now))
    except DatabaseError as error:
        log.warning("The panel %s of the operations page could not be read: %s", panel.name, type(error).__name__)
        return Read(panel, problem=_("This could not be read (%(error)s). The rest of the page stands; it is tried again.") % {"error": type(error).__name__})


@require_GET
@never_cache
@for_operators
def page(request: HttpRequest) -> HttpResponseBase:
    return site.page(request, "operations/page.html", title=_("Operations"), **_shown())


@require_GET
@never_cache
@for_operators
def now(request: HttpRequest) -> HttpResponseBase:
    """The panels alone, for the page that is open."""
    return TemplateResponse(request, "operations/panels.html", _shown())


def _shown() -> dict[str, Any]:
    at = timezone.now()
    return {"panels": [read(panel, at) for panel in PANELS], "at": at}
