"""What is measured of campaigns inside the product: a process with its settings, started by tests.bench.campaigns. Prints one JSON object."""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import psutil
from django.db import connection
from django.utils import timezone

from analytics.models import Audience
from engagement.models import Organisation
from notifications import arms, campaigns, eligibility, funnel, planning, reports
from notifications.models import Campaign, Content, Message, MessageState, Run, SendingPolicy, Variant

EVERYBODY: Final = {"consent": {"channel": "email"}}
BATCH: Final = 5_000
DAYS_AGO: Final = 3


def people() -> dict[str, float]:
    """Profiles and consents of all shoppers: one in fifty has no address, one in twenty said no, one in a hundred is suppressed."""
    organisation = Organisation.objects.get()
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE engagement_profile, engagement_consentstate, notifications_suppression, notifications_message, notifications_messageevent CASCADE"
        )
        cursor.execute(
            """INSERT INTO engagement_profile (shopper_id, organisation_id, email, language, time_zone, attributes, updated_at, changed)
               SELECT id, organisation_id, CASE WHEN id %% 50 = 0 THEN '' ELSE 's' || id || '@bench.example.com' END, 'en', '', '{"tier": "gold"}', now(), 0
                 FROM engagement_shopper WHERE organisation_id = %s""",
            [organisation.pk],
        )
        cursor.execute(
            """INSERT INTO engagement_consentstate (organisation_id, shopper_id, channel, purpose, given, at, changed)
               SELECT organisation_id, id, 'email', 'marketing', id %% 20 <> 0, now(), 0 FROM engagement_shopper WHERE organisation_id = %s""",
            [organisation.pk],
        )
        cursor.execute(
            """INSERT INTO notifications_suppression (organisation_id, channel, address, why, at, lifted_by, lift_reason, added_by, changed)
               SELECT organisation_id, 'email', lower(email), 'bounce', now(), '', '', '', 0
                 FROM engagement_profile WHERE email <> '' AND shopper_id % 100 = 7"""
        )
        cursor.execute("VACUUM ANALYZE engagement_profile, engagement_consentstate, notifications_suppression")
    SendingPolicy.objects.update_or_create(organisation=organisation, defaults={"cap_messages": 3, "cap_days": 7})
    Audience.objects.get_or_create(
        organisation=organisation, key="everybody", defaults={"name": "Everybody", "rule": {"not": {"attribute": {"name": "x", "is": 1}}}}
    )
    return {}


def campaign(key: str) -> Campaign:
    """Of the whole organisation, with two variants and a holdout of 5 %."""
    organisation = Organisation.objects.get()
    audience = Audience.objects.get(organisation=organisation, key="everybody")
    made = Campaign.objects.create(organisation=organisation, key=key, name=key, audience=audience, time_zone="UTC")
    for name in "ab":
        Content.objects.create(variant=Variant.objects.create(campaign=made, name=name), subject="Hello", body="<p>Come and see.</p>")
    made.refresh_from_db()
    return made


def funnels(repeats: str) -> dict[str, Any]:
    """The first, in a process that has read nothing yet; then again and again."""
    draft = campaign("funnel")
    took = []
    for _ in range(int(repeats) + 1):
        began = time.perf_counter()
        found = funnel.funnel(draft)
        took.append((time.perf_counter() - began) * 1000)
    return {"match": found.match, "left": found.left, "first": took[0], "p95": sorted(took[1:])[max(-(-len(took[1:]) * 95 // 100) - 1, 0)]}


def planned() -> dict[str, float]:
    """All of the audience, by the product's own planning: from the draft that is sent to the last row."""
    made = campaigns.send(campaign("planned"), by="bench", at=timezone.now() - timedelta(hours=1))
    before, began = psutil.Process().memory_info().rss, time.perf_counter()
    rows = 0
    while Run.objects.filter(campaign=made, planned_at=None).exists():
        rows += planning.plan(budget_s=20)
    return {"rows": rows, "seconds": time.perf_counter() - began, "memory_mb": (psutil.Process().memory_info().rss - before) / 1e6}


def planned_plainly() -> dict[str, float]:
    """The same rows by the ORM: the members in memory, one object each, bulk_create in batches."""
    made = campaign("plain")
    now = timezone.now()
    began = time.perf_counter()
    run = Run.objects.create(campaign=made, due_at=now)
    members = campaigns.audience_of(made, now)
    found = eligibility.sort_out(made, members, now)
    reason_of = {shopper: reason for reason, those in found.reasons.items() for shopper in those}
    numbers = arms.numbers(members)
    held = arms.held(made.pk, numbers, float(made.holdout))
    variants = list(made.variants.order_by("pk"))
    drawn = arms.variants(made.pk, numbers, [variant.weight for variant in variants])

    def row(shopper: int, out: bool, which: int) -> Message:
        reason = reason_of.get(shopper, "")
        state = MessageState.SKIPPED if reason else MessageState.HELD_OUT if out else MessageState.PLANNED
        variant = variants[which] if state == MessageState.PLANNED else None
        kept = {"organisation": made.organisation, "campaign": made, "run": run, "send_after": now, "updated_at": now}
        return Message(shopper_id=shopper, variant=variant, state=state, reason=reason, **kept)

    rows = (row(*one) for one in zip(numbers.tolist(), held.tolist(), drawn.tolist(), strict=True))
    Message.objects.bulk_create(rows, batch_size=BATCH)
    took = time.perf_counter() - began
    count = Message.objects.filter(run=run).count()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM notifications_message WHERE run_id = %s", [run.pk])
        cursor.execute("VACUUM notifications_message")
    return {"rows": count, "seconds": took}


def sent() -> dict[str, float]:
    """The planned campaign as it is some days after it was sent, with what a provider and shoppers tell."""
    made = Campaign.objects.get(key="planned")
    parameters = {"campaign": made.pk, "days": DAYS_AGO}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE notifications_message DISABLE TRIGGER moves")
        cursor.execute(
            """UPDATE notifications_message SET state = 'delivered', claim = gen_random_uuid(), attempts = 1, provider_id = md5(id::text),
                      claimed_at = now() - %(days)s * interval '1 day' + (id %% 3600) * interval '1 s',
                      sent_at = now() - %(days)s * interval '1 day' + (id %% 3600) * interval '1 s', send_after = now() - %(days)s * interval '1 day'
                WHERE campaign_id = %(campaign)s AND state = 'planned'""",
            parameters,
        )
        cursor.execute("ALTER TABLE notifications_message ENABLE TRIGGER moves")
        cursor.execute(
            """UPDATE notifications_message SET send_after = now() - %(days)s * interval '1 day' WHERE campaign_id = %(campaign)s AND state = 'held_out'""",
            parameters,
        )
        for kind, by, share, hours in (("delivery", "", 1, 0), ("open", "machine", 4, 1), ("open", "person", 5, 30), ("click", "person", 50, 30)):
            cursor.execute(
                """INSERT INTO notifications_messageevent (organisation_id, message_id, kind, at, source, by, detail)
                   SELECT organisation_id, id, %s, sent_at + random() * %s * interval '1 hour', %s || id, %s, ''
                     FROM notifications_message WHERE campaign_id = %s AND state = 'delivered' AND id %% %s = 0""",
                [kind, hours, f"{kind}-{by}", by, made.pk, share],
            )
        cursor.execute("VACUUM ANALYZE notifications_message, notifications_messageevent")
    return {}


def reported(repeats: str) -> dict[str, Any]:
    """Milliseconds of each part, medians."""
    made = Campaign.objects.get(key="planned")
    found: dict[str, Any] = {}
    for part in reports.PARTS:
        took = []
        for _ in range(int(repeats)):
            began = time.perf_counter()
            told = reports.report(made, parts=(part,))
            took.append((time.perf_counter() - began) * 1000)
        found[part] = sorted(took)[len(took) // 2]
        found |= {"adds_up": told["adds_up"]} if part == "sums" else {}
        found |= {"visited": told["outcome"]["visits"]["messaged"]["did"]} if part == "outcome" else {}
    return found


def main() -> None:
    ways: dict[str, Callable[..., Any]] = {
        "people": people, "funnels": funnels, "planned": planned, "planned_plainly": planned_plainly, "sent": sent, "reported": reported
    }  # fmt: skip
    print(json.dumps(ways[sys.argv[1]](*sys.argv[2:])))
