"""Mail: one verb, three ways. Which one is EMAIL_URL's affair; nobody else asks."""

from collections.abc import Callable
from typing import Final

from django.conf import settings

from engagement.environment import MailServer
from notifications.channels import files, smtp
from notifications.channels.wire import Feed, ForEver, ForNow, Late, Limits, Result, Sent, Timed, Unknown, Wait, Wire

__all__ = ["Feed", "ForEver", "ForNow", "Late", "Result", "Sent", "Timed", "Unknown", "Wait", "Wire", "open_wire"]


def _ses(server: MailServer) -> Wire:
    """Loaded where it is used: AWS's library takes a third of a second and 30 MB, and most installations do without."""
    from notifications.channels import ses

    return ses.from_settings(server)


_WAYS: Final[dict[str, Callable[[MailServer], Wire]]] = {
    "": lambda _server: files.Files(settings.MAIL_FOLDER),
    "smtp": smtp.from_settings,
    "smtp+tls": smtp.from_settings,
    "smtp+ssl": smtp.from_settings,
    "ses": _ses,
}


def open_wire() -> Wire:
    """Opens no connection yet: a server that is away is told by the results."""
    return _WAYS[settings.MAIL_SERVER.scheme](settings.MAIL_SERVER)


def limits() -> Limits | None:
    """The account's, as its provider says now. None: it has none that could be asked for. Raises NotTold."""
    if settings.MAIL_SERVER.scheme != "ses":
        return None
    from notifications.channels import ses

    return ses.limits(settings.MAIL_SERVER)
