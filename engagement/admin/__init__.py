"""Lists and pages of the web admin, by what they are about."""

from engagement.admin import devices, erasures, intake, keys, operators, places

__all__ = ["devices", "erasures", "intake", "keys", "operators", "places"]
