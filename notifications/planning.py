"""From a due campaign to a row for everybody in its audience, also for those who are skipped or held out.

    due  ->  a run  ->  its audience, taken once and kept  ->  slices by shopper number: rows and cursor in one commit  ->  planned

Whatever dies on the way, the next call goes on behind the cursor. Of two planners at one run the second finds it taken.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from pyroaring import BitMap

from analytics.audiences import columns, rules
from engagement.faults import point
from notifications import arms, campaigns, eligibility, schedule
from notifications.arms import Ints
from notifications.models import Campaign, CampaignState, MessageState, Reason, Run, Variant

SLICE: Final = 20_000
BUDGET_S: Final = 20.0

_PLANNABLE: Final = (CampaignState.SENDING, CampaignState.CANCELLED)  # who was cancelled gets rows too: the sums must add up to the audience
_TABLE: Final = "notifications_message (organisation_id, campaign_id, run_id, channel, shopper_id, variant_id, state, reason, send_after, attempts, claim,"
_COLUMNS: Final = "claimed_at, sent_at, provider_id, updated_at)"


@dataclass
class _Plan:
    """A run's audience in memory, sorted out as things stood when planning began."""

    run: Run
    campaign: Campaign
    shoppers: Ints  # in order
    reasons: dict[Reason, BitMap]
    clocks: Mapping[str, BitMap]  # where each shopper's own counts
    terms: eligibility.Terms
    variants: list[tuple[int, int]]  # number, weight


def plan(*, now: datetime | None = None, budget_s: float = BUDGET_S, stopping: Callable[[], bool] = lambda: False) -> int:
    """Start what is due and plan what is open, run by run a slice in turn, so that a large one keeps no small one waiting. Returns the rows written."""
    until = time.monotonic() + budget_s
    campaigns.start_due(now or timezone.now())
    waiting = Run.objects.filter(planned_at=None, finished_at=None, campaign__state__in=_PLANNABLE).select_related(
        "campaign__audience", "campaign__organisation"
    )
    plans = [made for run in waiting.order_by("pk") if (made := _prepare(run, now or timezone.now()))]
    written = 0
    for run in Run.objects.filter(planned_at=None, audience_count__isnull=False, campaign__state=CampaignState.PAUSED).select_related("campaign__organisation"):
        forget_erased(run, now or timezone.now())
    while plans and time.monotonic() < until and not stopping():
        for one in list(plans):
            rows = _slice(one, now or timezone.now())
            written += rows or 0
            if rows is None:
                plans.remove(one)
    return written


def _prepare(run: Run, now: datetime) -> _Plan | None:
    """None where its audience cannot be made: the campaign waits for somebody then."""
    campaign = run.campaign
    if run.audience_count is None:
        try:
            members = campaigns.audience_of(campaign, now)
        except rules.Fault:
            campaigns.pause_itself(campaign.pk, _("Its audience names something that is no longer there. Change the audience, then resume."))
            return None
        # The first one to come keeps his.
        Run.objects.filter(pk=run.pk, audience_count=None).update(audience=members.serialize(), audience_count=len(members))
        point("plan.audience_kept")
        run.refresh_from_db(fields=["audience", "audience_count", "cursor", "planned_at"])
    audience = BitMap.deserialize(bytes(run.audience)) if run.audience else BitMap()
    terms = eligibility.Terms.of(campaign)
    return _Plan(
        run,
        campaign,
        arms.numbers(audience),
        eligibility.sort_out(campaign, audience, now, terms=terms).reasons,
        eligibility.clocks(campaign.organisation) if campaign.in_shopper_time else {},
        terms,
        list(Variant.objects.filter(campaign=campaign).order_by("pk").values_list("pk", "weight")),
    )


def _slice(plan: _Plan, now: datetime) -> int | None:
    """The next shoppers get their rows; how many. None: there is nothing more to do here, or somebody else does it."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            """SELECT r.cursor, c.state FROM notifications_run r JOIN notifications_campaign c ON c.id = r.campaign_id
                WHERE r.id = %s AND r.planned_at IS NULL FOR UPDATE OF r SKIP LOCKED""",
            [plan.run.pk],
        )
        found = cursor.fetchone()
        if found is None or found[1] not in _PLANNABLE:
            return None
        first = int(np.searchsorted(plan.shoppers, found[0], side="right"))
        chosen = plan.shoppers[first : first + SLICE]
        if not len(chosen):
            _complete(cursor, plan, now)
            return None
        with connection.wrap_database_errors, cursor.copy(f"COPY {_TABLE} {_COLUMNS} FROM STDIN") as copy:
            copy.write("".join(_rows(plan, chosen, now, cancelled=found[1] == CampaignState.CANCELLED)))
        cursor.execute("UPDATE notifications_run SET cursor = %s WHERE id = %s", [int(chosen[-1]), plan.run.pk])
        point("plan.before_commit")
    point("plan.after_commit")
    return len(chosen)


def _complete(cursor: Any, plan: _Plan, now: datetime) -> None:
    """Everybody has a row. Who was erased between the audience and his row, is forgotten in it; whoever is erased from now on, finds it."""
    cursor.execute(
        """UPDATE notifications_message m SET shopper_id = -id, updated_at = %(now)s,
                  reason = CASE state WHEN 'planned' THEN 'erased' ELSE reason END, state = CASE state WHEN 'planned' THEN 'skipped' ELSE state END
            WHERE run_id = %(run)s AND shopper_id > 0 AND NOT EXISTS (SELECT 1 FROM engagement_shopper s WHERE s.id = m.shopper_id)""",
        {"now": now, "run": plan.run.pk},
    )
    cursor.execute("UPDATE notifications_run SET planned_at = %s, audience = '' WHERE id = %s", [now, plan.run.pk])


# A message of nobody, as an erasure leaves it.
_NOBODY: Final = """INSERT INTO notifications_message (id, organisation_id, campaign_id, run_id, channel, shopper_id, state, reason, send_after, attempts,
                                                       provider_id, updated_at)
    SELECT n, %(organisation)s, %(campaign)s, %(run)s, %(channel)s, -n, 'skipped', 'erased', %(now)s, 0, '', %(now)s
      FROM (SELECT nextval(pg_get_serial_sequence('notifications_message', 'id')) AS n FROM generate_series(1, %(number)s)) f"""


def forget_erased(run: Run, now: datetime) -> int:
    """A campaign may be paused for long while its run keeps an audience. Whoever is erased meanwhile leaves it at once; his row stays without him."""
    gone = BitMap.deserialize(bytes(run.audience)) - columns.of(run.campaign.organisation).universe() if run.audience else BitMap()
    if not gone:
        return 0
    campaign = run.campaign
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT cursor, audience FROM notifications_run WHERE id = %s AND planned_at IS NULL FOR UPDATE SKIP LOCKED", [run.pk])
        found = cursor.fetchone()
        if found is None:
            return 0
        kept = BitMap.deserialize(bytes(found[1]))
        without_row = len([shopper for shopper in gone & kept if shopper > found[0]])
        told: dict[str, Any] = {"organisation": campaign.organisation_id, "campaign": campaign.pk, "run": run.pk, "channel": campaign.channel, "now": now}
        cursor.execute(_NOBODY, {**told, "number": without_row})
        cursor.execute("UPDATE notifications_run SET audience = %s WHERE id = %s", [(kept - gone).serialize(), run.pk])
    return without_row


def _rows(plan: _Plan, shoppers: Ints, now: datetime, *, cancelled: bool) -> list[str]:
    """Lines of COPY. What follows the shopper's number is one of a few texts."""
    kind, texts = np.full(len(shoppers), -1, np.int64), []
    among = BitMap(shoppers.astype(np.uint32))
    if cancelled:
        kind[:] = 0
        texts.append(_text(plan, now, MessageState.SKIPPED, Reason.CANCELLED))
    else:
        for reason, those in plan.reasons.items():
            kind[np.searchsorted(shoppers, arms.numbers(those & among))] = len(texts)
            texts.append(_text(plan, now, MessageState.SKIPPED, reason))
        _draw(plan, shoppers, among, kind, texts, now)
    campaign = plan.campaign
    head = f"{campaign.organisation_id}\t{campaign.pk}\t{plan.run.pk}\t{campaign.channel}\t"
    return [f"{head}{shopper}{texts[which]}" for shopper, which in zip(shoppers.tolist(), kind.tolist(), strict=True)]


def _draw(plan: _Plan, shoppers: Ints, among: BitMap, kind: Ints, texts: list[str], now: datetime) -> None:
    """Those who are left: held out, or to be told, and when; by clock, where each one's own counts."""
    held = arms.held(plan.campaign.pk, shoppers, float(plan.campaign.holdout))
    variants = arms.variants(plan.campaign.pk, shoppers, [weight for _, weight in plan.variants])
    left, clock = kind < 0, np.zeros(len(shoppers), np.int64)
    names = ["", *plan.clocks]
    for number, those in enumerate(plan.clocks.values(), 1):
        clock[np.searchsorted(shoppers, arms.numbers(those & among))] = number
    for number in np.unique(clock[left]).tolist():
        here = left & (clock == number)
        at = eligibility.send_after(plan.campaign, plan.terms, schedule.zone_of(names[number]), now) if plan.campaign.in_shopper_time else plan.run.due_at
        kind[here & held] = len(texts)
        texts.append(_text(plan, now, MessageState.HELD_OUT, "", at))
        for index, (variant, _weight) in enumerate(plan.variants):
            kind[here & ~held & (variants == index)] = len(texts)
            texts.append(_text(plan, now, MessageState.PLANNED, "", at, variant))


def _text(plan: _Plan, now: datetime, state: str, reason: str, send_after: datetime | None = None, variant: int | None = None) -> str:
    return f"\t{variant or chr(92) + 'N'}\t{state}\t{reason}\t{send_after or plan.run.due_at}\t0\t\\N\t\\N\t\\N\t\t{now}\n"
