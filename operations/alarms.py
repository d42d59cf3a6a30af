"""The alarms: what each reads, when that is wrong, and what people are told. One entry an alarm, and nothing of an alarm elsewhere."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, models
from django.db.models import Max
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from analytics.models import Recount, ZoneDay
from engagement import display, health, partitions
from engagement.models import Heartbeat, Inbox, SetAside
from notifications import rates
from notifications.models import Campaign, CampaignState, FeedbackNotice, SendingAccount

AT_ONCE: Final = timedelta(0)
CALM: Final = timedelta(minutes=2)  # a shorter calm is the same trouble, and not told
COUNTED_UP_TO: Final = 1000
NOTICES_WAIT: Final = timedelta(minutes=5)


class Severity(models.TextChoices):
    CRITICAL = "critical", _("Critical")  # figures are wrong or late now
    WARNING = "warning", _("Warning")  # nothing is lost, but a person is needed


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """An alarm. It is wrong while `read` gives more than `above`, fires when that has lasted for `lasting`, and is over after `calm` without."""

    name: str
    title: Any  # a few words
    reads: Any  # what `read` gives, in words
    read: Callable[[datetime], float]  # of the instant of the evaluation; inf: there is nothing to read, and there should be
    above: float
    lasting: timedelta = AT_ONCE
    calm: timedelta = CALM
    severity: Severity
    show: Callable[[float], str]  # a reading, for people
    sentence: Any  # what is wrong, with %(value)s
    remedy: Any  # what to do


def requests_set_aside(now: datetime) -> float:
    return SetAside.objects.filter(replayed_at=None)[:COUNTED_UP_TO].count()


def stream_lag(now: datetime) -> float:
    """Seconds that the first row of the inbox has waited. By its number, which an index has: the oldest time would mean reading the whole inbox."""
    first = Inbox.objects.order_by("pk").values_list("received_at", flat=True).first()
    return max(0.0, (now - first).total_seconds()) if first else 0.0


def stream_silence(now: datetime) -> float:
    """Seconds since any stream process said that it works. One that is gone for good, of several, is no trouble: the others take its shards."""
    latest: datetime | None = Heartbeat.objects.filter(process__startswith=health.STREAM).aggregate(latest=Max("at"))["latest"]
    return max(0.0, (now - latest).total_seconds()) if latest else math.inf


def days_without_partition(now: datetime) -> float:
    with connection.cursor() as cursor:
        return len(partitions.missing_ahead(cursor.connection))


def differences_of_last_recount(now: datetime) -> float:
    return Recount.objects.order_by("-pk").values_list("differences", flat=True).first() or 0


def figures_lag(now: datetime) -> float:
    """Seconds since the first of the days that are due should have been made. Readers make it from its stays meanwhile, so figures stay right."""
    first = ZoneDay.objects.filter(due_at__lte=now).order_by("due_at").values_list("due_at", flat=True).first()
    return (now - first).total_seconds() if first else 0.0


def bounce_rate(now: datetime) -> float:
    return rates.rate(rates.BOUNCES, now).value


def complaint_rate(now: datetime) -> float:
    return rates.rate(rates.COMPLAINTS, now).value


def quota_used(now: datetime) -> float:
    """Share of what the account may send in 24 hours; 0 where there is no limit."""
    account = SendingAccount.objects.filter(quota__gt=0).first()
    return account.sent / account.quota if account else 0.0


def campaigns_paused_by_themselves(now: datetime) -> float:
    return Campaign.objects.filter(state=CampaignState.PAUSED, paused_itself=True)[:COUNTED_UP_TO].count()


def notices_not_applied(now: datetime) -> float:
    """Those that were given up are among them: they stay until a person has looked."""
    return FeedbackNotice.objects.filter(applied_at=None, received_at__lt=now - NOTICES_WAIT)[:COUNTED_UP_TO].count()


def _count(value: float) -> str:
    return gettext("%(number)s or more") % {"number": display.number(COUNTED_UP_TO)} if value == COUNTED_UP_TO else display.number(value, 0)


def _exact(value: float) -> str:
    return display.number(value, 0)


def _span(value: float) -> str:
    return gettext("as long as it exists") if math.isinf(value) else display.duration(value)


ALARMS: Final = (
    Declaration(
        name="stream-silent",
        title=_("The stream is silent"),
        reads=_("The time since a stream process last said that it works."),
        read=stream_silence,
        above=60,
        lasting=timedelta(seconds=30),
        severity=Severity.CRITICAL,
        show=_span,
        sentence=_("No stream process has worked for %(value)s. Events are accepted and kept, but no stay is made of them."),
        remedy=_("Look whether the stream process runs and what its log says last, and start it again. It goes on where it ended."),
    ),
    Declaration(
        name="stream-behind",
        title=_("The stream is behind"),
        reads=_("How long the first request in the inbox has waited."),
        read=stream_lag,
        above=300,
        lasting=timedelta(minutes=1),
        severity=Severity.CRITICAL,
        show=_span,
        sentence=_("The first request in the inbox has waited for %(value)s. The figures are late by as much."),
        remedy=_("An import of history ends by itself. Else read the log of the stream, look at the load of the database, or run more stream processes."),
    ),
    Declaration(
        name="requests-set-aside",
        title=_("Requests are set aside"),
        reads=_("How many requests are set aside and not yet sent on."),
        read=requests_set_aside,
        above=0,
        severity=Severity.WARNING,
        show=_count,
        sentence=_("Requests set aside because they cannot be processed: %(value)s. Their events are kept, but are in no stay."),
        remedy=_("Open Set aside in the web admin as an owner of the organisation, read the error, and send them on when its cause is mended."),
    ),
    Declaration(
        name="figures-behind",
        title=_("Figures are not made"),
        reads=_("How long the first day that is due has waited to be made into figures."),
        read=figures_lag,
        above=300,
        lasting=timedelta(minutes=1),
        severity=Severity.WARNING,
        show=_span,
        sentence=_("A day that is over has waited for %(value)s to be made into figures. Reports are right, but take longer."),
        remedy=_("Look whether the figures process runs and what its log says last, and start it again. It goes on where it ended."),
    ),
    Declaration(
        name="mail-bounces",
        title=_("Too much mail bounces"),
        reads=_("The share of the latest mails that bounced for ever."),
        read=bounce_rate,
        above=0.02,
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
        show=_count,
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
        show=_count,
        sentence=_("Notices about mail that wait for more than five minutes: %(value)s. Bounces and complaints in them are not known yet."),
        remedy=_("Look whether the worker runs and what its log says. Notices that failed eight times are left alone: the log names their errors."),
    ),
    Declaration(
        name="recount-differs",
        title=_("The recount found a difference"),
        reads=_("How many differences the last recount found."),
        read=differences_of_last_recount,
        above=0,
        severity=Severity.CRITICAL,
        show=_exact,
        sentence=_("Differences that the last recount found between the stays and their events: %(value)s. Figures may be wrong."),
        remedy=_("Run manage.py recount to see them. The alarm ends with the first recount that finds none."),
    ),
    Declaration(
        name="partitions-missing",
        title=_("Partitions are not made ahead"),
        reads=_("How many of today and the next three days have no partition of the events."),
        read=days_without_partition,
        above=0,
        severity=Severity.WARNING,
        show=_exact,
        sentence=_("Of today and the next days, %(value)s have no partition of the events yet. Their events are kept, but everything gets slower."),
        remedy=_("Run manage.py prepare, and look whether the worker and the scheduler run: they make partitions every hour."),
    ),
)
DECLARED: Final = {declaration.name: declaration for declaration in ALARMS}
