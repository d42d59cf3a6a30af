"""Visiting where links of mails lead: whose mail it was, the addresses in it, and what was noted of the visit."""

from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from engagement.models import Organisation, Shopper
from notifications import links
from notifications.models import Link, Message, MessageEvent
from tests.notifications import ledger, people

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HOUR = timedelta(hours=1)


def got(organisation: Organisation, name: str, **campaign: Any) -> Message:
    (number,) = people.shoppers(organisation, 1, prefix=f"{name}-")
    made = people.campaign(organisation, f"for-{name}", **campaign)
    return ledger.message(ledger.run(made, timezone.now() - HOUR), Shopper.objects.get(pk=number))


def visitor(agent: str = BROWSER) -> Client:
    return Client(headers={"user-agent": agent}, enforce_csrf_checks=True)


def pixel(of: Message) -> str:
    return f"/m/o/{links.sign(links.OPEN, of.pk)}"


def click(of: Message, link: int) -> str:
    return f"/m/c/{links.sign(links.CLICK, of.pk, link)}"


def leave(of: Message) -> str:
    return f"/m/u/{links.sign(links.UNSUBSCRIBE, of.pk, of.shopper_id)}"


def choose(of: Message) -> str:
    return f"/m/p/{links.sign(links.PREFERENCES, of.pk, of.shopper_id)}"


def altered(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def events(of: Message) -> list[tuple[str, str, str]]:
    return list(MessageEvent.objects.filter(message=of).order_by("pk").values_list("kind", "by", "detail"))


def link_of(of: Message, url: str = "https://shop.example/spring") -> Link:
    return Link.objects.get_or_create(campaign=of.campaign, url=url)[0]
