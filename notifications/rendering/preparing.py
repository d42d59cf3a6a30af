"""A content made ready for everybody: its parts as Liquid, checked, with the foot that every mail has."""

import html
from dataclasses import dataclass
from typing import Protocol

from django.utils import translation
from django.utils.translation import gettext as _

from notifications.rendering import markup, mime, pieces, text
from notifications.rendering.markup import Prepared
from notifications.rendering.pieces import Unreadable

LONGEST_LINE = 500  # of a subject or preheader, as it is written
# After the preheader, so that a list of mails shows nothing of the body behind it.
_GAP = "&#847;&zwnj;&nbsp;" * 40
_HIDDEN = "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all"
_FOOT = "max-width:600px;margin:24px auto 0;padding:16px;font:12px/1.6 Arial,Helvetica,sans-serif;color:#5b6470;text-align:center"
_LINK = "color:#5b6470;text-decoration:underline"


class Source(Protocol):
    """What somebody wrote: a Content, or a draft of one."""

    subject: str
    preheader: str
    kind: str
    body: str
    text: str


@dataclass(frozen=True)
class Frame:
    """What stands around a content."""

    language: str = ""
    has_brand: bool = False
    has_postal_address: bool = False


class Place(Unreadable):
    """An Unreadable, with the field that it is of."""

    def __init__(self, place: str, inner: Unreadable) -> None:
        super().__init__(str(inner), inner.line)
        self.place = place


def prepare(source: Source, frame: Frame) -> Prepared:
    """Raises Place."""
    prepared = Prepared(subject=_subject(source.subject), html="", text="")
    try:
        page, found = markup.to_html(source.body, source.kind, frame.language)
        words = text.of_page(page)
        named = markup.put_back(markup.name_links(page, found, prepared), found)
        by_itself = text.with_links(words, found, prepared)
    except Unreadable as fault:
        raise Place("body", fault) from None
    if source.text:
        try:
            by_itself = text.with_links(*markup.take_out(source.text, markup=False), prepared)
        except Unreadable as fault:
            raise Place("text", fault) from None
    with translation.override(frame.language or None):
        below, last = _foot(frame, unsubscribe=not prepared.has_unsubscribe)
    prepared.html = markup.framed(named, above=_preheader(source.preheader), below=below + "{% unseen %}{% pixel %}")
    prepared.text = f"{by_itself.rstrip()}\n\n{last}"
    return prepared


def _subject(written: str) -> str:
    if mime.one_line(written) != written.strip():
        raise Place("subject", Unreadable(_("The subject must be one line."), 1))
    if not written.strip():
        raise Place("subject", Unreadable(_("Write a subject."), 1))
    return _line("subject", written.strip())


def _preheader(written: str) -> str:
    if not written.strip():
        return ""
    try:
        return f'<div style="{_HIDDEN}">{markup.escaped(_line("preheader", mime.one_line(written)))}{_GAP}</div>'
    except Place:
        raise
    except Unreadable as fault:
        raise Place("preheader", fault) from None


def _line(place: str, written: str) -> str:
    try:
        list(pieces.find(written))
    except Unreadable as fault:
        raise Place(place, fault) from None
    if len(written) > LONGEST_LINE:
        raise Place(place, Unreadable(_("This is longer than %(number)s characters.") % {"number": LONGEST_LINE}, 1))
    return written


def _foot(frame: Frame, *, unsubscribe: bool) -> tuple[str, str]:
    """Who sends this, from where, and how to get no more of it: for the page, and as text."""
    who = _("%(brand)s and %(organisation)s") if frame.has_brand else "%(organisation)s"
    who = html.escape(who, quote=False) % {"brand": "{{ brand.name }}", "organisation": "{{ organisation.name }}"}
    offers = [(_("Choose what you get"), "preferences_url")]
    if unsubscribe:
        offers.insert(0, (_("Unsubscribe"), "unsubscribe_url"))
    post = "{{ organisation.postal_address }}"
    lines = [who]
    if frame.has_postal_address:
        lines.append("{{ organisation.postal_address | strip | newline_to_br }}")
    lines.append(" &middot; ".join(f'<a href="{{{{ {name} }}}}" style="{_LINK}">{html.escape(words)}</a>' for words, name in offers))
    page = f'<div style="{_FOOT}">{"<br>".join(lines)}</div>'
    plain = ["-- ", html.unescape(who), *([post] if frame.has_postal_address else [])]
    # In plain text a body's own link cannot be counted on, so both are always there.
    plain += [f"{_('Unsubscribe')}: {{{{ unsubscribe_url }}}}", f"{_('Choose what you get')}: {{{{ preferences_url }}}}"]
    return page, "\n".join(plain)
