"""Settings read from the environment, each with the values it accepts. Pure, apart from reading the environment.

A wrong one raises ImproperlyConfigured with its name, the value seen and what is accepted. Addresses may hold passwords: of
them only the scheme is shown.
"""

import os
import re
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_MAIL_SCHEMES: Final = ("smtp", "smtp+tls", "smtp+ssl", "ses")


def text(name: str, default: str = "") -> str:
    """An empty value is no value: that is how many process managers unset one."""
    return os.environ.get(name) or default


def integer(name: str, default: int, low: int, high: int) -> int:
    seen = text(name, str(default))
    if not (seen.isascii() and seen.isdecimal() and low <= int(seen) <= high):
        raise ImproperlyConfigured(f"{name} is {seen!r}. Give a whole number from {low} to {high}.")
    return int(seen)


def flag(name: str, default: bool) -> bool:
    seen = text(name, str(default)).lower()
    if seen not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ImproperlyConfigured(f"{name} is {seen!r}. Give 1 or 0.")
    return seen in {"1", "true", "yes", "on"}


def choice(name: str, default: str, accepted: tuple[str, ...]) -> str:
    seen = text(name, default)
    if seen not in accepted:
        raise ImproperlyConfigured(f"{name} is {seen!r}. Give one of: {', '.join(accepted)}.")
    return seen


def host(name: str, default: str) -> str:
    seen = text(name, default)
    try:
        ip_address(seen)
    except ValueError:
        if not _HOST_NAME.fullmatch(seen):
            raise ImproperlyConfigured(f"{name} is {seen!r}. Give an address of this machine, as 127.0.0.1 or 0.0.0.0.") from None
    return seen


def hosts(name: str, default: str) -> list[str]:
    """The names that a request may carry as its Host, as Django takes them."""
    seen = [one.strip() for one in text(name, default).split(",") if one.strip()]
    for one in seen:
        bare = one.removeprefix(".").removeprefix("[").removesuffix("]")
        if one != "*" and not _HOST_NAME.fullmatch(bare) and not _is_address(bare):
            raise ImproperlyConfigured(f"{name} has {one!r}. Give host names, separated by commas: no scheme, no port.")
    return seen


def database(name: str, url: str) -> dict[str, Any]:
    """Django's entry for a PostgreSQL address. `name` is the setting that it came from."""
    parts = urlsplit(url)
    try:
        whole = parts.scheme in {"postgres", "postgresql"} and bool(parts.hostname) and bool(parts.path.strip("/")) and (parts.port or 5432) > 0
    except ValueError:  # a port that is no number
        whole = False
    if not whole:
        raise ImproperlyConfigured(f"{name} begins with {_beginning(url)!r} or lacks a part. Give postgres://user:password@host:port/name.")
    found = Env.db_url_config(url)
    options = {"connect_timeout": 5, **found.get("OPTIONS", {})}
    return {**found, "OPTIONS": options, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


def broker(name: str) -> str:
    """The broker's address, or nothing, for the database."""
    seen = text(name)
    scheme = urlsplit(seen).scheme
    if seen and scheme not in {"pgmq", "sqs"}:
        raise ImproperlyConfigured(
            f"{name} begins with {_beginning(seen)!r}. Give sqs:// or pgmq://user:password@host:port/name, or nothing, for the database."
        )
    if scheme == "sqs":
        _need(name, "sqs://", "boto3", 'pip install "celery[sqs]"')
    return seen


def mail(name: str, folder: str) -> dict[str, Any]:
    """Django's mail settings. Without a value mail is written to `folder`, one file each."""
    seen = text(name)
    if not seen:
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": folder}
    scheme = urlsplit(seen).scheme
    if scheme not in _MAIL_SCHEMES or "://" not in seen:
        raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r}. Give smtp://user:password@host:port (also smtp+tls, smtp+ssl) or ses://.")
    if scheme == "ses":
        _need(name, "ses://", "anymail", 'pip install "django-anymail[amazon-ses]"')
        return {"EMAIL_BACKEND": "anymail.backends.amazon_ses.EmailBackend"}
    if not urlsplit(seen).hostname:
        raise ImproperlyConfigured(f"{name} names no host. Give smtp://user:password@host:port.")
    return dict(Env.email_url_config(seen))


def webhook(name: str) -> str:
    """An address to post to, or nothing. Plain http only to this machine, where nobody can listen in."""
    seen = text(name)
    if not seen:
        return ""
    parts = urlsplit(seen)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r}. Give an https:// address; http:// is taken only to a loopback address.")
    return seen


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _beginning(url: str) -> str:
    """What may be shown of an address: never what follows its scheme."""
    scheme, separator, _ = url.partition("://")
    return f"{scheme[:20]}://" if separator else "(no scheme)"


def _need(name: str, value: str, module: str, remedy: str) -> None:
    if find_spec(module) is None:
        raise ImproperlyConfigured(f"{name} is {value}, which needs the Python package {module}. Install it: {remedy}")
