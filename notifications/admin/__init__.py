"""Lists and pages of the web admin, by what they are about."""

from notifications.admin import campaigns, mailbox, policy, recipients, suppressions

__all__ = ["campaigns", "mailbox", "policy", "recipients", "suppressions"]
