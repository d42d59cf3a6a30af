"""Lists and pages that show a plan, or what the events mean."""

from analytics.admin import shoppers, stays, trials, venues, work

__all__ = ["shoppers", "stays", "trials", "venues", "work"]
