"""A campaign's mail sent to whoever tries it: at once, in the lane of what is not marketing, and on nobody's account."""

from django.utils.translation import gettext as _

from notifications import governor, preview
from notifications.channels import email
from notifications.channels.wire import Sent
from notifications.mail import Person
from notifications.models import Campaign


class NotTaken(Exception):
    """The provider did not take it; why is a sentence for a person."""


def send(campaign: Campaign, *, variant: int, language: str, person: Person | None, to: str) -> str:
    """The provider's number of it. Raises NotTaken, NoContent, CannotCompose."""
    mail = preview.test_mail(campaign, variant, language, person, to)
    wire = email.open_wire()
    try:
        results = list(wire.send(governor.paced(governor.TRANSACTIONAL, [mail])))
    finally:
        wire.close()
    for result in results:
        if isinstance(result, Sent):
            return result.provider_id
    why = getattr(results[0], "detail", "") if results else ""
    raise NotTaken(_("The test mail was not taken. %(why)s") % {"why": why or _("Sending is stopped at the moment.")})
