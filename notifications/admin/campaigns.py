"""Campaigns: the list, a new one, writing it, the one screen before it is sent, and what becomes of it.

Pages bring what stands still; what is counted or changes is asked of /api/v1/campaigns by their scripts, so a page and the API cannot differ.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from csp.decorators import csp_update
from django.conf.global_settings import LANGUAGES
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import dates
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from analytics.admin.audiences import said
from analytics.admin.trials import Far
from analytics.audiences import evaluate
from analytics.models import Audience
from engagement import display, site, tenancy
from engagement.models import Brand, Organisation
from engagement.tenancy import Action
from notifications import drafts, reports
from notifications.admin import words
from notifications.admin.beginnings import BEGINNINGS, beginning
from notifications.models import Campaign, CampaignState, MessageState, SendingPolicy, Topic

SHOWN: Final = 200
State = CampaignState
TONES: Final = {State.SENDING: "good", State.PAUSED: "bad", State.SCHEDULED: "warn"}
FORM: Final = ("name", "audience", "brand", "topic", "start")  # of a new campaign
STEPS: Final = ("who", "what", "when", "limits")
EDITOR: Final = ("analytics/call", "analytics/figures/show", "notifications/editor", "notifications/words", "notifications/preview", "notifications/times")
SCRIPTS: Final = ("analytics/call", "analytics/figures/show", "analytics/figures/charts", "notifications/campaign", "notifications/report")
PICTURES: Final = {"img-src": ["'self'", "data:", "https:"]}  # of mails that are shown: they lie where their authors put them


@require_GET
@never_cache
def listed(request: HttpRequest) -> HttpResponseBase:
    organisation = site.seat(request).organisation
    state = request.GET.get("state", "")
    found = (
        tenancy.scoped(Campaign.objects.select_related("audience", "brand").defer("audience__members"), organisation).prefetch_related("runs").order_by("-pk")
    )
    rows = [_row(one) for one in (found.filter(state=state) if state in State.values else found)[:SHOWN]]
    return site.page(
        request,
        "notifications/campaigns/list.html",
        title=_("Campaigns"),
        rows=rows,
        state=state if state in State.values else "",
        states=State.choices,
        audiences=Audience.objects.filter(organisation=organisation).exists(),
        may_write=site.may(request, Action.MARKET),
    )


def _row(campaign: Campaign) -> dict[str, Any]:
    people = [one.audience_count or 0 for one in campaign.runs.all()]
    return {
        "address": reverse("campaign", args=[campaign.pk]),
        "name": campaign.name,
        "brand": campaign.brand.name if campaign.brand else "",
        "state": display.tag(campaign.get_state_display(), TONES.get(State(campaign.state), "")),
        "reason": campaign.pause_reason if campaign.state == State.PAUSED else "",
        "far": _far(campaign) if campaign.state in (State.SENDING, State.PAUSED) else None,
        "audience": campaign.audience.name,
        "when": when(campaign),
        "people": display.number(sum(people)) if people else display.NOTHING,
    }


def _far(campaign: Campaign) -> Far | None:
    """How far it is: everybody who is no longer waiting, of the audience."""
    counts = reports.together(reports.runs(campaign))
    of = sum(counts.values())
    done = of - counts[MessageState.PLANNED] - counts[MessageState.CLAIMED]
    return Far(100 * done // of, "") if of else None


@require_http_methods(["GET", "POST"])
@never_cache
def new(request: HttpRequest) -> HttpResponseBase:
    """A name, an audience and something to begin with: a draft, on which the editor goes on."""
    principal = site.seat(request, Action.MARKET)
    organisation = principal.organisation
    asked: Mapping[str, str] = request.POST if request.method == "POST" else request.GET
    like = own(request, int(asked["like"][:18])) if asked.get("like", "").isdigit() else None
    told = {**_like(like), **{name: asked[name] for name in FORM if name in asked}}
    faults: list[str] = []
    if request.method == "POST":
        try:
            made, _created = drafts.save(organisation=organisation, told=_drafted(organisation, told, like), by=principal.name)
            return redirect(f"{reverse('campaign_edit', args=[made.pk])}?step=what")
        except drafts.Faults as wrong:
            faults = [fault.detail for fault in wrong.faults]
    return site.page(
        request,
        "notifications/campaigns/new.html",
        title=_("Write a campaign"),
        told={**told, "start": told["start"] or BEGINNINGS[0].name},
        like=like,
        faults=faults,
        starts=[{"name": one.name, "label": one.label, "says": one.says} for one in BEGINNINGS],
        organisation=organisation,
        **_choices(organisation),
    )


def _like(campaign: Campaign | None) -> dict[str, str]:
    """What the form begins with: nothing, or what another campaign has."""
    if campaign is None:
        return dict.fromkeys(FORM, "")
    known = drafts.told(campaign)
    return {"name": _("%(name)s, again") % {"name": campaign.name}, "start": "", **{name: known[name] or "" for name in ("audience", "brand", "topic")}}


def _drafted(organisation: Organisation, told: Mapping[str, str], like: Campaign | None) -> dict[str, Any]:
    """As a draft is told. Of another campaign everything but when."""
    name = told["name"].strip()
    known = {**drafts.told(like), "send_at": None, "recurrence": None, "in_shopper_time": False} if like else {}
    return {
        **known,
        "key": _free_key(organisation, name),
        "name": name or None,
        "audience": told["audience"],
        "brand": told["brand"] or None,
        "topic": told["topic"] or None,
        **({} if like else {"variants": [{"name": "a", **beginning(told["start"])}]}),
    }


def _free_key(organisation: Organisation, name: str) -> str:
    """Of the name; with a number where it is taken."""
    wish = slugify(name)[:56].strip("-_") or "campaign"
    taken = set(Campaign.objects.filter(organisation=organisation, key__startswith=wish).values_list("key", flat=True))
    return next(key for key in (wish, *(f"{wish}-{n}" for n in range(2, len(taken) + 3))) if key not in taken)


def _choices(organisation: Organisation) -> dict[str, Any]:
    audiences = tenancy.scoped(Audience.objects.defer("members"), organisation).order_by("name")
    return {
        "audiences": [{"key": one.key, "name": one.name, "count": display.number(one.count)} for one in audiences],
        "brands": list(tenancy.scoped(Brand.objects.all(), organisation).order_by("name").values("key", "name")),
        "topics": list(tenancy.scoped(Topic.objects.all(), organisation).order_by("name").values("key", "name")),
    }


@csp_update(PICTURES)  # type: ignore[arg-type]
@require_GET
@never_cache
def edit(request: HttpRequest, pk: int) -> HttpResponseBase:
    principal = site.seat(request, Action.MARKET)
    campaign = own(request, pk)
    if campaign.state != State.DRAFT:
        return redirect("campaign", pk)
    organisation = principal.organisation
    names = evaluate.names(organisation)
    audiences = tenancy.scoped(Audience.objects.defer("members"), organisation)
    given = site.given(
        request,
        draft=drafts.told(campaign),
        audiences=[{"key": one.key, "count": one.count, "words": said(one, names)} for one in audiences],
        languages=[code for code, _name in LANGUAGES],
        time_zone=drafts.clock_of(organisation, campaign.brand),
        texts=words.editor(),
    )
    policy = policy_of(organisation)
    return site.page(
        request,
        "notifications/campaigns/edit.html",
        title=campaign.name,
        campaign=campaign,
        modules=[f"{name}.js" for name in EDITOR],
        steps=list(zip(STEPS, (_("Who"), _("What"), _("When"), _("Limits")), strict=True)),
        organisation=organisation,
        policy=policy,
        policy_cap=cap_in_words(policy),
        policy_quiet=quiet_in_words(policy.quiet_hours, own=False),
        merges=_merges(),
        weekdays=[(number + 1, str(name)) for number, name in dates.WEEKDAYS_ABBR.items()],
        time_zones=sorted(available_timezones()),
        given=given,
        **_choices(organisation),
    )


def _merges() -> list[tuple[str, str]]:
    return [
        ("{{ shopper.id }}", _("his id")),
        ("{{ attributes.first_name | default: 'friend' }}", _("his first name, else “friend”")),
        ("{{ attributes.tier }}", _("an attribute")),
        ("{{ brand.name }}", _("the brand's name")),
        ("{{ organisation.name }}", _("the organisation's name")),
        ("{{ preferences_url }}", _("address of his preferences")),
        ("{{ unsubscribe_url }}", _("address to unsubscribe")),
    ]


@require_GET
@never_cache
def review(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The one screen before anything leaves."""
    principal = site.seat(request, Action.MARKET)
    campaign = own(request, pk)
    if campaign.state != State.DRAFT:
        return redirect("campaign", pk)
    policy = policy_of(principal.organisation)
    needed = policy.needs_approval
    last_by = campaign.changed_by or campaign.created_by
    approved = needed and campaign.approved_revision == campaign.revision
    told = drafts.told(campaign)
    weights = sum(one["weight"] for one in told["variants"])
    return site.page(
        request,
        "notifications/campaigns/review.html",
        title=_("Before it leaves: %(name)s") % {"name": campaign.name},
        campaign=campaign,
        audience=campaign.audience,
        words=said(campaign.audience, evaluate.names(principal.organisation)),
        when=when(campaign),
        sender=campaign.sender or policy.sender or _("nobody yet: name a sender in the campaign or in the policy"),
        variants=[
            {**one, "share": round(100 * one["weight"] / weights), "languages": ", ".join(other["language"] for other in one.get("languages", []))}
            for one in told["variants"]
        ],
        needs_approval=needed,
        approved=approved,
        may_approve=needed and not approved and last_by != principal.name,
        last_by=last_by,
        address=request.build_absolute_uri(),
        act_says=_act_says(campaign),
        given=site.given(
            request,
            key=campaign.key,
            planned=campaign.send_at is not None or campaign.recurrence is not None,
            approved=approved or not needed,
            sender=bool(campaign.sender or policy.sender),
            time_zone=campaign.time_zone,
            after=reverse("campaign", args=[pk]),
            texts=words.review(),
        ),
    )


def _act_says(campaign: Campaign) -> str:
    if campaign.send_at or campaign.recurrence:
        return _("Who gets it is asked again when its time comes. Until then it can be taken back.")
    return _("Each is asked for consent once more just before his mail leaves. You can pause or cancel at any time; what has left cannot be brought back.")


@require_GET
@never_cache
def page(request: HttpRequest, pk: int) -> HttpResponseBase:
    """How far it is, and what it brought. A draft is written, not looked at."""
    campaign = own(request, pk)
    may_write = site.may(request, Action.MARKET)
    if campaign.state == State.DRAFT and may_write:
        return redirect("campaign_edit", pk)
    return site.page(
        request,
        "notifications/campaigns/page.html",
        title=campaign.name,
        campaign=campaign,
        modules=[f"{name}.js" for name in SCRIPTS],
        may_write=may_write,
        acts=[
            {"name": "pause", "label": _("Pause"), "tone": ""},
            {"name": "resume", "label": _("Go on"), "tone": "primary"},
            {"name": "unschedule", "label": _("Back to draft"), "tone": ""},
            {"name": "cancel", "label": _("Cancel…"), "tone": ""},
        ],
        facts=facts(campaign),
        given=site.given(
            request, key=campaign.key, time_zone=campaign.time_zone, state=campaign.state, edit=reverse("campaign_edit", args=[pk]), texts=words.campaign()
        ),
    )


# --- Whose ----------------------------------------------------------------------------------------------------------------


def own(request: HttpRequest, pk: int) -> Campaign:
    """The campaign of the reader's organisation. Another's is as unknown as one that never was."""
    rows = tenancy.scoped(Campaign.objects.select_related("audience", "brand", "topic", "organisation"), site.seat(request).organisation)
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def policy_of(organisation: Organisation) -> SendingPolicy:
    """What holds; where nothing was ever said, what holds then."""
    return SendingPolicy.objects.filter(organisation=organisation).first() or SendingPolicy(organisation=organisation)


# --- How it is written ----------------------------------------------------------------------------------------------------


def when(campaign: Campaign) -> str:
    if campaign.recurrence:
        return again_in_words(campaign.recurrence, campaign.time_zone)
    if campaign.send_at:
        at = display.moment(campaign.send_at, campaign.time_zone)
        return _("%(at)s, on each shopper's clock") % {"at": _wall(campaign.send_at, campaign.time_zone)} if campaign.in_shopper_time else at
    if campaign.started_at:
        return display.moment(campaign.started_at, campaign.time_zone)
    return _("when somebody says so")


def _wall(at: datetime, clock: str) -> str:
    return at.astimezone(ZoneInfo(clock)).strftime("%-d %b, %H:%M")


def again_in_words(recurrence: Mapping[str, Any], clock: str) -> str:
    told = {"at": recurrence["at"], "clock": clock, "days": ", ".join(map(str, recurrence.get("on", [])))}
    if recurrence["every"] == "week":
        told["days"] = ", ".join(str(dates.WEEKDAYS[day - 1]) for day in recurrence["on"])
        return _("every %(days)s at %(at)s (%(clock)s)") % told
    return (_("every day at %(at)s (%(clock)s)") if recurrence["every"] == "day" else _("on day %(days)s of every month at %(at)s (%(clock)s)")) % told


def cap_in_words(policy: SendingPolicy) -> str:
    if not policy.cap_messages:
        return _("The organisation sets no limit of its own.")
    return _("The organisation's own limit holds too: %(n)s messages in %(days)s days, of all brands together.") % {
        "n": policy.cap_messages,
        "days": policy.cap_days,
    }


def quiet_in_words(quiet: Mapping[str, Any] | None, *, own: bool) -> str:
    if not quiet:
        return _("Without its own, none hold: the organisation has no quiet hours.") if not own else _("None.")
    then = _("what falls into them waits") if quiet.get("then", "hold") == "hold" else _("what falls into them is not sent")
    said = _("%(begin)s to %(end)s; %(then)s") % {"begin": quiet["from"], "end": quiet["until"], "then": then}
    return said if own else _("Without its own, the organisation's hold: %(said)s.") % {"said": said}


def facts(campaign: Campaign) -> str:
    """One line: to whom, when, with what holdout, by whom."""
    told = {
        "audience": campaign.audience.name,
        "when": campaign_when_plain(campaign),
        "holdout": display.number(float(campaign.holdout) * 100),
        "days": campaign.outcome_days,
        "by": campaign.created_by or "–",
    }
    return _("To %(audience)s, %(when)s. %(holdout)s %% held out; a visit within %(days)s days counts. Written by %(by)s.") % told


def campaign_when_plain(campaign: Campaign) -> str:
    if campaign.recurrence:
        return again_in_words(campaign.recurrence, campaign.time_zone)
    at = campaign.started_at or campaign.send_at
    return _wall(at, campaign.time_zone) if at else _("when somebody says so")
