"""Nouns of running an installation: alarms, what people are told, what Atrium does by itself."""

from operations.models.alarms import MOVES, WRONG, Alarm, AlarmEvent, Incident, State
from operations.models.posts import Delivery, Kind, NewsChannel, Post
from operations.models.upkeep import Action, Backup, Mode, Reading, Redrive, RedriveItem, Result, Switch

__all__ = [
    "MOVES",
    "WRONG",
    "Action",
    "Alarm",
    "AlarmEvent",
    "Backup",
    "Delivery",
    "Incident",
    "Kind",
    "Mode",
    "NewsChannel",
    "Post",
    "Reading",
    "Redrive",
    "RedriveItem",
    "Result",
    "State",
    "Switch",
]
