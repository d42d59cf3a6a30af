"""Kinds of parked work: one entry each, and nothing of a kind elsewhere.

What is parked was tried often enough and failed for a reason that may pass. Not here is what a person must decide about for itself: a file of
shoppers that failed (its page has `again`, after a look at its columns), and what was refused for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from engagement import set_aside
from engagement.tenancy import Action
from notifications import campaigns
from notifications.delivery import record
from notifications.feedback import notices
from notifications.models import Campaign, CampaignState, Message, MessageState, Reason

Release = Callable[[int | None, Sequence[int], datetime, bool], list[int]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`parked`: a query for organisation_id, id, at and text (why it is parked; no addresses) of each row that is parked.

    `fate`: an expression for what became of the row with the number `i.item` since it was released, as a state of RedriveItem; nothing
    where there is no such row. `release` lets those of the numbers go that are the organisation's and still parked, and returns them; with
    True they have one try, so that soon is known how it went. `held_up`: why those of the numbers that were sent on cannot go now, for a
    person; nothing where they can.
    """

    name: str
    title: Any
    right: Action | None  # that a member needs to release them; None: they are the installation's
    parked: str
    fate: str
    release: Release
    held_up: Callable[[Sequence[int]], str] = lambda _ids: ""


def like(text: str) -> str:
    """SQL: a provider's words without what differs from time to time, so that like causes fall together. The reply's code at the beginning stays."""
    code = rf"coalesce(substring({text} from '^[245][0-9]{{2}}(?:[ -][245]\.[0-9]{{1,3}}\.[0-9]{{1,3}})?'), '')"
    words = f"substr({text}, length({code}) + 1)"
    for pattern, sign in ((r"[^[:space:]<>]+@[^[:space:]<>]+", "@"), (r"[^[:space:]]*[0-9][^[:space:]]*", "#")):
        words = f"regexp_replace({words}, '{pattern}', '{sign}', 'g')"
    return f"{code} || {words}"


def _release_requests(organisation: int | None, ids: Sequence[int], now: datetime, last_try: bool) -> list[int]:
    return sorted(set_aside.send_on(organisation, ids)) if organisation else []


def _release_messages(organisation: int | None, ids: Sequence[int], now: datetime, last_try: bool) -> list[int]:
    """Campaign by campaign. What a campaign that was cancelled meanwhile had parked stays."""
    released: list[int] = []
    parked = Message.objects.filter(organisation=organisation, pk__in=ids)
    for campaign in Campaign.objects.filter(organisation=organisation, pk__in=parked.values("campaign")).order_by("pk"):
        attempts = record.EMAIL.tries - 1 if last_try else 0
        try:
            released += campaigns.release_some(campaign, by="redrive", now=now, reason=Reason.TRIED_ENOUGH, only=ids, attempts=attempts)
        except campaigns.WrongState:
            continue
    return released


def _paused(ids: Sequence[int]) -> str:
    waiting = Message.objects.filter(pk__in=ids, state=MessageState.PLANNED)
    paused = Campaign.objects.filter(pk__in=waiting.values("campaign"), state=CampaignState.PAUSED).order_by("pk").values_list("key", flat=True)
    return gettext("They go when somebody resumes the campaign %(key)s.") % {"key": paused[0]} if paused else ""


def _release_notices(organisation: int | None, ids: Sequence[int], now: datetime, last_try: bool) -> list[int]:
    return notices.release(ids, attempts=notices.TRIES - 1 if last_try else 0) if organisation is None else []


KINDS: Final = (
    Kind(
        name="requests",
        title=_("Requests set aside"),
        right=Action.REPLAY,
        # The error is a type and a place: nothing in it differs from time to time.
        parked="SELECT organisation_id, id, set_aside_at AS at, split_part(error, chr(10), 1) AS text FROM engagement_setaside WHERE replayed_at IS NULL",
        # One statement sees the inbox and what is set aside at one instant, and the stream moves a row from one to the other in one commit.
        fate="""SELECT CASE WHEN s.replayed_at IS NULL THEN 'parked again' WHEN s.replayed_as IS NULL THEN 'gone'
                            WHEN EXISTS (SELECT 1 FROM engagement_inbox b WHERE b.id = s.replayed_as) THEN 'released'
                            WHEN EXISTS (SELECT 1 FROM engagement_setaside a WHERE a.inbox = s.replayed_as) THEN 'parked again' ELSE 'done' END
                  FROM engagement_setaside s WHERE s.id = i.item""",
        release=_release_requests,
    ),
    Kind(
        name="messages",
        title=_("Messages that were tried often enough"),
        right=Action.MARKET,
        parked=f"""SELECT m.organisation_id, m.id, m.updated_at AS at, {like("coalesce(e.detail, '')")} AS text FROM notifications_message m
                     JOIN notifications_campaign c ON c.id = m.campaign_id AND c.state <> 'cancelled'
                     LEFT JOIN LATERAL (SELECT detail FROM notifications_messageevent e WHERE e.message_id = m.id AND e.kind = 'reject'
                                         ORDER BY e.at DESC, e.id DESC LIMIT 1) e ON true
                    WHERE m.state = 'failed' AND m.reason = 'tried_enough' AND m.shopper_id > 0""",
        fate="""SELECT CASE WHEN m.state IN ('planned', 'claimed') THEN 'released' WHEN m.state = 'failed' THEN 'parked again'
                            WHEN m.state IN ('skipped', 'unknown') THEN 'gone' ELSE 'done' END
                  FROM notifications_message m WHERE m.id = i.item""",
        release=_release_messages,
        held_up=_paused,
    ),
    Kind(
        name="notices",
        title=_("Feedback that was given up"),
        right=None,
        parked=f"""SELECT NULL::bigint AS organisation_id, id, received_at AS at, {like("problem")} AS text FROM notifications_feedbacknotice
                    WHERE applied_at IS NULL AND attempts >= {notices.TRIES}""",
        fate=f"""SELECT CASE WHEN n.applied_at IS NOT NULL THEN 'done' WHEN n.attempts >= {notices.TRIES} THEN 'parked again' ELSE 'released' END
                   FROM notifications_feedbacknotice n WHERE n.id = i.item""",
        release=_release_notices,
    ),
)
DECLARED: Final = {kind.name: kind for kind in KINDS}
