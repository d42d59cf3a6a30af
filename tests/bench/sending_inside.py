"""What the processes of tests.bench.sending do: so many personal mails, from where they wait to the sink. Prints what it took as JSON."""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Final

from django.core import mail as django_mail
from django.template import Context, Template

from engagement.models import Organisation
from notifications import campaigns, planning
from notifications.channels import email
from notifications.delivery.sending import Sender
from notifications.models import Content, Message, MessageState, SendingPolicy
from tests.notifications import people

SENDER: Final = "News <news@bench.example.com>"
SUBJECT: Final = "Hello {{ shopper.id }}"
LINKS: Final = "".join(
    f"<p><a href='https://shop.example/{name}'>Come and see our {name}, {{{{ shopper.id }}}}.</a></p>" for name in ("shoes", "coats", "hats")
)
BODY: Final = "<h1>Spring is here, {{ shopper.id }}.</h1>" + LINKS + "<p>This is what a mail of a shop looks like, at some length.</p>" * 20
TEXT: Final = "Spring is here, {{ shopper.id }}.\n" + "This is what a mail of a shop looks like, at some length.\n" * 20


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def done(number: int, began: tuple[float, float]) -> None:
    """The processor's time is told, too: on a machine that is busy with other work it is what can be compared."""
    wall, processor = (now - then for now, then in zip(clocks(), began, strict=True))
    print(json.dumps({"per_second": number / wall, "processor_ms": 1000 * processor / number, "memory_mb": peak_mb()}))


def atrium(number: int) -> None:
    """A planned campaign: claimed, judged, composed with tracked links and headers, sent, recorded."""
    organisation, _ = Organisation.objects.get_or_create(key=f"bench-{time.time_ns()}", defaults={"name": "Bench"})
    SendingPolicy.objects.update_or_create(organisation=organisation, defaults={"postal_address": "1 Main Road"})
    people.shoppers(organisation, number)
    made = people.campaign(organisation, f"at{time.time_ns()}")
    Content.objects.filter(variant__campaign=made).update(subject=SUBJECT, body=BODY, text=TEXT)
    campaigns.send(made, by="bench")
    while planning.plan(budget_s=20):
        pass
    wire = email.open_wire()
    sender, began = Sender(wire), clocks()
    while sender.run():
        pass
    done(number, began)
    wire.close()
    sent = Message.objects.filter(campaign=made, state=MessageState.SENT).count()
    assert sent == number, sent


def written(number: int) -> dict[str, str]:
    """What the peers must be told of the shopper: their mails have his links and headers, too."""
    way = f"https://atrium.example/m/u/{number:032d}"
    return {"List-Unsubscribe": f"<{way}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "X-Atrium-Message": str(number)}


def post_office(number: int) -> None:
    """The same text from its own queue, by one process, as its documentation says."""
    from post_office import mail
    from post_office.models import Email, EmailTemplate

    Email.objects.all().delete()
    template, _ = EmailTemplate.objects.update_or_create(name="bench", defaults={"subject": SUBJECT, "content": TEXT, "html_content": BODY})
    asked = [
        {
            "recipients": [f"s{i}@bench.example.com"], "sender": SENDER, "template": template, "context": {"shopper": {"id": f"s{i}"}},
            "headers": written(i), "render_on_delivery": True,
        }
        for i in range(number)
    ]  # fmt: skip
    mail.send_many(asked)
    began = clocks()
    while Email.objects.filter(status=2).exists():
        mail.send_queued(processes=1, log_level=0)
    done(number, began)
    assert Email.objects.filter(status=0).count() == number


def mass(number: int) -> None:
    """Django's send_mass_mail: text alone, no queue, nothing recorded."""
    subject, text = Template(SUBJECT), Template(TEXT)
    began = clocks()
    contexts = [Context({"shopper": {"id": f"s{i}"}}) for i in range(number)]
    django_mail.send_mass_mail([(subject.render(one), text.render(one), SENDER, [f"s{i}@bench.example.com"]) for i, one in enumerate(contexts)])
    done(number, began)


WAYS: Final[dict[str, Callable[[int], None]]] = {"atrium": atrium, "post_office": post_office, "mass": mass}


def main() -> None:
    WAYS[sys.argv[1]](int(sys.argv[2]))
