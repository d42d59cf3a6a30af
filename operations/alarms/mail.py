"""Alarms about what is sent: bounces, complaints, the account's quota, campaigns, feedback."""

from datetime import datetime, timedelta
from typing import Final

from django.utils.translation import gettext_lazy as _

from notifications import rates
from notifications.feedback import notices
from notifications.models import Campaign, CampaignState, FeedbackNotice, SendingAccount
from operations.alarms import declaration
from operations.alarms.declaration import Declaration, Found, Severity, count

NOTICES_WAIT: Final = timedelta(minutes=5)
JUDGED: Final = timedelta(minutes=1)  # a share of ten thousand mails does not change faster


def bounce_rate(now: datetime) -> float:
    return rates.rate(rates.BOUNCES, now).value


def complaint_rate(now: datetime) -> float:
    return rates.rate(rates.COMPLAINTS, now).value


def quota_used(now: datetime) -> float:
    """Share of what the account may send in 24 hours; 0 where there is no limit."""
    account = SendingAccount.objects.filter(quota__gt=0).first()
    return account.sent / account.quota if account else 0.0


def campaigns_paused_by_themselves(now: datetime) -> Found:
    paused = Campaign.objects.filter(state=CampaignState.PAUSED, paused_itself=True).order_by("-pk")
    names = tuple(paused.values_list("key", flat=True)[: declaration.COUNTED_UP_TO])
    return Found(len(names), names)


def notices_not_applied(now: datetime) -> float:
    """Those that were given up are parked work, and not among them."""
    return FeedbackNotice.objects.filter(applied_at=None, attempts__lt=notices.TRIES, received_at__lt=now - NOTICES_WAIT)[: declaration.COUNTED_UP_TO].count()


ALARMS: Final = (
    Declaration(
        name="mail-bounces",
        title=_("Too much mail bounces"),
        reads=_("The share of the latest mails that bounced for ever."),
        read=bounce_rate,
        above=0.02,
        every=JUDGED,
        severity=Severity.WARNING,
        show=rates.percent,
        sentence=_("Of the latest mails, %(value)s bounced for ever. Campaigns go at half their pace; at 4 %% they stop."),
        remedy=_("Look in the suppressions where the addresses are from, take old or bought ones out of the audiences, then run manage.py release_brake."),
    ),
    Declaration(
        name="mail-complained-of",
        title=_("Too many complaints about mail"),
        reads=_("The share of the latest mails that were complained of."),
        read=complaint_rate,
        above=0.0005,
        every=JUDGED,
        severity=Severity.WARNING,
        show=rates.percent,
        sentence=_("Of the latest mails, %(value)s were complained of. Campaigns go at half their pace; at 0.08 %% they stop."),
        remedy=_("Look which campaign the complaints are about, and whether its readers had agreed to it. Then run manage.py release_brake."),
    ),
    Declaration(
        name="mail-quota-near",
        title=_("The mail quota is nearly used"),
        reads=_("The share of the account's 24-hour quota that is used."),
        read=quota_used,
        above=0.9,
        severity=Severity.WARNING,
        show=rates.percent,
        sentence=_("Of what the account may send in 24 hours, %(value)s is used. Campaigns wait for the rest of the day once it is gone."),
        remedy=_("Ask Amazon SES for a higher quota, or send large campaigns on several days."),
    ),
    Declaration(
        name="campaign-paused-itself",
        title=_("A campaign paused itself"),
        reads=_("How many campaigns are paused, and not by a person."),
        read=campaigns_paused_by_themselves,
        above=0,
        severity=Severity.WARNING,
        show=count,
        sentence=_("Campaigns that paused themselves: %(value)s. Nothing of them is sent until somebody resumes or cancels them."),
        remedy=_("Open Campaigns in the web admin: each says why it paused. Mend that, and resume it."),
    ),
    Declaration(
        name="feedback-not-applied",
        title=_("Feedback is not applied"),
        reads=_("How many notices about mail have waited for more than five minutes."),
        read=notices_not_applied,
        above=0,
        lasting=timedelta(minutes=1),
        severity=Severity.WARNING,
        show=count,
        sentence=_("Notices about mail that wait for more than five minutes: %(value)s. Bounces and complaints in them are not known yet."),
        remedy=_("Look whether the worker runs and what its log says last, and start it again. Notices that fail eight times are parked."),
    ),
)
