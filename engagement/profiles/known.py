"""What is known of one shopper: for the shopper who asks for it, and for the page of whoever answers him."""

from typing import Any

from engagement import shoppers
from engagement.models import Consent, ListMember, Profile, Shopper, ShopperList


def profile(shopper: Shopper) -> Profile | None:
    return Profile.objects.filter(organisation=shopper.organisation_id, shopper=shopper).first()


def ledger(shopper: Shopper) -> list[Consent]:
    """Everything that he agreed to, or no longer, by when he said so."""
    return list(Consent.objects.filter(organisation=shopper.organisation_id, shopper=shopper).order_by("at", "id"))


def lists(shopper: Shopper) -> list[ShopperList]:
    present = ListMember.objects.filter(shopper=shopper, present=True, list__organisation=shopper.organisation_id)
    return [member.list for member in present.select_related("list").order_by("list__key")]


def everything(shopper: Shopper) -> dict[str, Any]:
    """As JSON has it."""
    told = profile(shopper)
    fields = ("channel", "purpose", "given", "at", "source", "wording", "recorded_at")
    return {
        "id": shoppers.name_of(shopper),
        "email": (told.email or None) if told else None,
        "language": (told.language or None) if told else None,
        "time_zone": (told.time_zone or None) if told else None,
        "attributes": told.attributes if told else {},
        "first_seen": shopper.created_at,
        "consents": [{name: getattr(row, name) for name in fields} for row in ledger(shopper)],
        "lists": [one.key for one in lists(shopper)],
    }
