"""A client that keeps each request until it has a 202, whatever happens to the door, and sends some again for no reason."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Final

from tests.faults.crowd import Identity, Request
from tests.faults.ground import Town

TIMEOUT_S: Final = 15.0
LONGEST_WAIT_S: Final = 0.3  # the door asks for longer; an impatient client is the harder test
NO_ANSWER: Final = 0


@dataclass
class Ledger:
    """What clients were told, all together. `statuses` counts answers; 0 is a request without one."""

    acknowledged: set[Identity] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    sendings: int = 0
    accepted_at: list[tuple[float, float]] = field(default_factory=list)  # (when, seconds it took) of each 202
    odd: list[str] = field(default_factory=list)  # refusals that say nothing of when to come again
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, request: Request, status: int, *, took: float, again: str | None, rejected: set[int]) -> None:
        with self.lock:
            self.statuses[status] += 1
            if status == 202:
                good = tuple(event for index, event in enumerate(request.events) if index not in rejected)
                self.acknowledged |= Request(request.device, good, None, request.organisation).identities
                self.accepted_at.append((time.monotonic(), took))
            elif status in (429, 503) and not again:
                self.odd.append(f"{status} without Retry-After")


class Client(threading.Thread):
    """Sends its requests one after another. `resend`: how often one that is acknowledged is sent again."""

    def __init__(self, town: Town, port: int, requests: Iterable[Request], ledger: Ledger, *, seed: int = 0, resend: float = 0.0, pause_s: float = 0.0) -> None:
        super().__init__(name="client", daemon=True)
        self._town, self._port, self._requests, self._ledger = town, port, requests, ledger
        self._chance, self._resend, self._pause_s = random.Random(seed), resend, pause_s
        self._connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self.stopping = threading.Event()  # finish what is under way, and end
        self.given_up: Request | None = None

    def run(self) -> None:
        for request in self._requests:
            if self.stopping.is_set() or not self.insist(request):
                break
            if self._chance.random() < self._resend:
                self.insist(request)
            self.stopping.wait(self._pause_s)
        self.close()

    def close(self) -> None:
        self._connection.close()

    def insist(self, request: Request, *, within_s: float = 60.0) -> bool:
        """Until it is acknowledged; False where it never was."""
        deadline = time.monotonic() + within_s
        while (status := self.send(request)) != 202:
            assert status in (NO_ANSWER, 429, 503), f"The door said {status}."
            if time.monotonic() > deadline:
                self.given_up = request
                return False
            time.sleep(self._chance.uniform(0.05, LONGEST_WAIT_S))
        return True

    def send(self, request: Request) -> int:
        """The status of one try; NO_ANSWER where the connection broke."""
        self._ledger.sendings += 1
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {self._town.key(request.organisation)}", "Content-Type": "application/json"}
        again: str | None = None
        rejected: set[int] = set()
        try:
            self._connection.request("POST", "/v1/events", request.body, headers)
            response = self._connection.getresponse()
            status, again, content = response.status, response.getheader("Retry-After"), response.read()
            if status == 202:
                rejected = {item["index"] for item in json.loads(content)["rejected"]}
        except (OSError, HTTPException):
            self._connection.close()
            status = NO_ANSWER
        self._ledger.note(request, status, took=time.monotonic() - began, again=again, rejected=rejected)
        return status


def post_all(town: Town, port: int, requests: Iterable[Request]) -> Ledger:
    """Everything, in order, each until it is acknowledged."""
    ledger = Ledger()
    client = Client(town, port, requests, ledger)
    client.run()
    assert client.given_up is None
    return ledger
