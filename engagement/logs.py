"""What a log line looks like: a level where it matters, who says it, and what. Pure."""

import logging
from typing import Final

_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\t"}


class Line(logging.Formatter):
    """One entry is one line, whatever somebody wrote into a name; only a traceback takes more."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the library's name)
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{level}{record.name}: {record.message.translate(_ESCAPES)}"
