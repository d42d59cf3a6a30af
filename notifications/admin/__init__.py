"""Lists and pages of the web admin, by what they are about."""

from notifications.admin import alarms, campaigns, mailbox, policy, recipients, suppressions

__all__ = ["alarms", "campaigns", "mailbox", "policy", "recipients", "suppressions"]
