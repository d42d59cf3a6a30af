"""Every check of the graph of resources, on every environment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from deploy import environments
from deploy.checks import held, network, running, telling
from deploy.checks.world import World

Check = Callable[[World], Iterator[str]]
CHECKS: Final[tuple[Check, ...]] = (*network.CHECKS, *held.CHECKS, *running.CHECKS, *telling.CHECKS)


def worlds(folder: Path) -> list[World]:
    return [World.read(environment, folder) for environment in environments.ALL]


def faults(folder: Path) -> Iterator[str]:
    for world in worlds(folder):
        for check in CHECKS:
            yield from (f"{world.environment.name}: {check.__name__}: {fault}" for fault in check(world))
