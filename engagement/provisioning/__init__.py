"""The provision file: check, difference, apply. The only writer of places: the admin gives it a small document too.

form.py reads the file into typed items (wanted.py), state.py loads what is there, references.py holds the one against
the other, plan.py tells the difference, apply.py writes it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from engagement.models import Organisation
from engagement.provisioning import form, references
from engagement.provisioning.apply import BEGINNING, apply
from engagement.provisioning.faults import Fault, Refused, in_order
from engagement.provisioning.plan import Verb, compare, describe
from engagement.provisioning.state import load

__all__ = ["BEGINNING", "Fault", "Refused", "Report", "parse", "provision"]
parse = form.parse


@dataclass(frozen=True)
class Report:
    """What was done, or would be. A venue and its root zone count as two things."""

    organisation: str
    dry_run: bool
    created: int
    changed: int
    unchanged: int
    keys: dict[str, str]  # token by the name of each newly made key
    lines: list[str]  # the difference, for people


def provision(document: Any, *, dry_run: bool = False, now: datetime | None = None) -> Report:
    """Bring an organisation to what the document (JSON, parsed) says. Raises Refused, having changed nothing.

    What the document does not mention stays as it is. `now` is when changed places begin to hold; it is taken under
    the lock, so that versions of one organisation never overlap.
    """
    wanted, faults = form.read(document)
    with transaction.atomic():
        state = load(_locked(wanted.organisation.key))
        faults += references.check(wanted, state)
        if faults:
            raise Refused(in_order(faults))
        plan = compare(wanted, state)
        keys = {} if dry_run else apply(plan, state, now or timezone.now())
    verbs = [step.verb for step in plan.steps()]
    return Report(
        organisation=wanted.organisation.key,
        dry_run=dry_run,
        created=verbs.count(Verb.CREATE),
        changed=verbs.count(Verb.CHANGE),
        unchanged=verbs.count(Verb.KEEP),
        keys=keys,
        lines=describe(plan),
    )


def _locked(key: str) -> Organisation | None:
    """The organisation, held until the end of the transaction: provisioning runs one at a time for each.

    The row cannot be locked while there is none, hence the advisory lock before it, in a statement of its own.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"provision:{key}"])
    return Organisation.objects.select_for_update().filter(key=key).first()
