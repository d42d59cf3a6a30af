"""The provision file: check, difference, apply. The only writer of places: the admin gives it a small document too.

form.py reads the file into typed items (wanted.py), state.py loads what is there, references.py holds the one against
the other, plan.py tells the difference, apply.py writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from msgspec import UNSET

from engagement.models import Organisation, PlacesChange
from engagement.provisioning import form, history, references
from engagement.provisioning.apply import BEGINNING, apply
from engagement.provisioning.defaults import THRESHOLDS
from engagement.provisioning.faults import Fault, Refused, in_order
from engagement.provisioning.plan import Verb, compare, describe
from engagement.provisioning.state import load

__all__ = ["BEGINNING", "Fault", "Refused", "Report", "correct", "parse", "provision", "settings"]
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


def settings(document: Any) -> dict[str, Mapping[str, Any]]:
    """What the zones that the document names would be: thresholds, boundary and floor, by key. Changes nothing. Raises Refused."""
    wanted, faults = form.read(document)
    with transaction.atomic():
        state = load(_locked(wanted.organisation.key))
        faults += references.check(wanted, state)
        if faults:
            raise Refused(in_order(faults))
        return {step.key: step.target.settings for step in compare(wanted, state).zones}


def correct(document: Any, *, since: datetime, now: datetime | None = None) -> list[str]:
    """Say that zones have had other settings since an instant (BEGINNING: always), and order their history to be made again from there.

    The document names zones or venues that are there. Their thresholds as they are after it, and a boundary that it mentions, replace those of
    every version since then. Returns the keys of the zones that this changes. Raises Refused, having changed nothing.
    """
    wanted, faults = form.read(document)
    with transaction.atomic():
        organisation = _locked(wanted.organisation.key)
        state = load(organisation)
        faults += references.check(wanted, state)
        items = [*wanted.venues, *wanted.zones]
        faults += [Fault(item.place, _("There is no zone %(key)s.") % {"key": item.key}) for item in items if item.key and item.key not in state.zones]
        if since > (now or timezone.now()):
            faults.append(Fault("since", _("This lies in the future. History can be corrected up to now.")))
        if faults or organisation is None:
            raise Refused(in_order(faults))
        drawn = {item.key for item in items if item.boundary is not UNSET}
        changed = []
        for step in compare(wanted, state).zones:
            names = (*THRESHOLDS, "boundary") if step.key in drawn else THRESHOLDS
            if history.rewrite(state.zones[step.key], {name: step.target.settings[name] for name in names}, since):
                changed.append(step.key)
        if changed:
            Organisation.objects.filter(pk=organisation.pk).update(places_revision=F("places_revision") + 1)
            PlacesChange.objects.create(
                organisation=organisation, since=None if since == BEGINNING else since, reason=f"corrected the history of {', '.join(changed)}"[:200]
            )
    return changed


def _locked(key: str) -> Organisation | None:
    """The organisation, held until the end of the transaction: provisioning runs one at a time for each.

    The row cannot be locked while there is none, hence the advisory lock before it, in a statement of its own.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"provision:{key}"])
    return Organisation.objects.select_for_update().filter(key=key).first()
