"""Bringing a backup back: into a new database beside the one in use, brought up to date, told what people asked for since, and only then put into use.

    chosen, and what it would lose  ->  a person says yes  ->  restored and compared  ->  migrated  ->  the ledger replayed, erasures finished
    ->  what must not be told twice held  ->  swapped by renaming, in one transaction; the one before stays under a name of its own

Killed anywhere before the swap, the database in use is as it was, and the next run drops what was left. Killed after it, the restore is done.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import psycopg
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from engagement import display
from engagement.faults import point
from notifications import governor
from notifications.models import SendingAccount
from operations.backups import databases, holding, ledger, making, manifest, programs, replaying, verifying
from operations.backups.holding import Held
from operations.backups.ledger import Head
from operations.backups.manifest import Manifest
from operations.backups.place import Place
from operations.backups.replaying import Known, Replayed
from operations.backups.trouble import Refused, Trouble
from operations.models import Action, Result

logger = logging.getLogger("atrium.backup")
Say = Callable[[str], object]

COMPARED: Final = {  # what people understand of what is lost
    "public.engagement_shopper": "shoppers",
    "public.engagement_purchase": "purchases",
    "public.analytics_stay": "stays",
    "public.notifications_message": "messages",
}


@dataclass(frozen=True)
class Plan:
    """What a restore would do, before anything is done. `current`: the database in use, where it can be read."""

    backup: Manifest
    where: Place
    current: str | None
    lost: dict[str, int]
    ledger: Known
    ledger_until: datetime | None  # up to when the copy beside the backups was kept
    other_key: bool
    verified: bool
    strange: list[str] = field(default_factory=list)  # migrations of a later Atrium

    def sentences(self) -> list[str]:
        """For the person who is asked."""
        age = display.duration((timezone.now() - self.backup.at).total_seconds())
        said = [
            f"The backup {self.backup.name} of {self.backup.installation} is {age} old and has {making.shown(self.backup.bytes)}.",
            "It was restored once and found whole." if self.verified else "It was never restored to see whether it is whole; it is compared on the way.",
        ]
        if self.current is None:
            said.append("The database in use cannot be read, or is empty: nobody can say what is lost since.")
            until = f"up to {self.ledger_until:%Y-%m-%d %H:%M:%S} UTC" if self.ledger_until else "and there is none"
            said.append(f"What people asked for since is taken from the ledger beside the backups, {until}.")
        else:
            lost = ", ".join(f"{number} {what}" for what, number in self.lost.items() if number) or "none of those that are counted here"
            said.append(f"What came since is lost: {lost}, and changes of what was there. Phones send again only what was never acknowledged.")
        said.append(f"What people asked for is applied before anybody is served: {len(self.ledger)} erasures, withdrawals and wishes are on record.")
        said.append("Campaigns that were under way are paused. The database in use now is kept under another name.")
        if self.other_key:
            said.append("WARNING: the backup was made under another SECRET_KEY. Erasures cannot be found again, and sealed texts not read, without that one.")
        return said


def plan(name: str | None, *, where: Place | None = None) -> Plan:
    """Raises Trouble where there is no such backup, or it is from a later Atrium."""
    where = where or making.usual()
    known = making.names(where)
    if not known:
        raise Trouble(f"There is no backup in {where.shown}.")
    backup = making.read(name or known[-1], where)
    strange = verifying.strange_migrations(backup)
    if strange:
        raise Trouble(f"The backup {backup.name} is from a later Atrium ({backup.version}): this one does not know {strange[0]}. Install that version.")
    current, there = _current(backup)
    asked, until = _asked(backup, where, current)
    lost = {what: max(0, there.get(table, 0) - backup.rows.get(table, 0)) for table, what in COMPARED.items()}
    other_key = backup.key != manifest.fingerprint()
    return Plan(backup, where, current, lost, asked, until, other_key, making.verified(backup.name, where) is not None)


def _current(backup: Manifest) -> tuple[str | None, dict[str, int]]:
    """The name of the database in use, and rows of its tables; none where it is away, broken or new."""
    name = databases.in_use()
    try:
        with closing(databases.connect(name)) as session:
            counted = {table: int(session.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]) for table in COMPARED}
            ledger.entries(session, after=ledger.head(session, backup.at).after)  # these tables too can be read
        return name, counted
    except psycopg.Error as error:
        logger.warning("The database in use cannot be read: %s.", type(error).__name__)
        return None, {}


def _asked(backup: Manifest, where: Place, current: str | None) -> tuple[Known, datetime | None]:
    """From the copy beside the backups, and from the database in use, which knows the last minute too."""
    known, until = Known(), None
    for line in ledger.read(where, since=backup.at):
        if isinstance(line, Head):
            until = max(until or line.at, line.at)
        else:
            known.add([line])
    if current is not None:
        with closing(databases.connect(current)) as session:
            known.add(ledger.entries(session))
    return known, until


@dataclass(frozen=True)
class Restored:
    backup: str
    kept: str
    replayed: Replayed
    held: Held
    took_s: float


def restore(intended: Plan, *, runs_here: bool = False, while_running: bool = False, other_key: bool = False, say: Say = logger.info) -> Restored:
    """Raises Trouble; the database in use is untouched then."""
    if intended.other_key and not other_key:
        raise Refused(
            "The backup was made under another SECRET_KEY. Set SECRET_KEY to that one (or put its file at $ATRIUM_VAR/secret_key) and restore again; "
            "--other-key goes on without it, and then nobody who was erased since is erased again."
        )
    if not while_running:
        databases.check_idle(runs_here=runs_here)
    with databases.alone():
        for left in databases.drop_leftovers():
            say(f"Dropped the database {left}, which an interrupted run had left.")
        return _restore(intended, say)


def _restore(intended: Plan, say: Say) -> Restored:
    began, live = timezone.now(), databases.in_use()
    fresh = databases.stamped(databases.RESTORING, began)
    kept = databases.stamped(databases.BEFORE, began)
    databases.create(fresh, like=live)
    point("restore.created")
    try:
        with closing(databases.connect(fresh, application="atrium restore")):  # for as long as somebody is in it, it is no leftover
            _load(intended, fresh, say)
            with databases.pointed(fresh):
                replayed, held = _bring_up(intended, say)
                _record(intended, replayed, held, kept, began)
    except BaseException:
        databases.drop(fresh)
        raise
    point("restore.before_swap")
    databases.swap(live=live, kept=kept, fresh=fresh)
    connection.close()
    point("restore.swapped")
    if intended.current is not None:
        _what_came_last(kept, say)
    if not _is_home():
        say("No mail leaves yet: this is another server than the one that sent. Once that one is surely off, type: manage.py adopt_sending")
    took_s = (timezone.now() - began).total_seconds()
    say(f"The backup {intended.backup.name} is in use, after {took_s:.0f} s. What was in use is kept as {kept}; `manage.py restore --drop-old` drops it.")
    say("Everybody logs in again. Members, passwords and settings are as they were then.")
    return Restored(intended.backup.name, kept, replayed, held, took_s)


def _is_home() -> bool:
    """Whether the database that is in use now belongs to this installation's server, or to nobody's yet."""
    home = SendingAccount.objects.values_list("home", flat=True).first()
    return not home or home == governor.home_of_this()


def _load(intended: Plan, fresh: str, say: Say) -> None:
    backup = intended.backup
    with verifying.fetched(backup, intended.where) as dump:
        programs.restore(dump, database=fresh, major=verifying.major_of(backup))
    point("restore.loaded")
    verifying.check(backup, fresh)
    say(f"Restored, and compared: {len(backup.rows)} tables with {sum(backup.rows.values())} rows.")


def _bring_up(intended: Plan, say: Say) -> tuple[Replayed, Held]:
    call_command("prepare", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # a restored database has no statistics, and plans without them are bad
    asked, _until = _asked(intended.backup, intended.where, intended.current)  # again: people ask for things while a restore works
    replayed = replaying.replay(asked)
    say(
        f"Applied what people asked for since: {replayed.erased} shoppers erased again, {replayed.withdrawn} who no longer agree, "
        f"{replayed.stopped} addresses, {replayed.wished} wishes."
    )
    held = holding.hold(backup_at=intended.backup.at, current=intended.current)
    say(
        f"Held for a person: {len(held.campaigns)} campaigns are paused, {held.left} messages that had left since are marked, "
        f"of {held.unknown} nobody knows whether they left."
    )
    if held.sent_since:
        say(f"Sent since the backup, and unknown to it: {', '.join(held.sent_since)}. Do not send them again.")
    return replayed, held


def _what_came_last(kept: str, say: Say) -> None:
    """Between the last look and the swap somebody may have asked for something, where Atrium was cut off."""
    with closing(databases.connect(kept)) as session:
        last = Known().add(ledger.entries(session))
    done = replaying.replay(last)
    if done != Replayed():
        say("Applied what people asked for in the last moments.")


def _record(intended: Plan, replayed: Replayed, held: Held, kept: str, began: datetime) -> None:
    """As every automatic action: what was seen, done, and came of it. And the backups that this database was too old to know."""
    making.note(intended.where)
    Action.objects.create(
        action="backup-restored", at=began, ended_at=timezone.now(), result=Result.DONE,
        seen=f"The backup {intended.backup.name} was to be brought back.",
        done=f"It was restored, and takes the place of what is kept as {kept}.",
        outcome=f"{replayed.erased} erased again, {replayed.withdrawn} withdrawals, {len(held.campaigns)} campaigns paused, {held.left} messages marked.",
    )  # fmt: skip


def drop_old(say: Say = logger.info) -> list[str]:
    """The databases that restores took out of use."""
    gone = [name for name in databases.beside(databases.BEFORE) if databases.drop(name)]
    for name in gone:
        say(f"Dropped the database {name}.")
    return gone
