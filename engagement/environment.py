"""Settings read from the environment, each with the values it accepts. Pure, apart from reading the environment.

A wrong one raises ImproperlyConfigured with its name, the value seen and what is accepted. Addresses may hold passwords: of
them only the scheme is shown.
"""

import os
import re
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from environ import Env

from engagement import cloud

cloud.load()  # before anything is read

_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_TOPIC: Final = re.compile(r"arn:aws(-cn|-us-gov)?:sns:[a-z]{2}(-[a-z]+)+-\d{1,2}:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_BOT_TOKEN: Final = re.compile(r"xoxb-[A-Za-z0-9-]{5,250}")
_CHANNEL: Final = re.compile(r"[CGD][A-Z0-9]{5,30}")
_SEEN: Final = re.compile(r"[!-;=?-~]+")  # ASCII that is seen, without < and >
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAIL_PORTS: Final = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """EMAIL_URL, taken apart. No scheme: mail goes into a folder. Of ses:// the host is the region."""

    scheme: str = ""
    host: str = ""
    port: int = 0
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def text(name: str, default: str = "") -> str:
    """An empty value is no value: that is how many process managers unset one."""
    return os.environ.get(name) or default


def folder(name: str) -> str | None:
    """A folder that is there, or nothing."""
    seen = text(name)
    if seen and not Path(seen).is_dir():
        raise ImproperlyConfigured(f"{name} is {seen!r}, which is no folder. Give one that is there.")
    return seen or None


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


def by_role(name: str, *, region: str) -> bool:
    """Whether the database is reached by the machine's role. RDS takes such a token only over TLS, and the broker's pool would keep an old one."""
    if not flag(name, False):
        return False
    _need(name, "1", "boto3", "pip install boto3")
    if not region:
        raise ImproperlyConfigured(f"{name} is 1, and no region is known. Set AWS_REGION.")
    if not text("DATABASE_URL") or not text("BROKER_URL"):
        raise ImproperlyConfigured(
            f"{name} is 1, without a DATABASE_URL or a BROKER_URL. Give both: postgres://user@host:port/name?sslmode=verify-full, sqs://."
        )
    return True


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


def queues(name: str) -> dict[str, str]:
    """Queues of SQS that are there already, by our names for them; none: they are made when they are first used."""
    found = {}
    for one in (part.strip() for part in text(name).split(",") if part.strip()):
        queue, _, address = one.partition("=")
        parts = urlsplit(address)
        if (
            not re.fullmatch(r"[a-z]+", queue)
            or not parts.hostname
            or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)))
        ):
            raise ImproperlyConfigured(f"{name} has {one!r}. Give atrium=https://sqs…,sending=https://sqs….")
        found[queue] = address
    return found


def mail(name: str, *, region: str) -> MailServer:
    """Where mail goes. Without a value it is written to a folder, one file each. `region`: of AWS, where ses:// names none."""
    seen = text(name)
    if not seen:
        return MailServer()
    scheme = urlsplit(seen).scheme
    if scheme not in (*_MAIL_PORTS, "ses") or "://" not in seen:
        raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r}. Give smtp://user:password@host:port (also smtp+tls, smtp+ssl) or ses://.")
    try:
        parts = urlsplit(seen)
        server = MailServer(
            scheme, parts.hostname or "", parts.port or _MAIL_PORTS.get(scheme, 0), unquote(parts.username or ""), unquote(parts.password or "")
        )
    except ValueError:  # a port that is no number, or brackets that hold no address
        raise ImproperlyConfigured(f"{name} has a wrong host or port. Give smtp://user:password@host:port.") from None
    if scheme == "ses":
        _need(name, "ses://", "boto3", "pip install boto3")
        if not (server.host or region):
            raise ImproperlyConfigured(f"{name} is ses://, and no region is known. Give it as ses://eu-west-1, or set AWS_REGION.")
        return replace(server, host=server.host or region)
    if not server.host:
        raise ImproperlyConfigured(f"{name} names no host. Give smtp://user:password@host:port.")
    return server


def webhook(name: str) -> str:
    """An address to post to, or nothing. Plain http only to this machine, where nobody can listen in."""
    seen = text(name)
    if not seen:
        return ""
    parts = urlsplit(seen)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r}. Give an https:// address; http:// is taken only to a loopback address.")
    return seen


def bot_token(name: str) -> str:
    """A bot's token of Slack's, or nothing. Never shown."""
    seen = text(name)
    if seen and not _BOT_TOKEN.fullmatch(seen):
        raise ImproperlyConfigured(f"{name} is no bot's token ({len(seen)} characters). Give the one that begins with xoxb-, from *OAuth & Permissions*.")
    return seen


def channel(name: str, *, needed_by: str) -> str:
    """The id of a channel of Slack's. `needed_by`: the setting that means nothing without it, where that one is given."""
    seen = text(name)
    if seen and not _CHANNEL.fullmatch(seen):
        raise ImproperlyConfigured(f"{name} is {seen[:20]!r}. Give a channel's id, as C0123456789; Slack shows it at the foot of the channel's details.")
    if needed_by and not seen:
        raise ImproperlyConfigured(f"{name} is not set, and {needed_by} is. Give the id of the channel to post to, as C0123456789.")
    return seen


def trial_address(name: str) -> str:
    """The address of something on this machine that plays another's part, or nothing."""
    seen = text(name)
    if seen and not (urlsplit(seen).scheme == "http" and _is_loopback(urlsplit(seen).hostname or "")):
        raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r}. Give http:// and a loopback address, or nothing: it is for trials alone.")
    return seen


def page_address(name: str) -> str:
    """The address of a page for people, or nothing."""
    seen = text(name)
    parts = urlsplit(seen)
    if seen and (parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment or not _SEEN.fullmatch(seen)):
        raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r} or has a #part. Give the https:// address of a page, without its parts.")
    return seen


def mail_addresses(name: str) -> list[str]:
    """Addresses of mail, separated by commas; none is a fine answer. They are of people, so of a wrong one only its place is shown."""
    seen = [one.strip() for one in text(name).split(",") if one.strip()]
    for number, one in enumerate(seen, 1):
        try:
            validate_email(one)
        except ValidationError:
            raise ImproperlyConfigured(f"{name}: address {number} of {len(seen)} is none. Give name@example.com, several separated by commas.") from None
    return seen


def secret(name: str, shortest: int) -> str:
    """A password that machines give, or nothing. It is not shown."""
    seen = text(name)
    if seen and (len(seen) < shortest or not seen.isascii() or not seen.isprintable() or " " in seen):
        raise ImproperlyConfigured(f"{name} has {len(seen)} characters. Give at least {shortest} random ones: letters, digits and signs, no blanks.")
    return seen


def place(name: str, default: str) -> str:
    """Where backups are kept: a folder by its whole path, or s3://bucket/prefix. None is a fine answer."""
    seen = text(name, default)
    parts = urlsplit(seen)
    if not seen or seen.startswith("/") or (parts.scheme == "s3" and _BUCKET.fullmatch(parts.netloc) and not (parts.query or parts.fragment)):
        return seen
    raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r}. Give a folder's whole path, or s3://bucket/prefix.")


def topics(name: str) -> frozenset[str]:
    """Topics of Amazon SNS, separated by commas; none is a fine answer."""
    seen = [one.strip() for one in text(name).split(",") if one.strip()]
    for one in seen:
        if not _TOPIC.fullmatch(one):
            raise ImproperlyConfigured(f"{name} has {one!r}. Give arn:aws:sns:region:account:name, several separated by commas.")
    return frozenset(seen)


def public_address(name: str, host: str, port: int) -> str:
    """Where people reach this installation: scheme, host, perhaps a port, and no slash at its end. Without a value, what it listens on."""
    listens = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (everywhere is no place that a link could lead to)
    seen = text(name, f"http://{f'[{listens}]' if ':' in listens else listens}:{port}").rstrip("/")
    try:
        parts = urlsplit(seen)
        bare = parts.hostname or ""
        whole = parts.scheme in {"http", "https"} and bool(_HOST_NAME.fullmatch(bare) or _is_address(bare)) and (parts.port or 443) > 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        whole = False
    if not whole or seen != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise ImproperlyConfigured(f"{name} begins with {_beginning(seen)!r} or has too much in it. Give https://host or http://host:port, nothing after it.")
    return seen


def certificates(name: str, public: str) -> list[str]:
    """Certificates whose end is watched: files, and servers as `host:port`. Without a value, that of `public`, where it is https."""
    parts = urlsplit(public)
    own = f"{host_of(public)}:{parts.port or 443}" if parts.scheme == "https" else ""
    seen = [one.strip() for one in text(name, own).split(",") if one.strip()]
    for one in seen:
        address, _colon, port = one.rpartition(":")
        bare = address.removeprefix("[").removesuffix("]")
        served = (_HOST_NAME.fullmatch(bare) or _is_address(bare)) and port.isascii() and port.isdecimal() and 0 < int(port) < 65536
        if not one.startswith("/") and not served:
            raise ImproperlyConfigured(f"{name} has {one!r}. Give whole paths of files, or host:port of servers, separated by commas.")
    return seen


def host_of(url: str) -> str:
    """As ALLOWED_HOSTS names it."""
    name = urlsplit(url).hostname or ""
    return f"[{name}]" if ":" in name else name


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
