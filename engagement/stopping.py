"""How a loop of ours hears that it shall end: by SIGTERM from its supervisor, or by Ctrl-C."""

import signal
from collections.abc import Callable


def asked() -> Callable[[], bool]:
    """Whether this process was asked to stop since; for its main thread, once."""
    heard = False

    def note(*_: object) -> None:
        nonlocal heard
        heard = True

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    return lambda: heard
