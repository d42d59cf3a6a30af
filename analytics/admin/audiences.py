"""Audiences: the list, one audience with its history and some of its members, and the page on which a rule is built."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.db import connection
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from pyroaring import BitMap

from analytics.admin import conditions
from analytics.audiences import columns, evaluate, rules
from analytics.models import Audience, AudienceChange
from engagement import display, site, tenancy
from engagement.models import Channel, Organisation, Profile, Shopper
from engagement.tenancy import Action, Principal

MODULES: Final = ("call", "figures/show", "audiences/builder", "audiences/fields", "audiences/rule")
WEEK: Final = timedelta(days=7)
HISTORY: Final = timedelta(days=90)
SAMPLE: Final = 12


@require_GET
@never_cache
def listed(request: HttpRequest) -> HttpResponseBase:
    principal = site.seat(request)
    found = tenancy.scoped(Audience.objects.defer("members"), principal.organisation).order_by("name", "pk")
    moved = _moved(found)
    names = evaluate.names(principal.organisation)
    rows = [
        {
            "pk": one.pk,
            "name": one.name,
            "words": said(one, names),
            "count": display.number(one.count) if one.refreshed_at else display.NOTHING,
            "change": _change(*moved.get(one.pk, (0, 0))),
            "fresh": _fresh(one.refreshed_at),
        }
        for one in found
    ]
    return site.page(request, "analytics/audiences/list.html", title=_("Audiences"), rows=rows, may_write=site.may(request, Action.MARKET))


@require_GET
@never_cache
def page(request: HttpRequest, pk: int) -> HttpResponseBase:
    audience = own(request, pk)
    organisation = audience.organisation
    joined, left = _moved([audience]).get(audience.pk, (0, 0))
    days = _history(audience)
    members = BitMap.deserialize(bytes(audience.members)) if audience.members else BitMap()
    given = site.given(request, days=[{**one, "at": None, "day": one["at"].isoformat()} for one in days], texts=_history_texts())
    return site.page(
        request,
        "analytics/audiences/page.html",
        title=audience.name,
        audience=audience,
        words=said(audience, evaluate.names(organisation)),
        count=display.number(len(members)),
        fresh=_fresh(audience.refreshed_at),
        change=_change(joined, left),
        moved=_("%(joined)s joined, %(left)s left") % {"joined": display.number(joined), "left": display.number(left)},
        reachable=display.number(_reachable(organisation, members)),
        sample=_sample(organisation, members),
        campaigns=_campaigns(audience),
        table=[{**one, "day": display.day(one["at"]), **{name: display.number(one[name]) for name in ("joined", "left", "count")}} for one in reversed(days)],
        given=given,
        export=given["api"] + f"audiences/{quote(audience.key)}/members?{urlencode({'organisation': organisation.key})}",
        may_write=site.may(request, Action.MARKET),
    )


@require_GET
@never_cache
def new(request: HttpRequest) -> HttpResponseBase:
    principal = site.seat(request, Action.MARKET)
    return _builder(request, principal, None)


@require_GET
@never_cache
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    principal = site.seat(request, Action.MARKET)
    return _builder(request, principal, own(request, pk))


def _builder(request: HttpRequest, principal: Principal, audience: Audience | None) -> HttpResponse:
    offered = conditions.conditions(principal, but=audience.key if audience else "")
    given = site.given(
        request,
        texts=conditions.texts(),
        conditions=offered,
        attributes=conditions.attributes(principal.organisation),
        key=audience.key if audience else "",
        rule=audience.rule if audience else None,
        after=reverse("audience", args=[audience.pk]) if audience else reverse("audiences"),
    )
    return site.page(
        request,
        "analytics/audiences/builder.html",
        title=_("Change the rule: %(name)s") % {"name": audience.name} if audience else _("Build an audience"),
        modules=[f"analytics/{name}.js" for name in MODULES],
        fresh=audience is None,
        audience=audience,
        used=len(_campaigns(audience)) if audience else 0,
        starts=conditions.starts(offered),
        given=given,
    )


# --- Whose ----------------------------------------------------------------------------------------------------------------


def own(request: HttpRequest, pk: int) -> Audience:
    """The audience of the reader's organisation. Another's is as unknown as one that never was."""
    found = tenancy.scoped(Audience.objects.select_related("organisation"), site.seat(request).organisation).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


# --- How it is written ----------------------------------------------------------------------------------------------------


def said(audience: Audience, names: Any) -> str:
    """The rule in words. One that can no longer be read says so, and does not take the list down with it."""
    try:
        return rules.words(rules.parse(audience.rule), names)
    except rules.Fault:
        return _("This rule cannot be read. Build it again.")


def _change(joined: int, left: int) -> str:
    if not joined and not left:
        return display.NOTHING
    net = joined - left
    return f"{'+' if net > 0 else '−' if net < 0 else '±'}{display.number(abs(net))}"


def _fresh(at: datetime | None) -> str:
    """Since when the members are those who meet the rule: they are looked at again every few seconds, and written when they differ."""
    if at is None:
        return display.tag(_("being counted"), "warn")
    return display.moment(at)


def _moved(audiences: Any) -> dict[int, tuple[int, int]]:
    """How many joined and left each of them in the last days."""
    since = timezone.now() - WEEK
    found = AudienceChange.objects.filter(audience__in=[one.pk for one in audiences], at__gte=since).values_list("audience")
    return {pk: (joined, left) for pk, joined, left in found.annotate(Sum("joined_count"), Sum("left_count")).order_by()}


def _history(audience: Audience) -> list[dict[str, Any]]:
    """Each day on which somebody came or went, oldest first, with the members at its end: counted back from those of now."""
    clock = str(timezone.get_current_timezone_name())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (at AT TIME ZONE %s)::date AS day, sum(joined_count), sum(left_count) FROM analytics_audiencechange"
            " WHERE audience_id = %s AND at >= %s GROUP BY day ORDER BY day DESC",
            [clock, audience.pk, timezone.now() - HISTORY],
        )
        rows = cursor.fetchall()
    days, count = [], audience.count
    for day, joined, left in rows:
        days.append({"at": day, "joined": joined, "left": left, "count": count})
        count -= joined - left
    return days[::-1]


def _history_texts() -> dict[str, str]:
    return {"members": _("Members"), "joined": _("Joined"), "left": _("Left")}


def _reachable(organisation: Organisation, members: BitMap) -> int:
    known = columns.of(organisation)
    return len(members & known.with_email() & known.consented(Channel.EMAIL.value, "marketing"))


def _sample(organisation: Organisation, members: BitMap) -> list[dict[str, Any]]:
    """Some of them, spread over all."""
    step = max(1, len(members) // SAMPLE)
    picked = [members[n] for n in range(0, len(members), step)][:SAMPLE]
    profiles = {one.pk: one for one in Profile.objects.filter(organisation=organisation, shopper__in=picked)}
    found = tenancy.scoped(Shopper.objects.filter(pk__in=picked), organisation).order_by("pk")
    return [
        {
            "shopper": site.link(one, str(one)),
            "email": profiles[one.pk].email if one.pk in profiles else display.NOTHING,
            "language": profiles[one.pk].language if one.pk in profiles else display.NOTHING,
            "seen": display.moment(one.last_at),
        }
        for one in found
    ]


def _campaigns(audience: Audience) -> Sequence[tuple[int, str, str]]:
    """Campaigns are of the floor above, and met here in their table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name, state FROM notifications_campaign WHERE audience_id = %s ORDER BY id DESC LIMIT 50", [audience.pk])
        return list(cursor.fetchall())
