"""From a campaign to the mail to the shopper and back: the links of a mail that really left say what he did, and the next one hears it."""

import re
from datetime import timedelta
from email import message_from_bytes, policy
from urllib.parse import urlsplit

from django.test import Client
from django.utils import timezone

from engagement.models import Brand, Organisation, Profile
from notifications import campaigns, planning
from notifications.delivery.sending import Sender
from notifications.mail import Mail
from notifications.models import Campaign, Content, Message, MessageEvent
from tests.notifications import people
from tests.notifications.wires import MemoryWire, message_of

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
BODY = "<p>Dear {{ attributes.first }}, <a href='https://shop.example/spring'>spring</a> is here.</p>"


def visitor() -> Client:
    return Client(headers={"user-agent": BROWSER}, enforce_csrf_checks=True)


def part(mail: Mail, kind: str) -> str:
    return str(message_from_bytes(mail.bytes_, policy=policy.SMTP).get_body((kind,)).get_content())


def header(mail: Mail, name: str) -> str:
    return str(message_from_bytes(mail.bytes_, policy=policy.SMTP)[name])


def path_of(address: str) -> str:
    return urlsplit(address.strip("<>")).path


def spring(organisation: Organisation, key: str = "spring", **more: object) -> Campaign:
    made = people.campaign(organisation, key, **more)
    Content.objects.filter(variant__campaign=made).update(body=BODY)
    return made


def sent(made: Campaign, wire: MemoryWire | None = None) -> list[Mail]:
    """What leaves of it, in the order of the shoppers."""
    wire = wire or MemoryWire()
    campaigns.send(made, by="emma")
    planning.plan()
    Sender(wire).run()
    return sorted(wire.mails, key=lambda mail: mail.recipient)


def known(organisation: Organisation, number: int) -> list[int]:
    found = people.shoppers(organisation, number)
    Profile.objects.filter(shopper__in=found).update(attributes={"first": "Ann"})
    return found


def test_what_a_shopper_does_with_his_mail_is_heard(acme: Organisation) -> None:
    known(acme, 2)
    mail, other = sent(spring(acme))
    Message.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    [pixel] = re.findall(r'<img src="([^"]+)"', part(mail, "html"))
    [link] = re.findall(r'<a href="([^"]+)"[^>]*>spring', part(mail, "html"))
    assert visitor().get(path_of(pixel)).status_code == 200
    assert visitor().get(path_of(link))["Location"] == "https://shop.example/spring"
    assert list(MessageEvent.objects.order_by("pk").values_list("message", "kind", "by")) == [
        (message_of(mail), "open", "person"),
        (message_of(mail), "click", "person"),
    ]
    assert path_of(link) in part(mail, "plain") and path_of(link) not in part(other, "html"), "Each has links of his own."


def test_whoever_unsubscribes_by_his_mail_program_gets_nothing_of_the_next_campaign(acme: Organisation) -> None:
    known(acme, 2)
    mail, other = sent(spring(acme))
    visitor().post(path_of(header(mail, "List-Unsubscribe")), {"List-Unsubscribe": "One-Click"})
    assert [one.recipient for one in sent(spring(acme, "summer"))] == [other.recipient]
    assert people.states(Campaign.objects.get(key="summer")) == {"sent": 1}, "Her audience is who agrees, and he does no longer."


def test_an_unsubscription_is_honoured_in_flight(acme: Organisation) -> None:
    """The last of the campaign is claimed already when its shopper unsubscribes by an earlier campaign's mail."""
    known(acme, 40)
    earlier = {mail.recipient: path_of(header(mail, "List-Unsubscribe")) for mail in sent(spring(acme))}
    last = "s39@acme.example.com"

    def leave(_number: int) -> None:
        if not gone:
            gone.append(visitor().post(earlier[last]).status_code)

    gone: list[int] = []
    summer = spring(acme, "summer")
    left = {mail.recipient for mail in sent(summer, MemoryWire(before=leave, ahead=1))}
    assert gone == [200] and last not in left and len(left) == 39
    assert people.states(summer) == {"sent": 39, "skipped no_consent": 1}


def test_whoever_wishes_nothing_of_a_brand_is_not_told_of_it(acme: Organisation) -> None:
    known(acme, 1)
    brew = Brand.objects.get(organisation=acme, key="brew")
    [mail] = sent(spring(acme, brand=brew))
    [choose] = re.findall(r"http\S+/m/p/\S+", part(mail, "plain"))
    visitor().post(path_of(choose), {"shown": [f"brand-{brew.pk}"]})
    assert sent(spring(acme, "summer", brand=brew)) == []
    assert people.states(Campaign.objects.get(key="summer")) == {"skipped not_wished": 1}
    assert len(sent(spring(acme, "autumn"))) == 1


def test_who_lacks_what_the_text_needs_is_passed_over_and_the_others_are_not(acme: Organisation) -> None:
    known(acme, 1)
    people.shoppers(acme, 1, prefix="bare")
    made = spring(acme)
    assert len(sent(made)) == 1
    assert people.states(made) == {"sent": 1, "failed no_content": 1}
