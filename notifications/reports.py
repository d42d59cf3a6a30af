"""What came of a campaign, in figures that add up, made of the messages as they are now.

    sums         how many in each state, and why: together the audience
    engagement   sent, delivered, opened, clicked, by variant and over time; the links
    outcome      who came and who bought, beside those held out

Each part is read by itself, since of a campaign of a million messages each takes about a second.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, Literal

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from analytics.calendars import to_moment
from analytics.lift import Group, Lift
from analytics.periods import TooManyPeriods
from analytics.reports.coverage import coverage
from analytics.reports.reading import DEFINITIONS, Question, Range, Reading, Subject, reading
from notifications import heard, proof
from notifications.models import Campaign, Link, MessageState, Variant

Json = dict[str, Any]
Part = Literal["sums", "engagement", "outcome"]
_BY_RUN: Final = """SELECT id, '', coalesce(audience_count, 0)::bigint FROM notifications_run WHERE id = ANY(%(runs)s)
    UNION ALL SELECT run_id, state, count(*) FROM notifications_message WHERE run_id = ANY(%(runs)s) GROUP BY run_id, state"""
NEVER_NEEDED: Final = 1_000_000  # people: more than that and the difference is none
PARTS: Final[tuple[Part, ...]] = ("sums", "engagement", "outcome")
LEFT: Final = (MessageState.SENT, MessageState.DELIVERED, MessageState.BOUNCED, MessageState.COMPLAINED)  # the provider has taken them, surely
_SUMS: Final = """
SELECT NULL::bigint, '', '', coalesce(sum(audience_count), 0)::bigint, 0 FROM notifications_run WHERE id = ANY(%(runs)s)
UNION ALL
SELECT variant_id, state, reason, count(*), count(*) FILTER (WHERE shopper_id < 0) FROM notifications_message WHERE run_id = ANY(%(runs)s) GROUP BY 1, 2, 3
"""


def runs(campaign: Campaign) -> list[Json]:
    """Its runs, each with how many messages are in each state: their sum is the run's audience, also while it is being planned."""
    rows = list(campaign.runs.order_by("due_at", "pk"))
    with connection.cursor() as cursor:
        # One statement, so that rows and audience are of one instant.
        cursor.execute(_BY_RUN, {"runs": [row.pk for row in rows]})
        found = {(run, state): number for run, state, number in cursor.fetchall()}
    return [
        {
            "id": str(row.pk),
            "due_at": row.due_at,
            "planned_at": row.planned_at,
            "finished_at": row.finished_at,
            "audience_count": row.audience_count,
            "counts": _whole({state: found.get((row.pk, state), 0) for state in MessageState.values}, found.get((row.pk, ""), 0)),
        }
        for row in rows
    ]


def together(listed: Sequence[Json]) -> dict[str, int]:
    """The counts of all runs."""
    return {state: sum(one["counts"][state] for one in listed) for state in MessageState.values}


def _whole(counts: dict[str, int], audience: int) -> dict[str, int]:
    """Of a run that is still being planned: whoever has no row yet will get one."""
    planned = MessageState.PLANNED.value
    return {**counts, planned: counts[planned] + max(audience - sum(counts.values()), 0)}


def report(campaign: Campaign, *, now: datetime | None = None, parts: Collection[Part] = PARTS) -> Json:
    """In one snapshot of the database."""
    now = now or timezone.now()
    variants = list(campaign.variants.order_by("pk"))
    runs = list(campaign.runs.order_by("due_at").values_list("pk", flat=True))
    told: Json = {"key": campaign.key, "name": campaign.name, "state": campaign.state, "as_of": _instant(now), "definitions": DEFINITIONS}
    with reading(campaign.organisation, (), now=now) as found:
        if "sums" in parts:
            told |= _sums(found, runs, variants)
        everybody = proof.roll(found.cursor, runs) if set(parts) & {"engagement", "outcome"} else None
        if everybody is not None and "engagement" in parts:
            told |= _engagement(found, campaign, everybody, variants)
        proven = proof.prove(found.cursor, campaign, everybody) if everybody is not None and "outcome" in parts else None
    if "outcome" in parts:
        told["outcome"] = _outcome(campaign, proven, variants, now) if proven else None
    return told


# --- Sums -----------------------------------------------------------------------------------------------------------------


def _sums(found: Reading, runs: Sequence[int], variants: Sequence[Variant]) -> Json:
    rows = found.cursor.execute(_SUMS, {"runs": list(runs)}).fetchall()
    audience = sum(number for _variant, state, _reason, number, _erased in rows if not state)
    rows = [row for row in rows if row[1]]
    counts = _whole(_by_state(rows), audience)
    reasons: dict[str, dict[str, int]] = {}
    for _variant, state, reason, number, _erased in rows:
        if reason:
            its = reasons.setdefault(state, {})
            its[reason] = its.get(reason, 0) + number
    return {
        "audience": audience,
        "counts": counts,
        "reasons": reasons,
        "adds_up": sum(counts.values()) == audience,
        "left": sum(counts[state] for state in LEFT),
        "erased": sum(erased for *_rest, erased in rows),
        "variants": [
            {"name": variant.name, "weight": variant.weight, "counts": _by_state([row for row in rows if row[0] == variant.pk])} for variant in variants
        ],
    }


def _by_state(rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    return {state: sum(row[3] for row in rows if row[1] == state) for state in MessageState.values}


# --- Engagement -----------------------------------------------------------------------------------------------------------


def _engagement(found: Reading, campaign: Campaign, everybody: proof.Roll, variants: Sequence[Variant]) -> Json:
    events = heard.read(found.cursor, campaign.organisation_id, everybody)
    made = heard.summed(everybody, events, zone=campaign.time_zone)
    names = {variant.pk: variant.name for variant in variants}
    urls = list(Link.objects.filter(campaign=campaign).order_by("pk").values_list("pk", "url"))
    return {
        "engagement": {
            "total": made.totals[0],
            "variants": [{"name": name, **made.totals[pk]} for pk, name in names.items() if pk in made.totals],
            "over_time": {"bucket": made.bucket, "rows": [{**row, "variant": names.get(row["variant"])} for row in made.rows]},
            "links": heard.ordered(made.links, urls),
        }
    }


# --- Outcome --------------------------------------------------------------------------------------------------------------


def _outcome(campaign: Campaign, proven: proof.Proof, variants: Sequence[Variant], now: datetime) -> Json:
    until = to_moment(proven.until)
    visits, purchases = _lift(proven.visits), _lift(proven.purchases)
    return {
        "days": campaign.outcome_days,
        "brand": campaign.brand.key if campaign.brand else None,
        "visits": {**visits, "sentence": sentence(proven.visits)},
        "purchases": {**purchases, "sentence": sentence(proven.purchases)},
        "variants": [
            {"name": variant.name, "visits": _group(came), "purchases": _group(bought)}
            for variant in variants
            for came, bought in [proven.variants.get(variant.pk, (Group(0, 0), Group(0, 0)))]
        ],
        "reached": proven.reached,
        "staff": proven.staff,
        "credit": asdict(proven.credit),
        "since": _instant(to_moment(proven.since)),
        "until": _instant(until),
        "complete": until <= now,
        "coverage": _coverage(campaign, proven, now),
    }


def sentence(found: Lift) -> str:
    """What may be said of it."""
    if found.difference is None or found.low is None or found.high is None or found.verdict == "too_few":
        return _("Too few to say: of both groups together %(did)s of %(of)s.") % {
            "did": found.told.did + found.held.did,
            "of": found.told.size + found.held.size,
        }
    numbers = {"low": _points(found.low), "high": _points(found.high), "difference": _points(abs(found.difference)), "needed": f"{found.needed or 0:,}"}
    if found.verdict == "more":
        return _("%(difference)s percentage points more than of those held out (95 %% interval: from %(low)s to %(high)s).") % numbers
    if found.verdict == "fewer":
        return _("%(difference)s percentage points fewer than of those held out (95 %% interval: from %(low)s to %(high)s).") % numbers
    said = _("No difference can be told: it lies between %(low)s and %(high)s percentage points.") % numbers
    if not found.needed or found.needed > NEVER_NEEDED:
        return said
    return f"{said} {_('An audience of about %(needed)s would show one like this.') % numbers}"


def _points(share: float) -> str:
    return f"{share * 100:.1f}"


def _lift(found: Lift) -> Json:
    return {
        "messaged": _group(found.told),
        "held_out": _group(found.held),
        **{name: _rounded(getattr(found, name)) for name in ("difference", "low", "high")},
        "verdict": found.verdict,
        "needed": found.needed,
    }


def _group(group: Group) -> Json:
    return {"shoppers": group.size, "did": group.did, "share": _rounded(group.share)}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _coverage(campaign: Campaign, proven: proof.Proof, now: datetime) -> float | None:
    """Of the hours of the windows that are over, the share in which anybody was seen at the places."""
    start, end = to_moment(proven.since), min(to_moment(proven.until), now)
    if not proven.zones or start >= end:
        return None
    subject = Subject("brand", campaign.brand.key if campaign.brand else "", "", proven.zones)
    try:
        with reading(campaign.organisation, [subject], now=now) as found:
            return coverage(found, [subject], Question(Range(start, end)))[0]
    except TooManyPeriods:
        return None


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
