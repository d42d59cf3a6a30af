"""Contents and shoppers for tests of what is written."""

from dataclasses import dataclass
from typing import Any

from engagement.models import Organisation
from notifications.mail import Person
from notifications.models import Campaign, Content, SendingPolicy, Variant
from tests.notifications import people

ANN = Person(7, "crm-ann", "ann@example.com", "en-ZA", "Africa/Johannesburg", {"first": "Ann", "tier": "gold", "points": 1200})


@dataclass
class Draft:
    """What somebody writes, before there is a row of it."""

    subject: str = "Hello {{ attributes.first }}"
    preheader: str = ""
    kind: str = "html"
    body: str = "<p>Spring is here, {{ attributes.first }}. <a href='https://shop.example/spring'>Come and see</a></p>"
    text: str = ""


def campaign(organisation: Organisation, *drafts: Draft, postal_address: str = "1 Main Road\nJohannesburg", **more: Any) -> Campaign:
    """A campaign whose variants a, b, … say this, each in the campaign's own language."""
    SendingPolicy.objects.update_or_create(organisation=organisation, defaults={"postal_address": postal_address})
    made = people.campaign(organisation, variants=(1,) * max(1, len(drafts)), **more)
    for variant, draft in zip(Variant.objects.filter(campaign=made).order_by("pk"), drafts or (Draft(),), strict=True):
        Content.objects.filter(variant=variant).update(**vars(draft))
    return made


def variant_of(made: Campaign, name: str = "a") -> int:
    return Variant.objects.get(campaign=made, name=name).pk
