"""Shoppers who may be told, an audience of them and a campaign for them, made in a moment. Everything is written as the product's own rooms write it."""

from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from analytics.models import Audience
from engagement.models import Organisation
from notifications.models import Campaign, Content, Variant

EVERYBODY: dict[str, Any] = {"consent": {"channel": "email"}}  # a rule that all of them meet


def shoppers(
    organisation: Organisation,
    number: int,
    *,
    first: int = 0,
    consent: bool = True,
    email: bool = True,
    time_zone: str = "",
    prefix: str = "s",
    given_at: datetime | None = None,
) -> list[int]:
    """Their numbers. Each is called `<prefix><n>`, at `<prefix><n>@<organisation>.example.com`."""
    told: dict[str, Any] = {
        "organisation": organisation.pk, "first": first, "last": first + number - 1, "prefix": prefix, "domain": f"{organisation.key}.example.com",
        "consent": consent, "email": email, "zone": time_zone, "at": given_at or timezone.now(),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO engagement_shopper (organisation_id, external_id, shard, created_at)
               SELECT %(organisation)s, %(prefix)s || n, n %% 64, now() FROM generate_series(%(first)s, %(last)s) n RETURNING id""",
            told,
        )
        found = sorted(row[0] for row in cursor.fetchall())
        cursor.execute(
            """INSERT INTO engagement_profile (shopper_id, organisation_id, email, language, time_zone, attributes, updated_at, changed)
               SELECT id, organisation_id, CASE WHEN %(email)s THEN external_id || '@' || %(domain)s ELSE '' END, '', %(zone)s, '{}', now(), 0
                 FROM engagement_shopper WHERE id = ANY(%(ids)s)""",
            {**told, "ids": found},
        )
        cursor.execute(
            """INSERT INTO engagement_consentstate (organisation_id, shopper_id, channel, purpose, given, at, changed)
               SELECT %(organisation)s, id, 'email', 'marketing', %(consent)s, %(at)s, 0 FROM unnest(%(ids)s::bigint[]) id""",
            {**told, "ids": found},
        )
    return found


def withdraw(shopper: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engagement_consentstate SET given = false, at = now() WHERE shopper_id = %s", [shopper])


def suppress(organisation: Organisation, address: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO notifications_suppression (organisation_id, channel, address, why, at, lifted_by, lift_reason, added_by, changed)
               VALUES (%s, 'email', %s, 'manual', now(), '', '', '', 0)""",
            [organisation.pk, address],
        )


def campaign(organisation: Organisation, key: str = "spring", *, rule: Any = None, variants: tuple[int, ...] = (1,), **more: Any) -> Campaign:
    """A draft with a text, for everybody who agreed. `variants`: their weights."""
    audience, _ = Audience.objects.get_or_create(
        organisation=organisation, key=f"for-{key}", defaults={"name": f"For {key}", "rule": EVERYBODY if rule is None else rule}
    )
    fields = {"name": key.title(), "time_zone": "Africa/Johannesburg", "sender": "Acme <news@acme.example.com>", "holdout": 0, "created_by": "emma"} | more
    made = Campaign.objects.create(organisation=organisation, key=key, audience=audience, **fields)
    for number, weight in enumerate(variants):
        variant = Variant.objects.create(campaign=made, name="abcdefgh"[number], weight=weight)
        Content.objects.create(variant=variant, subject="Hello {{ shopper.id }}", body="<p>Spring is here.</p>")
    made.refresh_from_db()
    return made


def states(made: Campaign) -> dict[str, int]:
    """Rows by state, and by reason where there is one."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT state || CASE WHEN reason = '' THEN '' ELSE ' ' || reason END, count(*) FROM notifications_message
                WHERE campaign_id = %s GROUP BY 1""",
            [made.pk],
        )
        return dict(cursor.fetchall())
