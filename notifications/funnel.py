"""What would become of an audience if a campaign were sent to it: who falls away and why, how long it takes, and what quiet hours do to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from django.utils import timezone
from pyroaring import BitMap

from notifications import arms, campaigns, eligibility, governor, schedule
from notifications.forecast import Group, forecast
from notifications.models import Campaign, Reason

_DAY_S: Final = 86_400


@dataclass(frozen=True)
class QuietHours:
    """What they will do, as far as the pace lets us foresee."""

    held: int
    dropped: int
    until: datetime | None  # when the last of those held may be told


@dataclass(frozen=True)
class Funnel:
    """`match` is the sum of all that follow, up to `left`: those are sent to."""

    match: int
    no_address: int
    no_consent: int
    suppressed: int
    not_wished: int
    capped: int
    holdout: int
    left: int
    rate: float | None  # messages a second; None: nothing limits
    starts_at: datetime
    finish_at: datetime | None  # None: nobody is left, or sending is stopped
    quiet: QuietHours | None  # None: it has no quiet hours


def funnel(campaign: Campaign, members: BitMap | None = None, now: datetime | None = None) -> Funnel:
    """What would become of the audience (None: as it is now) if it were sent to as the campaign says. Exact, but for the times, which hang on the pace."""
    now = now or timezone.now()
    terms = eligibility.Terms.of(campaign)
    found = eligibility.sort_out(campaign, campaigns.audience_of(campaign, now) if members is None else members, now, terms=terms)
    left = arms.numbers(found.left)
    left = left[~arms.held(campaign.pk, left, float(campaign.holdout))]
    pace = governor.pace(governor.MARKETING)
    starts_at = max(now, campaigns.begins_at(campaign)) if campaign.send_at else now
    seen = forecast(_groups(campaign, terms, BitMap(left.astype(np.uint32)), starts_at), terms.quiet, _rate(pace, len(left)))
    out = {reason: len(those) for reason, those in found.reasons.items()}
    return Funnel(
        match=sum(out.values()) + len(found.left),
        no_address=out[Reason.NO_ADDRESS],
        no_consent=out[Reason.NO_CONSENT],
        suppressed=out[Reason.SUPPRESSED],
        not_wished=out[Reason.NOT_WISHED],
        capped=out[Reason.CAPPED],
        holdout=len(found.left) - len(left),
        left=len(left),
        rate=pace.rate,
        starts_at=starts_at,
        finish_at=seen.finish_at,
        quiet=QuietHours(seen.held, seen.dropped, seen.until) if terms.quiet else None,
    )


def _rate(pace: governor.Pace, people: int) -> float | None:
    """Over all: where the day's quota is too small for them, the quota is the pace."""
    if pace.left_today is None or people <= pace.left_today:
        return pace.rate
    return pace.left_today / _DAY_S if pace.rate is None else min(pace.rate, pace.left_today / _DAY_S)


def _groups(campaign: Campaign, terms: eligibility.Terms, left: BitMap, starts_at: datetime) -> list[Group]:
    """Those who live by the same clocks together."""
    by_clock: dict[ZoneInfo | None, int] = {}
    if campaign.in_shopper_time or (terms.quiet and terms.quiet.by_shopper):
        for name, those in eligibility.clocks(campaign.organisation).items():
            by_clock[schedule.zone_of(name)] = by_clock.get(schedule.zone_of(name), 0) + len(those & left)
    by_clock[None] = by_clock.get(None, 0) + len(left) - sum(by_clock.values())
    return [
        Group(people, eligibility.send_after(campaign, terms, clock, starts_at), terms.quiet.clocks(clock, terms.shop) if terms.quiet else ())
        for clock, people in by_clock.items()
    ]
