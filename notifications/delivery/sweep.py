"""What was left behind: claims whose sender died, messages of cancelled campaigns, runs with nothing left to do, campaigns of which too much fails."""

from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from engagement.models import Organisation
from notifications import campaigns
from notifications.delivery.claim import LEASE
from notifications.models import Campaign, CampaignState, Run, SendingPolicy

PORTION: Final = 10_000  # rows changed in one commit
FEW: Final = 5  # failures from which on their share says something

_LOST: Final = """UPDATE notifications_message SET state = 'unknown', updated_at = %(now)s WHERE id IN (
    SELECT id FROM notifications_message WHERE state = 'claimed' AND claimed_at < %(before)s ORDER BY id LIMIT %(most)s FOR UPDATE SKIP LOCKED)"""
_CANCELLED: Final = """UPDATE notifications_message SET state = 'skipped', reason = 'cancelled', updated_at = %(now)s WHERE id IN (
    SELECT id FROM notifications_message WHERE run_id = %(run)s AND state = 'planned' LIMIT %(most)s FOR UPDATE SKIP LOCKED)"""
# All of them are behind small indexes of what is planned or claimed.
_OPEN: Final = """SELECT r.id, r.campaign_id, c.state FROM notifications_run r JOIN notifications_campaign c ON c.id = r.campaign_id
    WHERE r.finished_at IS NULL AND c.state IN ('sending', 'cancelled')"""
_DONE: Final = """UPDATE notifications_run r SET finished_at = %(now)s WHERE r.id = %(run)s AND r.finished_at IS NULL AND r.planned_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM notifications_message m WHERE m.run_id = r.id AND m.state = 'planned')
    AND NOT EXISTS (SELECT 1 FROM notifications_message m WHERE m.run_id = r.id AND m.state = 'claimed')"""


def sweep(*, now: datetime | None = None) -> None:
    """All of it. However often, and by however many at once."""
    now = now or timezone.now()
    lose_claims(now)
    for run, _campaign, state in _open_runs():
        if state == CampaignState.CANCELLED:
            _cancel(run, now)
        else:
            stop_if_failing(run)
    finish(now)


def lose_claims(now: datetime) -> int:
    """Claims older than their lease: their mails may have left, and nobody will hear of it here any more. Returns how many."""
    return _in_portions(_LOST, {"now": now, "before": now - LEASE})


def finish(now: datetime) -> None:
    """Runs with nothing left to do, and their campaigns."""
    for run, campaign, _state in _open_runs():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM notifications_run WHERE id = %s FOR NO KEY UPDATE", [run])  # a release waits, or is seen
            cursor.execute(_DONE, {"now": now, "run": run})
            finished = cursor.rowcount
        if finished:
            campaigns.finish(campaign, now=now)
    for campaign in list(Campaign.objects.filter(state=CampaignState.SENDING).exclude(runs__finished_at=None).values_list("pk", flat=True)):
        campaigns.finish(campaign, now=now)  # whoever finished its run died before this


def stop_if_failing(run: int) -> bool:
    """Pause a campaign of which too large a share fails or bounces, since somebody last said that it should go on; it says so itself."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*) FILTER (WHERE m.state IN ('failed', 'bounced')), count(*) FROM notifications_message m
                 JOIN notifications_campaign c ON c.id = m.campaign_id
                WHERE m.run_id = %s AND m.state IN ('sent', 'delivered', 'bounced', 'complained', 'failed', 'unknown')
                  AND (c.judged_from IS NULL OR m.updated_at >= c.judged_from)""",
            [run],
        )
        [(failed, tried)] = cursor.fetchall()
    if failed < FEW:
        return False
    campaign = Run.objects.values_list("campaign", flat=True).get(pk=run)
    organisation = Organisation.objects.get(campaign=campaign)
    policy = SendingPolicy.objects.filter(organisation=organisation).first() or SendingPolicy(organisation=organisation)
    if failed < float(policy.failures_pause_at) * tried:
        return False
    return campaigns.pause_itself(campaign, _("%(failed)s of %(tried)s messages failed. Find out why, then resume it.") % {"failed": failed, "tried": tried})


def _open_runs() -> list[tuple[int, int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        return [(run, campaign, state) for run, campaign, state in cursor.fetchall()]


def _cancel(run: int, now: datetime) -> int:
    return _in_portions(_CANCELLED, {"now": now, "run": run})


def _in_portions(statement: str, parameters: dict[str, Any]) -> int:
    changed: int = 0
    while True:
        with connection.cursor() as cursor:  # each in a commit of its own
            cursor.execute(statement, {**parameters, "most": PORTION})
            changed += cursor.rowcount
            if cursor.rowcount < PORTION:
                return changed
