"""Lists and pages that show a plan, or what the events mean."""

from analytics.admin import regulars, shoppers, stays, trials, venues, work

__all__ = ["regulars", "shoppers", "stays", "trials", "venues", "work"]
