"""Every automatic action, declared."""

from datetime import date, datetime, timedelta
from typing import Any, Final

import psycopg
from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from analytics.stream import closing
from engagement import database, disk, display, partitions, retention
from operations.backups import daily
from operations.upkeep import files, sessions
from operations.upkeep.declaration import Action, Seen

Connection = psycopg.Connection[Any]
SECONDS: Final = 8.0  # of dropping, in one round


def _connection() -> Connection:
    return database.connect(application_name="atrium-upkeep")


# --- Partitions ---------------------------------------------------------------------------------------------------------------


def _partitions_missing(now: datetime) -> Seen | None:
    first, last = now.date() - timedelta(days=partitions.DAYS_BACK + 1), now.date() + timedelta(days=partitions.DAYS_AHEAD)
    with _connection() as connection:
        missing = partitions.missing(connection, first=first, last=last)
    if not missing:
        return None
    what = ngettext("%(number)s day has no table for its events.", "%(number)s days have no table for their events.", len(missing))
    return Seen(what % {"number": len(missing)}, _("Make them."), (first, last))


def _make_partitions(seen: Seen, _now: datetime) -> str:
    first, last = seen.subject
    with _connection() as connection:
        made = partitions.ensure(connection, first=first, last=last)
    return ngettext("%(number)s table was made.", "%(number)s tables were made.", len(made)) % {"number": len(made)}


# --- Raw events past their time -----------------------------------------------------------------------------------------------


def _events_past(now: datetime) -> Seen | None:
    with _connection() as connection:
        parts = retention.due(connection, now=now)
    if not parts:
        return None
    events, days = sum(part.events for part in parts), len({part.day for part in parts})
    what = _("%(events)s raw events of %(days)s days, from %(first)s on, are past the time for which their organisations keep them.")
    counted = {"events": display.number(events), "days": days, "first": _day(parts[0].day)}
    return Seen(what % counted, _("Drop them. Stays and figures stay."), parts)


def _drop_events(seen: Seen, _now: datetime) -> str:
    with _connection() as connection:
        gone = retention.drop(connection, seen.subject, hold=closing.hold, within_s=SECONDS)
    return _("%(events)s events are gone.") % {"events": display.number(gone)}


def _day(day: date) -> str:
    return day.isoformat()


# --- Files, and the disk ------------------------------------------------------------------------------------------------------


def _files_past(now: datetime) -> Seen | None:
    found = files.old(now)
    if not found:
        return None
    what = _("%(number)s files under ATRIUM_VAR are past their time: %(size)s.")
    return Seen(what % _sized(found), _("Delete them."), found)


def _delete_files(seen: Seen, _now: datetime) -> str:
    freed = sum(files.delete(one) for one in seen.subject)
    return _("%(size)s are free for it.") % {"size": filesizeformat(freed)}


def _disk_filling(now: datetime) -> Seen | None:
    """Of the folder's own volume: where the database is elsewhere, too, nothing works on a machine whose disk is full."""
    room = disk.measured(settings.VAR)
    if room is None or not room.is_nearly_full:
        return None
    found = files.spare(now)
    if not found:
        return None  # the alarm tells of it; nothing here can help
    what = _("The disk has %(free)s of %(total)s left.") % {"free": filesizeformat(room.free_bytes), "total": filesizeformat(room.total_bytes)}
    return Seen(what, _("Delete old files in the order of the runbook, until there is room: up to %(number)s of %(size)s.") % _sized(found), found)


def _make_room(seen: Seen, _now: datetime) -> str:
    freed = number = 0
    for one in seen.subject:
        room = disk.measured(settings.VAR)
        if room is not None and not room.is_nearly_full:
            break
        freed += files.delete(one)
        number += 1
    room = disk.measured(settings.VAR)
    left = filesizeformat(room.free_bytes) if room else "?"
    return _("%(number)s files of %(size)s are deleted; %(left)s are free now.") % {"number": number, "size": filesizeformat(freed), "left": left}


def _sized(found: list[files.Found]) -> dict[str, str]:
    return {"number": display.number(len(found)), "size": filesizeformat(sum(one.bytes for one in found))}


# --- Sessions that hold back vacuum -------------------------------------------------------------------------------------------


def _sessions_holding(_now: datetime) -> Seen | None:
    held = sessions.holding()
    if not held:
        return None
    longest = display.duration(max(one.seconds for one in held))
    what = ngettext(
        "%(number)s session holds the database up, for %(longest)s.",
        "%(number)s sessions hold the database up, the longest for %(longest)s.",
        len(held),
    )
    return Seen(what % {"number": len(held), "longest": longest}, _("End them."), held)


def _end_sessions(seen: Seen, _now: datetime) -> str:
    ended = sessions.end(seen.subject)
    return ngettext("%(number)s session was ended.", "%(number)s sessions were ended.", ended) % {"number": ended}


# --- Backups ------------------------------------------------------------------------------------------------------------------


def _backup_old(now: datetime) -> Seen | None:
    what = daily.due(now)
    return Seen(what, _("Make one.")) if what else None


def _make_backup(_seen: Seen, _now: datetime) -> str:
    return daily.begin()


ACTIONS: Final[tuple[Action, ...]] = (
    Action(
        name="partitions-made",
        title=gettext_lazy("Tables for the events of the coming days"),
        looks_at=gettext_lazy("Days from 36 days ago to a week ahead that have no table for their events."),
        deed=gettext_lazy("Makes the tables, between two writers."),
        sees=_partitions_missing,
        does=_make_partitions,
        every=timedelta(hours=1),
    ),
    Action(
        name="events-dropped",
        title=gettext_lazy("Raw events past their time"),
        looks_at=gettext_lazy("Raw events that are older than their organisation keeps them."),
        deed=gettext_lazy("Drops the tables of such days, or deletes what others do not need. Stays and figures stay."),
        sees=_events_past,
        does=_drop_events,
        every=timedelta(hours=1),
    ),
    Action(
        name="old-files-deleted",
        title=gettext_lazy("Old log files, exports and mail files"),
        looks_at=gettext_lazy("Files under ATRIUM_VAR that are older than the runbook says."),
        deed=gettext_lazy("Deletes them."),
        sees=_files_past,
        does=_delete_files,
        every=timedelta(hours=1),
    ),
    Action(
        name="disk-cleaned",
        title=gettext_lazy("The disk is nearly full"),
        looks_at=gettext_lazy("Whether the disk of ATRIUM_VAR has less than three times the reserve left, at which the device door refuses."),
        deed=gettext_lazy("Deletes log files, exports and mail files, the oldest first, until there is room."),
        sees=_disk_filling,
        does=_make_room,
        every=timedelta(minutes=1),
        tells=True,
    ),
    Action(
        name="backup-made",
        title=gettext_lazy("A backup a day"),
        looks_at=gettext_lazy("How old the newest backup is, where a place for them is known."),
        deed=gettext_lazy("Makes one, restores it into a scratch database to see that it is whole, and removes old ones."),
        sees=_backup_old,
        does=_make_backup,
        every=timedelta(minutes=10),
    ),
    Action(
        name="sessions-ended",
        title=gettext_lazy("Sessions that hold up the database"),
        looks_at=gettext_lazy("Transactions that are open and do nothing for 5 minutes, and those of other programs that last for an hour."),
        deed=gettext_lazy("Ends them. Atrium's own work is left alone."),
        sees=_sessions_holding,
        does=_end_sessions,
        every=timedelta(seconds=30),
        tells=True,
    ),
)
