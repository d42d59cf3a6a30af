"""Nouns of telling: operators' alarms, campaigns, messages and what became of them."""

from notifications.models.alarms import MOVES, TOLD, Alarm, AlarmEvent, Delivery, State
from notifications.models.campaigns import CAMPAIGN_MOVES, Campaign, CampaignState, Content, Link, Run, SendingPolicy, Topic, Variant
from notifications.models.messages import (
    COUNTED,
    MESSAGE_MOVES,
    FeedbackNotice,
    Message,
    MessageEvent,
    MessageState,
    Preference,
    Reason,
    SendingAccount,
    Suppression,
)

__all__ = [
    "CAMPAIGN_MOVES",
    "COUNTED",
    "MESSAGE_MOVES",
    "MOVES",
    "TOLD",
    "Alarm",
    "AlarmEvent",
    "Campaign",
    "CampaignState",
    "Content",
    "Delivery",
    "FeedbackNotice",
    "Link",
    "Message",
    "MessageEvent",
    "MessageState",
    "Preference",
    "Reason",
    "Run",
    "SendingAccount",
    "SendingPolicy",
    "State",
    "Suppression",
    "Topic",
    "Variant",
]
