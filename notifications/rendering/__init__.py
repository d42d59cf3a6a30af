"""From what somebody wrote, and what is known of a shopper, to a mail.

`check(content)` says what is wrong with it; `compose(campaign)` makes of a campaign what makes its mails. A template may see
`shopper.id`, `shopper.language`, `attributes.<name>` (or `shopper.attributes.<name>`), `brand.name` (without a brand the organisation's),
`organisation.name`, `organisation.postal_address`, `campaign.name`, `unsubscribe_url` and `preferences_url`, and nothing else. What a shopper
has not cannot be written: he gets no mail (NoContent), unless the template gives a default or asks first.
"""

from notifications.mail import Mail, Person
from notifications.rendering.checking import ERROR, WARNING, Remark, check
from notifications.rendering.composing import CannotCompose, Composer, NoContent, compose

__all__ = ["ERROR", "WARNING", "CannotCompose", "Composer", "Mail", "NoContent", "Person", "Remark", "check", "compose"]
