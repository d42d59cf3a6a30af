"""A crew of workers on a stage: they do what a script says, one after another, or all at once in threads."""

import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from analytics.models import Recut
from analytics.recount import recount
from analytics.stream import claim, links, loop
from analytics.stream import work as stream
from analytics.stream.atlas import Atlas
from engagement.models import IdentityClaim, Inbox, PlacesChange
from tests.analytics import stage
from tests.analytics.stage import Request
from tests.reference import Event, Places, distinct
from tests.worlds import World

Connection = psycopg.Connection[tuple[Any, ...]]
ALL: Final = claim.all_shards()


@dataclass(frozen=True)
class Deliver:
    request: Request


@dataclass(frozen=True)
class Work:
    worker: int
    shards: tuple[int, ...]


@dataclass(frozen=True)
class Housekeep:
    """Settle whose a device is, and make history again where places have changed."""

    worker: int


Script = list[Deliver | Work | Housekeep]


class Theatre:
    """A world on its stage, and a crew of workers."""

    def __init__(self, world: World, crew: list[Connection], *, places: Places | None = None) -> None:
        self.world = world
        self.stage = stage.build(places or world.places)
        self.crew = [(session, Atlas()) for session in crew]

    def play(self, script: Script) -> None:
        """Without threads: each does what it is told, one after another."""
        for act in script:
            match act:
                case Deliver(request):
                    self.stage.accept(request)
                case Work(worker, shards):
                    stream.work(*self.crew[worker], list(shards))
                case Housekeep(worker):
                    self.housekeep(worker)

    def housekeep(self, worker: int) -> int:
        connection, atlas = self.crew[worker]
        settled = links.settle(connection, atlas)
        links.ask_for_recuts(connection)
        return settled + links.recut(connection, atlas)

    def drain(self) -> None:
        """Until nothing is left to do."""
        for _ in range(100):
            if not stream.work(*self.crew[0], ALL) + self.housekeep(0):
                break
        assert not self.left()

    def perform(self, requests: list[Request]) -> None:
        """With a thread for each of the crew, while the requests come in. An error of a worker fails the test."""
        done, errors = threading.Event(), []

        def run(number: int) -> None:
            worker = loop.Worker(number, len(self.crew), self.crew[number][0], self.crew[number][1])
            try:
                while not done.is_set():
                    worker.turn()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(self.crew))]
        for thread in threads:
            thread.start()
        try:
            for request in requests:
                self.stage.accept(request)
            deadline = time.monotonic() + 30
            while self.left() and not errors and time.monotonic() < deadline:
                time.sleep(0.002)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert not errors, errors
        assert not self.left(), self.left()

    @staticmethod
    def left() -> list[Any]:
        """What is still to be done."""
        return [*Inbox.objects.all(), *IdentityClaim.objects.all(), *PlacesChange.objects.all(), *Recut.objects.filter(finished_at=None)]

    def lies(self) -> list[Event]:
        """Repeats with another content than what came first."""
        first = set(distinct(self.world.events))
        return [event for event in self.world.events if event not in first]

    def agrees(self) -> None:
        """The stays are those of the definitions, and the product says so itself."""
        made, expected = self.stage.stays(), self.world.stays()
        assert made == expected, f"surplus {sorted(set(made) - set(expected))}, missing {sorted(set(expected) - set(made))}"
        differences = recount().examples
        assert not differences, differences
