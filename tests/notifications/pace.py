"""Any number of processes that ask one governor and send nothing: when each mail would have left. For the tests, and for `make bench`."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from subprocess import PIPE
from typing import Final

from tests.servers import ROOT

PROGRAM: Final = """
import json, sys, time
from notifications import governor
from notifications.channels.wire import LATE_S
exec(sys.argv[2])
governor.take("marketing", 0)
print("ready", flush=True)
sys.stdin.readline()
begin, left, given_up = time.time(), [], 0
while time.time() < begin + float(sys.argv[1]):
    grant = governor.take("marketing", 2)
    for instant in grant.instants:
        time.sleep(max(0, instant - time.monotonic()))
        if time.monotonic() > instant + LATE_S:
            given_up += 1
        else:
            left.append(time.time())
    if not grant.instants:
        time.sleep(max(0.001, grant.again_at - time.monotonic()))
print(json.dumps([left, given_up]))
"""


def transmissions(url: str, seconds: float, processes: int, rate: int, mutant: str = "") -> tuple[list[float], int]:
    """When each mail would have left, over all processes; and how many instants were given up."""
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DEBUG": "1",
        "ATRIUM_SEND_RATE": str(rate),
        "EMAIL_URL": "",
        "DJANGO_SETTINGS_MODULE": "engagement.settings",
    }
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(seconds), mutant]
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=PIPE, stdout=PIPE)) for _ in range(processes)]
        for process in running:
            stack.callback(process.kill)
        for process in running:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    return sorted(at for left, _ in told for at in left), sum(given_up for _, given_up in told)


def most_in_a_second(instants: list[float]) -> int:
    most = first = 0
    for last, at in enumerate(instants):
        while at - instants[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most
