"""Every number shown anywhere, each a typed function of organisation, place and period. Reads only.

Figures follow the project's definitions, version 1.
"""

from analytics.reports.footfall import Figures, Footfall, footfall
from analytics.reports.reading import DEFINITIONS, seconds
from analytics.reports.state import OCCUPANCY, TAKEN, Backlog, inbox, occupancy_now, outcomes, processed

__all__ = ["DEFINITIONS", "OCCUPANCY", "TAKEN", "Backlog", "Figures", "Footfall", "footfall", "inbox", "occupancy_now", "outcomes", "processed", "seconds"]
