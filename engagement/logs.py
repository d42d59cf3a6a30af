"""What a log line looks like, and what every line tells beside its message: the process, the request, the organisation. Pure.

LOG_FORMAT=line is for a person at a terminal, json for machines: one object a line. In both, one entry is one line, whatever somebody wrote into a
name, and nothing is told that a log must not know: `scrubbed` takes addresses, secrets and positions out of whatever a library or a failure says.
"""

import itertools
import json
import logging
import os
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

LONGEST_MESSAGE: Final = 4000
LONGEST_VALUE: Final = 500
FRAMES: Final = 25  # of a traceback, the innermost
EXTRAS: Final = 20

request_id: ContextVar[str] = ContextVar("request_id", default="")
organisation: ContextVar[str] = ContextVar("organisation", default="")  # its key, as soon as it is known who asks
_script: Final = Path(sys.argv[0])
# What this process is called, until it says so itself (speak_as): its command.
process: str = sys.argv[1] if _script.name == "manage.py" and sys.argv[1:] else _script.parent.name if _script.stem == "__main__" else _script.stem

_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)} | {10: "\\n", 13: "\\r", 9: "\\t"}
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{3,63}")
_KEY: Final = r"atr_(?:pub|sec|imp)_[\w-]{12,}"  # longer than the beginning by which people know one
# What is hidden, and what stands there instead. A database quotes rows in its errors, and a library the address that it asked. Repeats are bounded: a
# long text must not take long.
_HIDDEN: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), told)
    for pattern, told in (
        (r"(://)[^/\s@]{1,200}@", r"\1(hidden)@"),  # a user and his password in an address
        (r"(hooks\.slack\.com)/\S+", r"\1/(hidden)"),
        (r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", r"\1 (hidden)"),
        (_KEY, "(a key)"),
        (r"\bxox[a-z]-[\w-]+", "(a key)"),
        (r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}", "(an address)"),
        (r"(?<![\w.])-?\d{1,3}\.\d{4,}", "(a number)"),  # as exact as this are positions
        (r"(?<![\w-])[\w-]{40,}(?![\w-])", "(a token)"),  # a UUID is shorter, and stays
    )
)
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request", "data", "duration_ms"}
_counted = itertools.count()
_prefix = ""  # of the numbers that this process gives


def _begin_anew() -> None:
    global _prefix
    _prefix = os.urandom(5).hex()


_begin_anew()
os.register_at_fork(after_in_child=_begin_anew)


def speak_as(name: str) -> None:
    """What the lines of this process say of it."""
    global process
    process = name


def begin_request(given: str = "") -> str:
    """From here on, what this thread or task logs is about a request: the one with that number, where it is a sane one, else with one of our own."""
    number = given if given and _SANE.fullmatch(given) and scrubbed(given) == given else f"{_prefix}-{next(_counted):x}"
    request_id.set(number)
    organisation.set("")
    return number


def end_request() -> None:
    request_id.set("")
    organisation.set("")


def scrubbed(text: str) -> str:
    for pattern, told in _HIDDEN:
        text = pattern.sub(told, text)
    return text


def told(error: BaseException) -> str:
    """A failure in one line: what, and where. A database's own text quotes the row, so of it only the code is told."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < 5:
        frames = traceback.extract_tb(seen.__traceback__)[-FRAMES:]
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        code = getattr(seen, "sqlstate", None)
        of_database = code is not None or type(seen).__module__.split(".")[0] in {"psycopg", "psycopg_pool"} or "django.db" in type(seen).__module__
        text = str(code or "") if of_database else _clean(str(seen), LONGEST_VALUE)
        parts.append(f"{type(seen).__name__}{f': {text}' if text else ''}{f' at {where}' if where else ''}")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return _clean("; after ".join(parts), LONGEST_MESSAGE)


class Line(logging.Formatter):
    """For a person: whoever keeps the log adds the time and the name of the process."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        number = request_id.get()
        said = _message(record)
        failure = _failure(record)
        return f"{level}{record.name}: {said}{f' [{number}]' if number else ''}{f' -- {failure}' if failure else ''}"


class Json(logging.Formatter):
    """For machines: one object a line, in ASCII, a few kilobytes at most."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "process": process,
            "pid": record.process,
        }
        if number := request_id.get():
            entry["request_id"] = number
        if whose := organisation.get():
            entry["organisation"] = whose
        if (took := getattr(record, "duration_ms", None)) is not None:
            entry["duration_ms"] = round(float(took), 1)
        if failure := _failure(record):
            entry["exception"] = failure
        more = [(name, value) for name, value in vars(record).items() if name not in _OWN and name not in entry and not name.startswith("_")]
        entry.update((name, _plain(value)) for name, value in more[:EXTRAS])
        return json.dumps(entry, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def wrapped(name: str, line: str) -> str:
    """What a process said that knows nothing of JSON (the database, the server before it has settings), as such a line."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), "level": "info", "logger": "console"}
    return json.dumps({**entry, "message": _clean(line, LONGEST_MESSAGE), "process": name}, separators=(",", ":"))


def _message(record: logging.LogRecord) -> str:
    """Never fails: a line that cannot be made would take the request with it."""
    try:
        said = record.getMessage()
    except Exception:
        said = str(record.msg)
    return _clean(said, LONGEST_MESSAGE)


def _failure(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return "" if error is None else told(error)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < 1e300 else str(value)
    return _clean(str(value), LONGEST_VALUE)


def _clean(text: str, most: int) -> str:
    """In one line, of a bounded length, without what is hidden. A word that is cut may be the first half of an address: it goes too."""
    if len(text) > most:
        text = f"{text[: text.rfind(' ', 0, most) + 1]}... ({len(text)} characters)"
    return scrubbed(text).translate(_ESCAPES)
