"""What the operations page says of parked work, by its cause, and of what was sent on again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from engagement import display
from engagement.models import Organisation
from operations import work
from operations.models import Redrive

CAUSES_SHOWN: Final = 5  # at once
CAUSES_LISTED: Final = 60  # when somebody asks for the others
REDRIVES_SHOWN: Final = 5
OPEN: Final = (Redrive.State.CANARY, Redrive.State.RELEASING, Redrive.State.SETTLING)
SHOWN_FOR: Final = timedelta(days=1)  # after its end
TONES: Final = {Redrive.State.FINISHED: "good", Redrive.State.STOPPED: "bad"}
RATE: Final = 10


@dataclass(frozen=True)
class Cause:
    id: str
    title: str  # what is parked
    owner: str
    organisation: int | str  # its number, or nothing where it is the installation's
    kind: str
    cause: str
    text: str
    number: str
    first: str
    last: str
    under_way: bool


@dataclass(frozen=True)
class Going:
    """A redrive: how far it is, in numbers that add up."""

    pk: int
    title: str
    owner: str
    text: str
    tag: SafeString
    by: str
    began: str
    sums: work.Sums | None  # None: they do not add up
    at_end: int
    percent: int
    why: str
    open: bool


@dataclass(frozen=True)
class Parked:
    causes: list[Cause]
    others: list[Cause]
    more: int
    redrives: list[Going]
    rate: int = RATE


def parked(now: datetime) -> Parked:
    recent = Q(state__in=OPEN) | Q(began_at__gt=now - SHOWN_FOR)
    going = list(Redrive.objects.filter(recent).select_related("organisation").order_by("-pk")[:REDRIVES_SHOWN])
    under_way = set(Redrive.objects.filter(state__in=OPEN).values_list("organisation", "kind", "cause"))
    titles = {kind.name: str(kind.title) for kind in work.kinds()}
    listed = work.parked()
    causes = [_cause(one, titles, (one.organisation and one.organisation.pk, one.kind, one.cause) in under_way) for one in listed[:CAUSES_LISTED]]
    return Parked(
        causes=causes[:CAUSES_SHOWN], others=causes[CAUSES_SHOWN:], more=max(0, len(listed) - CAUSES_LISTED), redrives=[_going(one, titles) for one in going]
    )


def _cause(one: work.Parked, titles: dict[str, str], under_way: bool) -> Cause:
    organisation = one.organisation.pk if one.organisation else ""
    return Cause(
        id=f"{one.kind}-{organisation}-{one.cause}",
        title=titles[one.kind],
        owner=_owner(one.organisation),
        organisation=organisation,
        kind=one.kind,
        cause=one.cause,
        text=one.text,
        number=display.number(one.number),
        first=display.moment(one.first_at),
        last=display.moment(one.last_at),
        under_way=under_way,
    )


def _owner(organisation: Organisation | None) -> str:
    return organisation.key if organisation else _("the installation")


def _going(redrive: Redrive, titles: dict[str, str]) -> Going:
    try:
        sums = work.reconcile(redrive)
    except work.DoesNotAddUp:
        sums = None
    at_end = sums.done + sums.parked_again + sums.gone if sums else 0
    return Going(
        pk=redrive.pk,
        title=titles.get(redrive.kind, redrive.kind),
        owner=_owner(redrive.organisation),
        text=redrive.cause_text,
        tag=display.tag(Redrive.State(redrive.state).label, TONES.get(Redrive.State(redrive.state), "warn")),
        by=redrive.by,
        began=display.moment(redrive.began_at),
        sums=sums,
        at_end=at_end,
        percent=100 * at_end // sums.total if sums and sums.total else 0,
        why=redrive.why or work.held_up(redrive),
        open=redrive.state in OPEN,
    )
