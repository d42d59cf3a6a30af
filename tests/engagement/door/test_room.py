"""Room on the disk: the door refuses before the database would, and takes requests again by itself."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from engagement import disk
from engagement.door import room
from engagement.door.room import NoRoom, Room
from engagement.models import Organisation, Refusal
from tests.engagement.door.bodies import request, rows, sighting
from tests.servers import running_door, until
from tests.small_disk import fill, mounted

GB = 1024**3


@pytest.mark.parametrize(
    ("total", "reserve"), [(GB // 2, 64 * 1024**2), (10 * GB, round(0.03 * 10 * GB)), (1000 * GB, 2 * GB)], ids=["small", "usual", "large"]
)
def test_the_reserve_is_a_share_of_the_volume_within_bounds(total: int, reserve: int) -> None:
    assert disk.Disk(0, total).reserve == reserve
    assert [disk.Disk(free, total).is_full for free in (reserve - 1, reserve)] == [True, False]
    assert [disk.Disk(free, total).is_nearly_full for free in (3 * reserve - 1, 3 * reserve)] == [True, False]


def test_whoever_says_a_reserve_gets_it(settings: Settings) -> None:
    settings.DISK_RESERVE_MB = 7
    assert disk.Disk(0, 1000 * GB).reserve == 7 * 1024**2


def test_where_nobody_knows_nothing_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.EMBEDDED, settings.DISK_BYTES = False, 0
    assert disk.free() is None
    settings.EMBEDDED, settings.VAR = True, tmp_path / "not there"
    assert disk.free() is None
    (tmp_path / "not there" / "pg").mkdir(parents=True)
    found = disk.free()
    assert found is not None
    assert 0 < found.free_bytes < found.total_bytes


def test_it_takes_again_when_there_is_a_little_more_than_the_reserve() -> None:
    link: Any = None
    made, total = Room(link), 10 * GB
    reserve = disk.Disk(0, total).reserve
    told = []
    for free in (reserve, reserve - 1, reserve, round(reserve * 1.05), round(reserve * 1.11), reserve):
        made._take(disk.Disk(free, total))
        told.append(refuses(made))
    made._take(None)
    assert told == [False, True, True, True, False, False]


def refuses(made: Room) -> bool:
    try:
        made.check()
    except NoRoom:
        return True
    return False


def test_a_database_elsewhere_is_asked_for_its_size(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Link:
        async def run(self, _: Any) -> disk.Disk:
            return disk.told(995 * 1024**2)

    monkeypatch.setattr(room, "ASK_S", 60)
    settings.EMBEDDED, settings.DISK_BYTES = False, 1000 * 1024**2

    async def once() -> Room:
        link: Any = Link()
        made = Room(link)
        work = asyncio.create_task(made.run())
        await asyncio.sleep(0.01)
        work.cancel()
        return made

    assert refuses(asyncio.run(once()))


@pytest.mark.usefixtures("transactional_db")
def test_a_real_disk_that_fills_is_refused_in_time_and_nothing_is_lost(
    door_environment: dict[str, str], tmp_path: Path, acme: Organisation, acme_keys: dict[str, str]
) -> None:
    """The folder of the embedded database is a volume of its own here, and the database itself is elsewhere, so that it is not hurt."""
    own = {name: value for name, value in door_environment.items() if name != "DATABASE_URL"} | {"ATRIUM_VAR": str(tmp_path / "var")}
    with mounted(tmp_path / "var" / "pg", 32) as volume:
        (tmp_path / "var" / "pg.url").write_text(door_environment["DATABASE_URL"])
        with running_door(own, tmp_path / "log", ATRIUM_DISK_RESERVE_MB="8") as door:
            batch = request(sighting())
            assert door.post(acme_keys["publishable"], batch).status == 202
            fill(volume / "ballast")
            until(lambda: door.post(acme_keys["publishable"], batch).status == 503)
            stored = len(rows(acme))
            answer = door.post(acme_keys["publishable"], b"x" * 300_000)  # refused before it is read, or it would be 413
            assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "disk_nearly_full", "60")
            assert len(rows(acme)) == stored
            until(lambda: Refusal.objects.filter(organisation=acme.pk, reason="disk_nearly_full").exists())
            (volume / "ballast").unlink()
            until(lambda: door.post(acme_keys["publishable"], batch).status == 202)
