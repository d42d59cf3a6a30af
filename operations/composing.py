"""From posts to the notice that tells them: one, several as one, or a message as it stands now. Reads, and changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from engagement.logs import scrubbed
from operations.blocks import Notice
from operations.models import Kind, Post

OVER_MARK: Final = "🟢"
LEVELS: Final = ("info", "warning", "error")  # the graver the later
Ends = Mapping[int, Post]  # by their incidents: what tells that these are over


def notice(post: Post) -> Notice:
    """As it was left, with its buttons."""
    told = _stored(post)
    if post.incident is None or told.links:
        return told
    return replace(told, links=links(post.incident.alarm_id, silence=post.kind != Kind.OVER))


def _stored(post: Post) -> Notice:
    """Without what looks like an address of somebody, a key or a position, whoever wrote it in: a campaign's name is anybody's text."""
    kept: dict[str, Any] = dict(post.notice)
    kept |= {name: scrubbed(kept[name]) for name in ("title", "body", "remedy", "footer")}
    kept["links"] = tuple((text, address) for text, address in kept.get("links", ()))
    return Notice(**{**kept, "lines": tuple(map(scrubbed, kept.get("lines", ())))})


def links(alarm: str, *, silence: bool = True) -> tuple[tuple[str, str], ...]:
    """Buttons of an alarm. The runbook may lie elsewhere: where the web admin is away, its own page is too."""
    page = f"{settings.ATRIUM_URL}/admin/operations/alarm/{quote(alarm, safe='')}"
    runbook = f"{settings.ATRIUM_RUNBOOK_URL}#{quote(alarm, safe='')}" if settings.ATRIUM_RUNBOOK_URL else f"{page}/change/"
    found = ((_("Runbook"), runbook), _operation())
    return (*found, (_("Silence for 1 h"), f"{page}/silence/")) if silence else found


def _operation() -> tuple[str, str]:
    return _("Operation"), f"{settings.ATRIUM_URL}/admin/operations/"


def begun(posts: Sequence[Post], ends: Ends) -> Notice:
    """That alarms fired. What is over by now (`ends`) is told with its end."""
    if len(posts) > 1:
        return _several(posts, ends)
    [post] = posts
    end = ends.get(post.incident_id or 0)
    return notice(post) if end is None else _closed(notice(post), notice(end))


def over(posts: Sequence[Post]) -> Notice:
    """That alarms are over."""
    if len(posts) == 1:
        return notice(posts[0])
    title = _("%(number)d alarms are over") % {"number": len(posts)}
    return Notice(mark=OVER_MARK, title=title, body="", remedy="", footer=_stored(posts[-1]).footer, lines=_lines(posts, {}), links=(_operation(),))


def standing(posts: Sequence[Post], latest: Mapping[int, Post]) -> Notice:
    """The message that told these as it is now; `latest`: by incident, what was left to tell of it since, where there was anything."""
    ends = {incident: post for incident, post in latest.items() if post.kind == Kind.OVER}
    if len(posts) > 1:
        return _several(posts, ends)
    [post] = posts
    since = latest.get(post.incident_id or 0)
    if since is None:
        return notice(post)
    if since.kind == Kind.OVER:
        return _closed(notice(post), notice(since))
    first, then = notice(post), _stored(since)
    return replace(first, body="\n".join(part for part in (first.body, then.body) if part))


def gathered(posts: Sequence[Post]) -> Notice:
    """Whatever waited, as one, in its order."""
    if len(posts) == 1:
        return notice(posts[0])
    told = [_stored(post) for post in posts]
    level = max((one.level for one in told), key=LEVELS.index)
    title = ngettext("%(number)d message", "%(number)d messages", len(posts)) % {"number": len(posts)}
    return Notice(mark=told[0].mark, title=title, body="", remedy="", footer=told[-1].footer, level=level, lines=_lines(posts, {}), links=(_operation(),))


def _closed(first: Notice, end: Notice) -> Notice:
    return replace(end, body="\n".join(part for part in (first.body, end.body) if part), footer=f"{first.footer} – {end.footer}")


def _several(posts: Sequence[Post], ends: Ends) -> Notice:
    open_ones = [_stored(post) for post in posts if post.incident_id not in ends]
    worst = max(open_ones or [_stored(posts[0])], key=lambda one: LEVELS.index(one.level))
    if not open_ones:
        title = _("Over: %(number)d alarms") % {"number": len(posts)}
    elif ends:
        title = _("%(open)d of %(number)d alarms are firing") % {"open": len(open_ones), "number": len(posts)}
    else:
        title = _("%(number)d alarms fire at once") % {"number": len(posts)}
    return Notice(
        mark=worst.mark if open_ones else OVER_MARK,
        title=title,
        body="",
        remedy=_("What to do: begin with the first; the others may follow from it. Type manage.py doctor.") if open_ones else "",
        footer=worst.footer,
        level=worst.level if open_ones else "info",
        lines=_lines(posts, ends),
        links=(_operation(),),
    )


def _lines(posts: Sequence[Post], ends: Ends) -> tuple[str, ...]:
    told = ((_stored(post), ends.get(post.incident_id or 0)) for post in posts)
    return tuple(f"{OVER_MARK if end else one.mark} {one.title}: {_stored(end).body if end else one.body}" for one, end in told)
