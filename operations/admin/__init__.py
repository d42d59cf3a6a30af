"""Lists and pages of the web admin, by what they are about."""

from operations.admin import alarms, upkeep

__all__ = ["alarms", "upkeep"]
