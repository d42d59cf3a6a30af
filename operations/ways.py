"""The ways to tell people: Slack by a bot or by a webhook, e-mail, the log. Each takes a notice, or says why not as `operations.slack` does."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

from django.conf import settings
from django.core.mail import EmailMessage

from operations import blocks, sealing, slack
from operations.blocks import Notice
from operations.models import Delivery, NewsChannel
from operations.slack import Place

log = logging.getLogger("atrium.alarm")
MAIL_AGAIN: Final = timedelta(minutes=1)  # asking a mail server that is away may take a minute each time
SUBJECT_LIMIT: Final = 150
_LEVELS: Final = {"error": logging.ERROR, "warning": logging.WARNING}


class Way(Protocol):
    @property
    def told(self) -> Delivery: ...  # what a post is that went this way

    @property
    def edits(self) -> bool: ...  # whether a message can be changed, and answered in its thread

    def tell(self, notice: Notice, *, thread: str = "") -> Place: ...

    def change(self, place: Place, notice: Notice) -> None: ...


class _Once:
    """What is said is said."""

    edits = False

    def change(self, place: Place, notice: Notice) -> None:
        raise slack.Gone


@dataclass(frozen=True)
class ByBot:
    bot: slack.Bot
    told = Delivery.SENT
    edits = True

    def tell(self, notice: Notice, *, thread: str = "") -> Place:
        return self.bot.post(blocks.payload(notice), thread=thread)

    def change(self, place: Place, notice: Notice) -> None:
        self.bot.change(place, blocks.payload(notice))


@dataclass(frozen=True)
class ByWebhook(_Once):
    address: str
    told = Delivery.SENT

    def tell(self, notice: Notice, *, thread: str = "") -> Place:
        slack.post(self.address, blocks.payload(notice))
        return Place()


@dataclass(frozen=True)
class ByMail(_Once):
    addresses: Sequence[str]
    told = Delivery.MAILED

    def tell(self, notice: Notice, *, thread: str = "") -> Place:
        problem = ""
        try:
            EmailMessage(subject_of(notice), text_of(notice), to=list(self.addresses)).send()
        except Exception as error:  # whatever the wire says may quote an address
            problem = type(error).__name__
        if problem:
            raise slack.TryLater(problem, wait=MAIL_AGAIN)
        return Place()


class ByLog(_Once):
    told = Delivery.LOGGED

    def tell(self, notice: Notice, *, thread: str = "") -> Place:
        write(notice)
        return Place()


def operators() -> Way:
    """A bot before a webhook, Slack before mail, the log where there is nothing else."""
    if settings.SLACK_BOT_TOKEN:
        return ByBot(slack.Bot(settings.SLACK_BOT_TOKEN, settings.SLACK_CHANNEL, api()))
    if settings.SLACK_WEBHOOK_URL:
        return ByWebhook(settings.SLACK_WEBHOOK_URL)
    return by_mail() or ByLog()


def by_mail() -> ByMail | None:
    return ByMail(settings.OPERATORS_EMAIL) if settings.OPERATORS_EMAIL else None


def marketers(channel: NewsChannel) -> Way:
    """Raises sealing.Unreadable."""
    return ByWebhook(sealing.unseal(channel.address))


def api() -> str:
    return f"{settings.SLACK_API_URL.rstrip('/')}/api/" if settings.SLACK_API_URL else ""


def write(notice: Notice) -> None:
    said = (f"{notice.title}.", notice.body, *notice.lines, notice.remedy, f"({notice.footer})" if notice.footer else "")
    log.log(_LEVELS.get(notice.level, logging.INFO), "%s", " ".join(part for part in said if part))


def subject_of(notice: Notice) -> str:
    """One line, whatever is in the title."""
    return _shown(f"{notice.mark} {notice.title}").replace("\n", " ")[:SUBJECT_LIMIT]


def text_of(notice: Notice) -> str:
    links = [f"{text}: {address}" for text, address in notice.links]
    parts: list[Any] = [notice.body, "\n".join(notice.lines), notice.remedy, "\n".join(links), notice.footer]
    return "\n\n".join(_shown(part) for part in parts if part.strip()) + "\n"


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text)
