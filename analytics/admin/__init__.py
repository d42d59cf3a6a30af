"""Lists and pages that show a plan, or what the events mean."""

from analytics.admin import audiences, regulars, shoppers, stays, trials, venues, work

__all__ = ["audiences", "regulars", "shoppers", "stays", "trials", "venues", "work"]
