"""The demonstration's marketing: its shoppers as people who can be written to, what they bought, audiences, one finished campaign and one in draft.

Everything goes through the doors that a customer's programs use, and the finished campaign is planned and sent (into files) by the processes that
send every campaign. Two things are made up, and said so on the terminal: once it is sent it is dated back, so that the days after it are over; and
who got it buys more often for a week, since simulated shoppers read no mail. Told again, all of it stays as it is.
"""

import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from analytics.audiences import saved
from engagement import demonstration, purchases
from engagement.models import Brand, Inbox, Organisation, Shopper
from engagement.profiles import record
from engagement.simulation.mall import ROOT
from notifications import campaigns, drafts, traces
from notifications.models import Campaign, CampaignState, Link, Message, SendingPolicy

Say = Callable[[str], object]

BY: Final = "demonstration"
SENT: Final = "late-shopping"
DRAFT: Final = "come-back-to-brew"
AGO: Final = timedelta(days=11)  # the finished campaign: its seven days are over
OUTCOME_DAYS: Final = 7
BUYS, ANSWERS = 0.25, 0.5  # shares of visits to stores that end in a purchase: of everybody, and of who got the campaign, for a week
LOOK_EVERY_S: Final = 2.0
CURRENCY: Final = "USD"

FIRST_NAMES: Final = (
    *("Amahle", "Ben", "Chiara", "Dumisani", "Elif", "Femi", "Grace", "Hiroshi", "Ines", "Jonas", "Kavya", "Liam", "Maren", "Naledi", "Oskar"),
    *("Priya", "Quentin", "Rosa", "Sipho", "Thandi", "Ursula", "Vusi", "Wanjiru", "Ximena", "Yusuf", "Zoë", "Maximiliane-Theodora"),
)
LANGUAGES: Final = ("en",) * 7 + ("de", "fr", "pt-BR")
_STAYS: Final = """
SELECT sh.external_id, b.key, s.started, s.ended,
       EXISTS (SELECT 1 FROM notifications_message m JOIN notifications_campaign c ON c.id = m.campaign_id
                WHERE m.shopper_id = s.shopper_id AND c.organisation_id = s.organisation_id AND c.key = %(campaign)s
                  AND m.sent_at <= s.started AND s.started < m.sent_at + %(days)s * interval '24 hours')
  FROM analytics_stay s JOIN engagement_zone z ON z.id = s.zone_id JOIN engagement_brand b ON b.id = z.brand_id
  JOIN engagement_shopper sh ON sh.id = s.shopper_id AND sh.external_id LIKE 'crm-%%'
 WHERE s.organisation_id = %(organisation)s AND s.counted AND s.closes_at < %(now)s
 ORDER BY s.started, s.shopper_id
"""


class NotSent(Exception):
    """The campaign did not come to its end by itself."""


def run(*, stop: threading.Event, say: Say) -> None:
    """Everything that is missing, as soon as the history is in. Returns early where it is stopped."""
    while not stop.is_set() and not history_is_in():
        stop.wait(LOOK_EVERY_S)
    if stop.is_set():
        return
    organisation = Organisation.objects.get(key=demonstration.ORGANISATION)
    tell_shoppers(organisation)
    policy(organisation)
    audiences(organisation)
    draft(organisation)
    if settings.MAIL_SERVER.scheme:
        say(_("Mail goes to a real server, so the demonstration sends none. Its campaigns are drafts."))
    elif send(organisation, stop):
        date_back(organisation)
        hear(organisation)
    buy(organisation)
    say(
        _(
            "Audiences and campaigns are in. The finished one was sent into files and then dated back %(days)s days; who got it buys more often in its"
            " week than the others, because simulated shoppers read no mail. A difference in their visits is chance."
        )
        % {"days": AGO.days}
    )


def history_is_in(now: datetime | None = None) -> bool:
    """Whether every day before yesterday was sent, and nothing waits."""
    try:
        kept = demonstration.load()
    except FileNotFoundError:
        return False
    days = ((now or timezone.now()).date() - kept.first_day).days
    done = [kept.sent.get(str(kept.first_day + timedelta(days=number)), 0.0) for number in range(days - 1)]
    return len(kept.sent) >= days and all(one > 0 for one in done) and Inbox.objects.count() < 100


def share(*of: object) -> float:
    """A number of [0, 1) that hangs on these alone."""
    return zlib.crc32(":".join(map(str, (demonstration.SEED, *of))).encode()) / 2**32


# --- Who they are and what they bought ------------------------------------------------------------------------------------


def tell_shoppers(organisation: Organisation) -> None:
    names = list(
        Shopper.objects.filter(organisation=organisation, external_id__startswith="crm-").order_by("external_id").values_list("external_id", flat=True)
    )
    for first in range(0, len(names), record.MOST):
        told = [profile(name) for name in names[first : first + record.MOST] if name]
        record.record(organisation=organisation, told=told, by=BY, now=timezone.now())


def profile(name: str) -> dict[str, Any]:
    """One of thirty has no address; five of six agreed, a few of them no longer do."""
    first = FIRST_NAMES[int(share("name", name) * len(FIRST_NAMES))]
    attributes: dict[str, Any] = {"first_name": first, "club": share("club", name) < 0.8}
    if share("tier", name) < 0.3:
        attributes["tier"] = "gold" if share("tier", name) < 0.08 else "silver"
    joined = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(share("joined", name) * 200))
    consent = {"channel": "email", "purpose": "marketing", "given": True, "at": joined.isoformat(), "source": "club card", "wording": "2026-01"}
    consents = [consent] if share("agrees", name) < 0.83 else []
    if consents and share("withdrew", name) < 0.04:
        consents.append({**consent, "given": False, "at": (joined + timedelta(days=20)).isoformat(), "source": "service desk"})
    return {
        "id": name,
        "email": None if share("address", name) < 0.03 else f"{first.lower().replace('ë', 'e')}.{name}@example.com",
        "language": LANGUAGES[int(share("language", name) * len(LANGUAGES))],
        "attributes": attributes,
        "consents": consents,
    }


def buy(organisation: Organisation) -> int:
    """Some of the visits to stores end in a purchase. Which, hangs on the visit alone, so told again it is the same."""
    told = list(_bought(organisation))
    for first in range(0, len(told), purchases.MOST):
        purchases.record(organisation=organisation, told=told[first : first + purchases.MOST], now=timezone.now())
    return len(told)


def _bought(organisation: Organisation) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(_STAYS, {"organisation": organisation.pk, "campaign": SENT, "days": OUTCOME_DAYS, "now": timezone.now()})
        rows = cursor.fetchall()
    for name, brand, started, ended, answers in rows:
        which = f"{name}-{brand}-{int(started.timestamp())}"
        if share("buys", which) < (ANSWERS if answers else BUYS):
            amount = f"{5 + 80 * share('amount', which) ** 2:.2f}"
            yield {"id": which, "shopper": name, "brand": brand, "at": ended.isoformat(), "amount": amount, "currency": CURRENCY}


# --- What is said, and to whom --------------------------------------------------------------------------------------------


def policy(organisation: Organisation) -> None:
    SendingPolicy.objects.get_or_create(
        organisation=organisation,
        defaults={
            "sender": "Atrium Galleria <news@galleria.example.com>",
            "postal_address": "Atrium Galleria, 1 Main Road",
            "cap_messages": 3,
            "cap_days": 7,
        },
    )


def audiences(organisation: Organisation) -> None:
    brew = _brew(organisation)
    here = {"zone": ROOT, "within_days": 30}
    for key, name, rule in (
        ("club", _("Members of the club"), {"attribute": {"name": "club", "is": True}}),
        (
            "twice-but-not-to-brew",
            _("Came twice this month, but not to Brew & Co"),
            {
                "all": [
                    {"visited": {**here, "days_at_least": 2}},
                    {"not": {"visited": {"brand": brew.key, "within_days": 30}}},
                    {"consent": {"channel": "email"}},
                ]
            },
        ),
        ("bought-lately", _("Bought something in the last two weeks"), {"purchased": {"within_days": 14}}),
    ):
        if saved.find(organisation, key) is None:
            saved.save(organisation=organisation, key=key, name=name, rule=rule, by=BY)


def _brew(organisation: Organisation) -> Brand:
    return Brand.objects.get(organisation=organisation, name="Brew & Co")


_HELLO: Final = "{{ attributes.first_name | default: 'dear guest' }}"
_BODY: Final = """<h1>{title}</h1>
<p>Hello {hello},</p>
<p>{text}</p>
<p><a href="https://galleria.example.com/{path}">{link}</a></p>"""


def _html(title: str, text: str, path: str, link: str) -> str:
    return _BODY.format(title=title, hello=_HELLO, text=text, path=path, link=link)


def draft(organisation: Organisation) -> None:
    """Both are written; one of them stays as it is until somebody sends it."""
    late = _html(
        "Open until one", "On Friday and Saturday all our stores stay open until one in the morning, with music in the atrium.", "late", "Who plays when"
    )
    gift = _html("A night at the Galleria", "Come late, stay long: on Friday and Saturday everybody is open until one.", "late", "See the programme")
    brew = _html("Your table is free", "You were here twice this month, and never sat down with us. The first coffee is ours.", "brew", "Where to find us")
    told = (
        {
            "key": SENT, "name": _("Late shopping"), "audience": "club", "holdout": 0.2, "outcome_days": OUTCOME_DAYS,
            "variants": [
                {"name": "music", "subject": f"{_HELLO}, we are open until one", "html": late},
                {"name": "stay", "subject": "Come late, stay long", "html": gift},
            ],
        },
        {
            "key": DRAFT, "name": _("Come back to Brew & Co"), "audience": "twice-but-not-to-brew", "brand": _brew(organisation).key,
            "from": "Brew & Co <hello@brew.example.com>", "variants": [{"name": "a", "subject": f"A coffee, {_HELLO}?", "html": brew}],
            "frequency_cap": {"messages": 1, "days": 14}, "quiet_hours": {"from": "21:00", "until": "08:00", "then": "hold", "clocks": ["shopper", "shop"]},
        },
    )  # fmt: skip
    for one in told:
        if not Campaign.objects.filter(organisation=organisation, key=one["key"]).exists():
            drafts.save(organisation=organisation, told=one, by=BY)


# --- The finished one -----------------------------------------------------------------------------------------------------


def send(organisation: Organisation, stop: threading.Event) -> bool:
    """By the processes that send everything. Whether it is finished; no where this was stopped meanwhile. Raises NotSent."""
    campaign = Campaign.objects.get(organisation=organisation, key=SENT)
    if campaign.state == CampaignState.DRAFT:
        campaigns.send(campaign, by=BY)
    while not stop.is_set():
        campaign.refresh_from_db()
        if campaign.state in (CampaignState.PAUSED, CampaignState.CANCELLED):
            raise NotSent(campaign.pause_reason)
        if campaign.state == CampaignState.FINISHED:
            return True
        stop.wait(LOOK_EVERY_S)
    return False


def date_back(organisation: Organisation, now: datetime | None = None) -> bool:
    """As if it had been sent some days ago; once."""
    now = now or timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        campaign = Campaign.objects.select_for_update().get(organisation=organisation, key=SENT)
        if campaign.finished_at is None or now - campaign.finished_at > AGO / 2:
            return False
        for table, (columns, which) in _DATED_BACK.items():
            moved = ", ".join(f"{column} = {column} - %(days)s * interval '24 hours'" for column in columns)
            cursor.execute(f"UPDATE {table} SET {moved} WHERE {which}", {"campaign": campaign.pk, "days": AGO.days})
    return True


_DATED_BACK: Final = {
    "notifications_message": (("send_after", "claimed_at", "sent_at"), "run_id IN (SELECT id FROM notifications_run WHERE campaign_id = %(campaign)s)"),
    "notifications_run": (("due_at", "planned_at", "finished_at"), "campaign_id = %(campaign)s"),
    "notifications_campaign": (("created_at", "started_at", "finished_at"), "id = %(campaign)s"),
}


def hear(organisation: Organisation) -> int:
    """Some mails are fetched by a machine, some are opened, some of those lead on. Returns how many were opened by a person."""
    campaign = Campaign.objects.get(organisation=organisation, key=SENT)
    links = list(Link.objects.filter(campaign=campaign).order_by("pk").values_list("pk", flat=True))
    rows = Message.objects.filter(campaign=campaign, sent_at__isnull=False).order_by("pk").values_list("pk", "sent_at", "shopper__external_id")
    opened = 0
    for message, sent_at, name in rows:
        assert sent_at is not None
        if share("scanned", name) < 0.25:
            traces.opened(message, sent_at + timedelta(seconds=2), "machine", "demonstration")
        if share("opens", name) >= 0.34:
            continue
        opened += 1
        at = sent_at + timedelta(hours=48 * share("when", name) ** 3, minutes=3)
        traces.opened(message, at, "person", "demonstration")
        if links and share("clicks", name) < 0.2:
            traces.clicked(message, links[int(share("link", name) * len(links))], at + timedelta(minutes=1), "person", "demonstration")
    return opened
