"""Nobody is told twice. What was under way when the backup was made may have gone on since, so after a restore it waits for a person.

Where the database that was in use still answers, it knows which messages left since, and they are marked as it says. Where it does not, nobody
knows: the campaigns are paused with that reason, and what somebody held at the moment of the backup is `unknown`.
"""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from engagement.models import ApiKey
from notifications import campaigns
from notifications.models import Campaign, CampaignState
from operations.backups import databases
from operations.models import Delivery, Post, Redrive

Connection = psycopg.Connection[tuple[Any, ...]]

TOGETHER: Final = 10_000
GAP: Final = 1_000_000  # numbers left out where nobody knows how many were given since the backup
_UNDER_WAY: Final = (CampaignState.SCHEDULED, CampaignState.SENDING)
_OPEN: Final = "SELECT id FROM notifications_message WHERE state IN ('planned', 'claimed') AND id > %s ORDER BY id LIMIT %s"
# Of the same campaign and instant: what has these numbers in another database by accident is not meant.
_LEFT: Final = """SELECT m.id, m.state, m.claim::text, m.claimed_at, m.sent_at, m.provider_id, c.key, r.due_at
    FROM notifications_message m JOIN notifications_run r ON r.id = m.run_id JOIN notifications_campaign c ON c.id = r.campaign_id
    WHERE m.id = ANY(%s) AND m.state IN ('claimed', 'sent', 'delivered', 'bounced', 'complained', 'unknown')"""
_CLAIM: Final = """UPDATE notifications_message m SET state = 'claimed', reason = '', claim = coalesce(u.claim::uuid, gen_random_uuid()),
        claimed_at = coalesce(u.claimed_at, u.sent_at, %(now)s), updated_at = %(now)s
    FROM unnest(%(ids)s::bigint[], %(claims)s::text[], %(claimed)s::timestamptz[], %(sent)s::timestamptz[], %(keys)s::text[], %(due)s::timestamptz[])
         u (id, claim, claimed_at, sent_at, key, due_at), notifications_run r, notifications_campaign c
    WHERE m.id = u.id AND m.state IN ('planned', 'claimed')
      AND r.id = m.run_id AND c.id = r.campaign_id AND c.key = u.key AND r.due_at = u.due_at RETURNING m.id"""
_SETTLE: Final = """UPDATE notifications_message m
    SET state = CASE u.state WHEN 'claimed' THEN 'unknown' ELSE u.state END, sent_at = u.sent_at, provider_id = u.provider
    FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(sent)s::timestamptz[], %(providers)s::text[]) u (id, state, sent_at, provider)
    WHERE m.id = u.id AND m.id = ANY(%(claimed_now)s::bigint[])"""
# Planned after the backup, in a run that it knows: without their rows, going on with the planning would tell these people again.
_OPEN_RUNS: Final = """SELECT r.id, c.key, r.due_at FROM notifications_run r JOIN notifications_campaign c ON c.id = r.campaign_id
    WHERE r.finished_at IS NULL AND c.state NOT IN ('cancelled', 'draft')"""
_COLUMNS: Final = """id, organisation_id, campaign_id, run_id, channel, shopper_id, variant_id, state, reason, send_after, attempts, claim, claimed_at, sent_at,
    provider_id, updated_at"""
_LATER: Final = f"""SELECT {_COLUMNS} FROM notifications_message WHERE run_id = %(run)s AND id > %(last)s
    AND state IN ('claimed', 'sent', 'delivered', 'bounced', 'complained', 'unknown')
    AND EXISTS (SELECT 1 FROM notifications_run r JOIN notifications_campaign c ON c.id = r.campaign_id
                WHERE r.id = %(run)s AND c.key = %(key)s AND r.due_at = %(due)s)"""
_REVOKED: Final = "SELECT digest, revoked_at FROM engagement_apikey WHERE revoked_at IS NOT NULL"
_UNKNOWN: Final = "UPDATE notifications_message SET state = 'unknown', updated_at = clock_timestamp() WHERE state = 'claimed'"
_RUNS: Final = """SELECT o.key, c.key, r.due_at FROM notifications_run r JOIN notifications_campaign c ON c.id = r.campaign_id
    JOIN engagement_organisation o ON o.id = c.organisation_id"""
_SEQUENCES: Final = "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value FROM pg_sequences WHERE data_type = 'bigint'::regtype"


@dataclass(slots=True)
class Held:
    """What waits for a person. `sent_since`: campaigns that were sent since the backup, as far as is known."""

    campaigns: list[str] = field(default_factory=list)
    left: int = 0
    unknown: int = 0
    sent_since: list[str] = field(default_factory=list)


def hold(*, backup_at: datetime, current: str | None) -> Held:
    """In the database that Django points at. `current`: the database that was in use, where it can be read."""
    held = Held()
    runs: set[tuple[str, str, datetime]] = set()
    if current is not None:
        with closing(databases.connect(current)) as session:
            session.execute("SET default_transaction_read_only = on")
            held.left = _mark_what_left(session) + _bring_what_left(session)
            _revoke(session.execute(_REVOKED))
            runs = set(session.execute(_RUNS))
            advance_numbers(dict(session.execute(_SEQUENCES).fetchall()), gap=0)
    else:
        advance_numbers({}, gap=GAP)
    with connection.cursor() as cursor:
        cursor.execute(_UNKNOWN)
        held.unknown = cursor.rowcount
        cursor.execute(_RUNS)
        since = {run[:2] for run in runs - set(cursor.fetchall())}
    held.sent_since = sorted(f"{organisation}/{key}" for organisation, key in since)
    for campaign in Campaign.objects.select_related("organisation").filter(state__in=_UNDER_WAY).order_by("pk"):
        name = f"{campaign.organisation.key}/{campaign.key}"
        if campaigns.pause_itself(campaign.pk, _reason(backup_at, sent=name in held.sent_since, certain=current is not None)):
            held.campaigns.append(name)
    _end_what_went_on()
    return held


def _reason(at: datetime, *, sent: bool, certain: bool) -> str:
    when = f"{at:%Y-%m-%d %H:%M} UTC"
    if sent:
        return _("Brought back from a backup of %(when)s; it was sent since. Cancel it: resumed, it would go to everybody again.") % {"when": when}
    if certain:
        return _("Brought back from a backup of %(when)s. What left since is marked. Look at it, then resume it.") % {"when": when}
    return _("Brought back from a backup of %(when)s. Nobody knows what left since. Resumed, some may get it twice; cancelled, some never.") % {"when": when}


def _mark_what_left(session: Connection) -> int:
    """Messages that wait here, and left according to the database that was in use."""
    marked, last = 0, 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_OPEN, [last, TOGETHER])
            ids = [id_ for (id_,) in cursor.fetchall()]
        if not ids:
            return marked
        last = ids[-1]
        marked += _mark(session.execute(_LEFT, [ids]).fetchall())


def _mark(left: Iterable[tuple[Any, ...]]) -> int:
    """By way of `claimed`, as the table of moves has it."""
    rows = list(left)
    if not rows:
        return 0
    ids, states, claims, claimed, sent, providers, keys, due = (list(column) for column in zip(*rows, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": timezone.now(), "ids": ids, "claims": claims, "claimed": claimed, "sent": sent, "keys": keys, "due": due})
        claimed_now = [id_ for (id_,) in cursor.fetchall()]
        cursor.execute(_SETTLE, {"ids": ids, "states": states, "sent": sent, "providers": providers, "claimed_now": claimed_now})
    return len(claimed_now)


def _bring_what_left(session: Connection) -> int:
    """Messages that this database never had: their rows as they are there. Before numbers are given on, so that those above our last are all theirs."""
    brought = 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM notifications_message")
        [(last,)] = cursor.fetchall()
        cursor.execute(_OPEN_RUNS)
        for run, key, due in cursor.fetchall():
            later = session.cursor()
            later.execute(_LATER, {"run": run, "last": last, "key": key, "due": due})
            while rows := later.fetchmany(TOGETHER):
                statement = f"INSERT INTO notifications_message ({_COLUMNS}) VALUES ({', '.join(['%s'] * 16)}) ON CONFLICT DO NOTHING"
                cursor.executemany(statement, rows)
                brought += len(rows)
    return brought


def _revoke(revoked: Iterable[tuple[Any, ...]]) -> None:
    """Keys that were revoked since stay so."""
    for digest, at in revoked:
        ApiKey.objects.filter(digest=bytes(digest), revoked_at=None).update(revoked_at=at)


def advance_numbers(given: dict[str, int | None], *, gap: int) -> None:
    """No number is given a second time: links in mails that left since, and what the provider tells of them, name shoppers and messages by it."""
    with connection.cursor() as cursor:
        cursor.execute(_SEQUENCES)
        for name, last in cursor.fetchall():
            reached = max(last or 0, given.get(name) or 0) + gap
            if reached > (last or 0):
                cursor.execute("SELECT setval(%s::regclass, %s)", [name, reached])


def _end_what_went_on() -> None:
    """What people were told of alarms is old; what was being sent on again is looked at afresh. Who logged out since is not logged in again."""
    Session.objects.all().delete()
    Post.objects.filter(delivery=Delivery.WAITING).update(delivery=Delivery.NOT_NEEDED)
    open_states = [Redrive.State.CANARY, Redrive.State.RELEASING, Redrive.State.SETTLING]
    Redrive.objects.filter(state__in=open_states).update(
        state=Redrive.State.STOPPED, why=_("The database was brought back from a backup."), ended_at=timezone.now()
    )
