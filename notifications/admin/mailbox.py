"""The mailbox of an installation that writes its mail to files: what would have left, to be read. Each sees the mail of his organisation."""

import re
from typing import Any, Final

from csp.decorators import csp_update
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from engagement import display, site
from engagement.models import Organisation
from engagement.tenancy import Action
from notifications import mailbox
from notifications.admin.campaigns import PICTURES
from notifications.mailbox import Letter
from notifications.models import Campaign, Message

PAGE: Final = 50
LOOKED_THROUGH: Final = 20  # pages of everybody's mail, for one of one's own
# Nothing but styles and pictures. What the mail's own links lead to opens beside it.
POLICY: Final = "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'"
HEAD: Final = f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="referrer" content="no-referrer"><base target="_blank">'
NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


@require_GET
@never_cache
def listed(request: HttpRequest) -> HttpResponseBase:
    principal = site.seat(request, Action.MARKET)
    _must_be_open()
    letters, after = _of(principal.organisation, request.GET.get("before", "")[:200].replace("\0", ""))
    return site.page(
        request,
        "notifications/mailbox.html",
        title=_("Mailbox"),
        rows=[{"name": one.name, "at": display.moment(one.at), "recipient": one.recipient, "subject": one.subject, "sender": one.sender} for one in letters],
        after=after,
    )


@csp_update(PICTURES)  # type: ignore[arg-type]
@require_GET
@never_cache
def letter(request: HttpRequest, name: str) -> HttpResponseBase:
    principal = site.seat(request, Action.MARKET)
    _must_be_open()
    opened = mailbox.read(name)
    if opened is None or not _own(principal.organisation, [opened.letter]):
        raise Http404
    as_shown = request.GET.get("as", "html")
    return site.page(
        request,
        "notifications/letter.html",
        title=opened.letter.subject or _("(no subject)"),
        opened=opened,
        at=display.moment(opened.letter.at),
        sheet=HEAD + opened.html if opened.html else "",
        shown=as_shown if as_shown in {"html", "text", "headers", "phone"} else "html",
        tabs=[("html", _("Desktop")), ("phone", _("Phone")), ("text", _("Text")), ("headers", _("Headers"))],
    )


def _must_be_open() -> None:
    if settings.MAIL_SERVER.scheme:
        raise Http404(_("Mail leaves for real here, so there is no mailbox."))


def _of(organisation: Organisation, before: str) -> tuple[list[Letter], str]:
    """A page of the organisation's letters, and where the next begins."""
    found: list[Letter] = []
    for _turn in range(LOOKED_THROUGH):
        some = mailbox.listed(limit=PAGE, before=before)
        mine = _own(organisation, some)
        for one in some:
            if one.name in mine:
                found.append(one)
            before = one.name
            if len(found) == PAGE:
                return found, before
        if len(some) < PAGE:
            return found, ""
    return found, before


def _own(organisation: Organisation, letters: list[Letter]) -> set[str]:
    """The names of those that belong to a message, or are a test of a campaign, of the organisation."""
    by_message = {one.name: int(one.message) for one in letters if NUMBER.fullmatch(str(one.message or ""))}
    by_campaign = {one.name: int(one.test) for one in letters if NUMBER.fullmatch(str(one.test or ""))}
    messages = _known(Message, organisation, set(by_message.values()))
    campaigns = _known(Campaign, organisation, set(by_campaign.values()))
    return {name for name, pk in by_message.items() if pk in messages} | {name for name, pk in by_campaign.items() if pk in campaigns}


def _known(model: Any, organisation: Organisation, numbers: set[int]) -> set[int]:
    return set(model.objects.filter(organisation=organisation, pk__in=numbers).values_list("pk", flat=True)) if numbers else set()
