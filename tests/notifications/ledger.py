"""Messages as planning, sending and feedback leave them, put there in a moment: for those who read them."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from engagement.models import Shopper
from notifications.models import Campaign, Message, MessageEvent, Run, Variant

_sources = count()
LEFT = ("sent", "delivered", "bounced", "complained", "unknown")


def run(campaign: Campaign, due_at: datetime, *, audience: int = 0) -> Run:
    """A run that is planned."""
    Campaign.objects.filter(pk=campaign.pk).update(started_at=due_at)
    return Run.objects.create(campaign=campaign, due_at=due_at, planned_at=due_at, audience_count=audience)


def message(of: Run, who: Shopper, state: str = "delivered", *, after: timedelta = timedelta(), variant: str = "a", reason: str = "", **more: Any) -> Message:
    """`after` its time it left, if it is in a state of those that left. The run's audience has one more."""
    unvaried = state == "held_out" or (state == "skipped" and not more.pop("meant", False))
    sent = of.due_at + after if state in LEFT else None
    Run.objects.filter(pk=of.pk).update(audience_count=(of.audience_count or 0) + 1)
    of.audience_count = (of.audience_count or 0) + 1
    fields = {"send_after": of.due_at, "sent_at": sent, "claimed_at": sent, "updated_at": timezone.now()} | more
    return Message.objects.create(
        organisation=of.campaign.organisation,
        campaign=of.campaign,
        run=of,
        shopper=who,
        state=state,
        reason=reason,
        variant=None if unvaried else Variant.objects.get(campaign=of.campaign, name=variant),
        **fields,
    )


def event(of: Message, kind: str, at: datetime, **more: Any) -> MessageEvent:
    return MessageEvent.objects.create(organisation=of.organisation, message=of, kind=kind, at=at, source=f"test:{next(_sources)}", **more)
