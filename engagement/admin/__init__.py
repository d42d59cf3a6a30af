"""Lists and pages of the web admin, by what they are about."""

from engagement.admin import devices, erasures, imports, intake, keys, lists, operators, places

__all__ = ["devices", "erasures", "imports", "intake", "keys", "lists", "operators", "places"]
