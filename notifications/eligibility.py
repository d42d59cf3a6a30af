"""May this go to this shopper now? The one place that says so: for the funnel and for planning over all of an audience at once, in sets; for a
claim over the shoppers of one batch, in their rows, inside the transaction that claims.

    no_address  no_consent  suppressed  not_wished  capped   in this order, so that everybody has one reason
    quiet hours: later, or dropped, as the campaign says
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from django.db import connection
from django.db.backends.utils import CursorWrapper
from pyroaring import BitMap

from analytics.audiences import columns
from analytics.audiences.columns import Flags, Groups
from engagement.models import Organisation
from notifications import arms, campaigns, schedule
from notifications.models import COUNTED, Campaign, Reason, SendingPolicy
from notifications.schedule import Quiet

Ints = arms.Ints


@dataclass(frozen=True)
class Later:
    """Not now: from this instant on."""

    at: datetime


@dataclass(frozen=True)
class Cap:
    """At most so many messages in any so many days."""

    messages: int
    days: int

    def since(self, now: datetime) -> datetime:
        return now - timedelta(days=self.days)


@dataclass(frozen=True)
class Terms:
    """What a campaign has to keep to: its own settings and its organisation's policy."""

    organisation: Organisation
    channel: str
    purpose: str
    brand: int | None
    topic: int | None
    own: Cap | None  # of this brand's messages; of the organisation's own, where it has no brand
    all_brands: Cap | None
    quiet: Quiet | None
    shop: ZoneInfo

    @classmethod
    def of(cls, campaign: Campaign) -> "Terms":
        policy = SendingPolicy.objects.filter(organisation=campaign.organisation_id).first()
        quiet = campaign.quiet_hours if campaign.quiet_hours is not None else policy.quiet_hours if policy else None
        own, all_brands = (_cap(one.cap_messages, one.cap_days) if one else None for one in (campaign, policy))
        shop = campaigns.clock_of(campaign)
        return cls(campaign.organisation, campaign.channel, campaign.purpose, campaign.brand_id, campaign.topic_id, own, all_brands, Quiet.of(quiet), shop)

    def parameters(self, now: datetime) -> dict[str, Any]:
        since = [cap.since(now) for cap in (self.own, self.all_brands) if cap]
        return {
            "organisation": self.organisation.pk, "channel": self.channel, "purpose": self.purpose, "brand": self.brand, "topic": self.topic,
            "own_since": self.own and self.own.since(now), "all_since": self.all_brands and self.all_brands.since(now), "since": min(since, default=now),
            "own_most": self.own and self.own.messages, "all_most": self.all_brands and self.all_brands.messages, "counted": list(COUNTED),
        }  # fmt: skip


def _cap(messages: int | None, days: int | None) -> Cap | None:
    return Cap(messages, days) if messages and days else None


# One row for each shopper that was asked for. The counts stop where nothing is capped: then no message is younger than now.
_JUDGE: Final = """
    SELECT w.shopper, coalesce(p.email, '') <> '',
           EXISTS (SELECT 1 FROM engagement_consentstate c
                    WHERE c.shopper_id = w.shopper AND c.channel = %(channel)s AND c.purpose = %(purpose)s AND c.given),
           EXISTS (SELECT 1 FROM notifications_suppression s
                    WHERE s.organisation_id = %(organisation)s AND s.channel = %(channel)s AND s.address = lower(p.email) AND s.lifted_at IS NULL),
           EXISTS (SELECT 1 FROM notifications_preference f WHERE f.shopper_id = w.shopper AND f.channel = %(channel)s AND NOT f.wished
                      AND (f.brand_id = %(brand)s OR f.topic_id = %(topic)s)),
           coalesce(k.own >= %(own_most)s, false) OR coalesce(k.of_all >= %(all_most)s, false), coalesce(p.time_zone, '')
      FROM unnest(%(shoppers)s::bigint[]) w (shopper)
      LEFT JOIN engagement_profile p ON p.shopper_id = w.shopper AND p.organisation_id = %(organisation)s
      LEFT JOIN LATERAL (
            SELECT count(*) FILTER (WHERE m.claimed_at > %(all_since)s) AS of_all,
                   count(*) FILTER (WHERE m.claimed_at > %(own_since)s AND c.brand_id IS NOT DISTINCT FROM %(brand)s) AS own
              FROM notifications_message m JOIN notifications_campaign c ON c.id = m.campaign_id
             WHERE m.shopper_id = w.shopper AND m.claimed_at > %(since)s AND m.state = ANY(%(counted)s)) k ON true"""
_ORDER: Final = (Reason.NO_ADDRESS, Reason.NO_CONSENT, Reason.SUPPRESSED, Reason.NOT_WISHED, Reason.CAPPED)


def judge(cursor: CursorWrapper, campaign: Campaign, shoppers: Sequence[int], now: datetime, *, terms: Terms | None = None) -> dict[int, Reason | Later | None]:
    """None: it may go. Caps are exact where the shoppers' profiles are locked, by a statement before this one."""
    terms = terms or Terms.of(campaign)
    cursor.execute(_JUDGE, terms.parameters(now) | {"shoppers": list(shoppers)})
    found: dict[int, Reason | Later | None] = {}
    for shopper, reachable, agreed, suppressed, unwished, capped, zone in cursor.fetchall():
        faults = (not reachable, not agreed, suppressed, unwished, capped)
        found[shopper] = next((reason for reason, wrong in zip(_ORDER, faults, strict=True) if wrong), None) or _by_the_clock(terms, zone, now)
    return found


def _by_the_clock(terms: Terms, zone: str, now: datetime) -> Reason | Later | None:
    if terms.quiet is None:
        return None
    free = terms.quiet.free(now, terms.quiet.clocks(schedule.zone_of(zone), terms.shop))
    if free == now:
        return None
    return Later(free) if terms.quiet.hold and free is not None else Reason.QUIET_HOURS


@dataclass(frozen=True)
class Sorted:
    """An audience by what keeps each from being told, and who is left."""

    reasons: dict[Reason, BitMap]
    left: BitMap


def sort_out(campaign: Campaign, members: BitMap, now: datetime, *, terms: Terms | None = None) -> Sorted:
    """All of an audience at once, as things stand. Quiet hours are not asked here: they pass."""
    terms = terms or Terms.of(campaign)
    left, reasons = members, {}
    for reason, out in zip(_ORDER, _outs(terms, now), strict=True):
        reasons[reason] = out.without(left)
        left = left - reasons[reason]
    return Sorted(reasons, left)


@dataclass(frozen=True)
class _Out:
    """Who is kept out: the shoppers named, or all but them."""

    named: BitMap
    but: bool = False

    def without(self, of: BitMap) -> BitMap:
        return of - self.named if self.but else of & self.named


# Everybody who was told, in up to three pieces: counting them here is quicker than sorting them there.
_TOLD: Final = """SELECT f.of_all, f.own, string_agg(int8send(f.shopper_id), ''::bytea) FROM (
        SELECT m.shopper_id, coalesce(m.claimed_at > %(all_since)s, false) AS of_all,
               coalesce(m.claimed_at > %(own_since)s AND c.brand_id IS NOT DISTINCT FROM %(brand)s, false) AS own
          FROM notifications_message m JOIN notifications_campaign c ON c.id = m.campaign_id
         WHERE m.organisation_id = %(organisation)s AND m.claimed_at > %(since)s AND m.state = ANY(%(counted)s) AND m.shopper_id > 0) f
    GROUP BY f.of_all, f.own"""
# By address: whose address was suppressed or lifted since; and who was written since, for he may have another address. All, where nothing is known
# yet, are among the first.
_SUPPRESSED: Final = Flags(
    "suppressed",
    """SELECT p.shopper_id AS shopper, s.lifted_at IS NULL AS value FROM notifications_suppression s
         JOIN engagement_profile p ON p.organisation_id = s.organisation_id AND lower(p.email) = s.address AND p.email <> ''
        WHERE s.organisation_id = %(organisation)s AND s.channel = %(channel)s AND s.changed >= %(since)s
       UNION ALL
       SELECT p.shopper_id, EXISTS (
              SELECT 1 FROM notifications_suppression s
               WHERE s.organisation_id = %(organisation)s AND s.channel = %(channel)s AND s.address = lower(p.email) AND s.lifted_at IS NULL)
         FROM engagement_profile p WHERE %(since)s > 0 AND p.organisation_id = %(organisation)s AND p.changed >= %(since)s""",
)
_UNWISHED: Final = """SELECT f.shopper_id AS shopper, NOT f.wished AS value FROM notifications_preference f
    WHERE f.organisation_id = %(organisation)s AND f.channel = %(channel)s AND f.changed >= %(since)s AND """
_OF_BRAND: Final = Flags("brand_unwished", _UNWISHED + "f.brand_id = %(brand)s")
_OF_TOPIC: Final = Flags("topic_unwished", _UNWISHED + "f.topic_id = %(topic)s")
_CLOCKS: Final = Groups(
    "time_zone",
    """SELECT p.shopper_id AS shopper, nullif(p.time_zone, '') AS value FROM engagement_profile p
        WHERE p.organisation_id = %(organisation)s AND p.changed >= %(since)s""",
)


def _outs(terms: Terms, now: datetime) -> list[_Out]:
    view = columns.of(terms.organisation)
    brand = view.flags(_OF_BRAND.of(channel=terms.channel, brand=terms.brand)) if terms.brand else BitMap()
    topic = view.flags(_OF_TOPIC.of(channel=terms.channel, topic=terms.topic)) if terms.topic else BitMap()
    return [
        _Out(view.with_email(), but=True),
        _Out(view.consented(terms.channel, terms.purpose), but=True),
        _Out(view.flags(_SUPPRESSED.of(channel=terms.channel))),
        _Out(brand | topic),
        _Out(_capped(terms, now) if terms.own or terms.all_brands else BitMap()),
    ]


def _capped(terms: Terms, now: datetime) -> BitMap:
    """Read anew each time: a window that rolls lets people in without a row being written."""
    with connection.cursor() as cursor:
        cursor.execute(_TOLD, terms.parameters(now))
        told = [(of_all, own, np.frombuffer(packed, dtype=">i8").astype(np.int64)) for of_all, own, packed in cursor.fetchall()]
    capped = BitMap()
    for cap, those in ((terms.all_brands, [who for of_all, _, who in told if of_all]), (terms.own, [who for _, own, who in told if own])):
        if cap and those:
            shoppers, times = np.unique(np.concatenate(those), return_counts=True)
            capped |= BitMap(shoppers[times >= cap.messages].astype(np.uint32))
    return capped


def send_after(campaign: Campaign, terms: Terms, clock: ZoneInfo | None, now: datetime) -> datetime:
    """When a shopper with this clock may be told: now, or at the campaign's time on his clock, which may have come and gone."""
    if not campaign.in_shopper_time or campaign.send_at is None:
        return now
    return max(now, schedule.on_clock(campaign.send_at, terms.shop, clock or terms.shop))


def clocks(organisation: Organisation) -> Mapping[str, BitMap]:
    """Shoppers by the time zone that they told."""
    return columns.of(organisation).groups(_CLOCKS)
