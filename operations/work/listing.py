"""What is parked, by organisation, kind and cause; and who may send it on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.utils.translation import gettext as _

from engagement import tenancy
from engagement.models import Organisation
from engagement.tenancy import User
from operations.work.kinds import DECLARED, KINDS, Kind

COUNTED_UP_TO: Final = 1000
LONGEST_TEXT: Final = 300


@dataclass(frozen=True)
class Parked:
    """Rows of one kind that are parked for one cause. `organisation`: None where they are the installation's. `cause`: a digest of the text."""

    organisation: Organisation | None
    kind: str
    cause: str
    text: str
    number: int
    first_at: datetime
    last_at: datetime


def kinds() -> tuple[Kind, ...]:
    return KINDS


def with_causes(kind: Kind) -> str:
    """SQL: organisation_id, id, at, text and cause of each parked row."""
    text = f"SELECT organisation_id, id, at, left(text, {LONGEST_TEXT}) AS text FROM ({kind.parked}) p"
    return f"SELECT organisation_id, id, at, text, left(encode(sha256(convert_to(text, 'UTF8')), 'hex'), 12) AS cause FROM ({text}) t"


def of(organisation: Organisation | None) -> str:
    """SQL: rows of the organisation of this parameter, or of the installation alone."""
    return "organisation_id = %(organisation)s" if organisation else "organisation_id IS NULL"


def parked(organisation: Organisation | None = None, named: str = "") -> list[Parked]:
    """All that is parked, of one organisation and of one kind where they are named; kind by kind, what there is most of first."""
    found = []
    for kind in (DECLARED[named],) if named else KINDS:
        where = f"WHERE {of(organisation)}" if organisation else ""
        with connection.cursor() as cursor:
            cursor.execute(
                f"""SELECT organisation_id, cause, text, count(*), min(at), max(at) FROM ({with_causes(kind)}) c {where}
                    GROUP BY organisation_id, cause, text ORDER BY count(*) DESC, cause, organisation_id""",
                {"organisation": organisation.pk if organisation else None},
            )
            found += [(kind.name, *row) for row in cursor.fetchall()]
    owners: dict[Any, Organisation] = Organisation.objects.in_bulk({owner for _kind, owner, *_rest in found if owner})
    return [
        Parked(owners.get(owner), kind, cause, text or _("No reason is known."), number, first, last) for kind, owner, cause, text, number, first, last in found
    ]


def number_parked() -> int:
    """How many rows are parked, of all kinds and organisations; no more than a thousand are counted of each kind."""
    number = 0
    for kind in KINDS:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM (SELECT 1 FROM ({kind.parked}) p LIMIT {COUNTED_UP_TO}) c")
            [(counted,)] = cursor.fetchall()
        number += counted
    return number


def may(user: User, kind: str, organisation: Organisation | None) -> bool:
    """Whether somebody may send on parked work: who runs the installation, and members who may do such a thing in their organisation.

    It shows nobody anything: causes hold nothing of shoppers, and what is sent on goes where it was going.
    """
    if user.is_active and getattr(user, "is_superuser", False):
        return True
    right = DECLARED[kind].right
    return right is not None and organisation is not None and tenancy.may(user, organisation, right)
