"""Real input on its way: the product as real processes, and a client whose answers get lost."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest
from django.db.models import Sum

from engagement import provisioning
from engagement.models import IdentityClaim, Inbox, Outcome, SetAside
from engagement.sender import PATH, Sender
from tests.servers import ROOT, Server, running_door, until

DATA: Final = ROOT.parent / "shared" / "data"
DRAINED_WITHIN_S: Final = 600


def needs(folder: Path) -> pytest.MarkDecorator:
    """Skip, saying so, where the data is absent: it is no part of the repository."""
    return pytest.mark.skipif(not folder.is_dir(), reason=f"The data set {folder.name} is not beside the checkout, in ../shared/data.")


@dataclass
class Product:
    """A door and a stream that work on the test's database."""

    door: Server
    stream: "subprocess.Popen[bytes]"
    log: Path  # of the stream

    def provision(self, document: dict[str, Any]) -> dict[str, str]:
        """Tokens of the keys by name."""
        return provisioning.provision(document).keys

    def sender(self, key: str) -> Sender:
        return Sender(url=f"http://127.0.0.1:{self.door.port}", key=key, patience_s=60)

    def lose_the_answer(self, key: str, body: bytes) -> None:
        """Send a request and hang up before the answer: whether it was stored is not known here."""
        with closing(HTTPConnection("127.0.0.1", self.door.port, timeout=10)) as connection:
            connection.request("POST", PATH, body, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})

    def wait_until_drained(self) -> None:
        """The inbox is empty, which commits with the stays, and no device waits for its owner."""
        until(lambda: self.stream.poll() is not None or self._drained(), within_s=DRAINED_WITHIN_S, every_s=0.2)
        assert self._drained(), self.log.read_text()
        assert not SetAside.objects.exists()

    def outcomes(self) -> Counter[str]:
        return Counter({row["outcome"]: row["total"] for row in Outcome.objects.values("outcome").annotate(total=Sum("events"))})

    def _drained(self) -> bool:
        return not Inbox.objects.exists() and not IdentityClaim.objects.exists()


@contextmanager
def running(environment: dict[str, str], folder: Path) -> Iterator[Product]:
    """Both processes, until the end of the block. Their logs are in `folder`."""
    with running_door(environment, folder / "door.log") as door, (folder / "stream.log").open("wb") as log:
        stream = subprocess.Popen([sys.executable, "manage.py", "stream"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Product(door, stream, folder / "stream.log")
        finally:
            stream.terminate()
            stream.wait(timeout=30)
