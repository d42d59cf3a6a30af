"""Ends what a supervisor has started, should it be killed itself. A program of its own, with nothing but the standard library.

Its input says `+PID SIGNAL` for each process group that was started and `-PID` for each that has ended. The end of the input is
the end of the supervisor. Works wherever there are pipes, and reaches the children of children too.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_S = 10.0


def main() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        pid, _, number = line[1:].partition(" ")
        if line[0] == "+":
            groups[int(pid)] = int(number)
        else:
            groups.pop(int(pid), None)
    end(groups)


def end(groups: dict[int, int]) -> None:
    """Ask each as it wants to be asked, wait, then insist."""
    for pid, number in groups.items():
        with contextlib.suppress(OSError):
            os.kill(pid, number)
    deadline = time.monotonic() + GRACE_S
    while any(map(lives, groups)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in groups:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
