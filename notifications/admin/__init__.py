"""Lists and pages of the web admin, by what they are about."""

from notifications.admin import alarms

__all__ = ["alarms"]
