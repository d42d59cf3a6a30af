"""Nouns of telling: campaigns, messages and what became of them."""

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
    "Campaign",
    "CampaignState",
    "Content",
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
    "Suppression",
    "Topic",
    "Variant",
]
