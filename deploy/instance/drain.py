#!/usr/bin/env python3
"""Ends a machine's work before Amazon ends the machine: waits until the group says that it is to go, stops its processes, who finish what they hold, and
lets the group go on. Needs nothing but the system's Python and the AWS command; a unit of its own keeps it running.

    drain.py            waits for the group
    drain.py --now      somebody asks for it
"""

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
ASK_EVERY_S = float(os.environ.get("ATRIUM_DRAIN_EVERY_S", "5"))
HEARTBEAT_S = float(os.environ.get("ATRIUM_DRAIN_HEARTBEAT_S", "30"))
TOKEN_S = 300
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


class Metadata:
    """The machine's own data, by tokens (IMDSv2)."""

    def __init__(self) -> None:
        self._token, self._until = "", 0.0

    def get(self, path: str) -> str:
        """Empty where there is nothing of that name, as while a machine is in no group."""
        if time.monotonic() > self._until:
            asked = urllib.request.Request(f"{METADATA}/latest/api/token", method="PUT", headers={TTL: str(TOKEN_S)})  # noqa: S310 (an address of this machine)
            self._token, self._until = self._read(asked), time.monotonic() + TOKEN_S / 2
        asked = urllib.request.Request(f"{METADATA}/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": self._token})  # noqa: S310
        try:
            return self._read(asked)
        except urllib.error.HTTPError as error:
            if error.code == 401:  # the service was started again, and knows our token no more
                self._until = 0.0
                return ""
            if error.code == 404:
                return ""
            raise

    @staticmethod
    def _read(request: urllib.request.Request) -> str:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310 (an address of this machine)
            return str(answer.read(4096).decode()).strip()


def main() -> int:
    metadata = Metadata()
    if sys.argv[1:] == ["--now"]:
        return drain(metadata.get("instance-id"))
    while True:
        try:
            state = metadata.get("autoscaling/target-lifecycle-state")
            if state == "Terminated":
                return drain(metadata.get("instance-id"))
        except OSError as error:  # the service is away for a moment; nothing is stopped on a guess
            say(f"The machine's data cannot be read ({type(error).__name__}).")
        time.sleep(ASK_EVERY_S)


def drain(instance: str) -> int:
    """Stop what works first, then what answers: the load balancer sends it nothing any more."""
    say("This machine is to go. Its processes finish what they hold.")
    over = threading.Event()
    beating = threading.Thread(target=beat, args=[instance, over], daemon=True)
    beating.start()
    units = [f"atrium-{unit}.service" for unit in os.environ["ATRIUM_UNITS"].strip('"').split()]
    stopped = subprocess.run(["systemctl", "stop", *units])
    over.set()
    beating.join()
    told = tell("complete-lifecycle-action", instance, "--lifecycle-action-result", "CONTINUE")
    say("All have stopped; the machine may go." if stopped.returncode == 0 else "Not all have stopped in time; the machine may go all the same.")
    return 0 if told else 1


def beat(instance: str, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT_S):
        tell("record-lifecycle-action-heartbeat", instance)


def tell(action: str, instance: str, *more: str) -> bool:
    """Five tries. Without an answer the group goes on by itself when the hook's time is over."""
    names = ["--auto-scaling-group-name", os.environ["ATRIUM_GROUP"], "--lifecycle-hook-name", os.environ["ATRIUM_HOOK"], "--instance-id", instance]
    for attempt in range(5):
        done = subprocess.run(["aws", "autoscaling", action, "--region", os.environ["AWS_REGION"], *names, *more], capture_output=True, text=True)
        if done.returncode == 0:
            return True
        say(f"{action} was refused (exit {done.returncode}).")
        time.sleep(min(ASK_EVERY_S, 2**attempt))
    return False


def say(sentence: str) -> None:
    print(f"atrium drain: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
