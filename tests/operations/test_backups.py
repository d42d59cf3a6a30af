"""Which backups are kept, where they lie, when one is made, and what of the ledger is kept: without a server that is taken down."""

import io
import stat
import subprocess
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from moto import mock_aws
from pytest_django.fixtures import Settings

from engagement import shoppers
from engagement.environment import place as place_setting
from engagement.models import Organisation
from operations.backups import daily, ledger, making, manifest, place
from operations.backups.ledger import Erased, Head, Said
from operations.backups.place import Bucket, Folder
from operations.backups.rotation import ALL_OF, DAYS, MONTHS, WEEKS, Made, doomed, kept
from operations.backups.trouble import Broken, Trouble
from tests.notifications import people

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)


def made(ages: list[float], verified: Collection[int] = ()) -> list[Made]:
    """Backups so many days old."""
    return [Made(f"b{number}", NOW - timedelta(days=age), number in verified) for number, age in enumerate(ages)]


AGES = st.lists(st.floats(0, 800), min_size=1, max_size=40, unique=True)


# --- Rotation -------------------------------------------------------------------------------------------------------------


def test_a_year_of_daily_backups_keeps_seven_days_four_weeks_and_twelve_months() -> None:
    backups = made([float(age) for age in range(400)])
    stay = [one.at for one in backups if one.name in kept(backups)]
    days = sorted((NOW - at).days for at in stay)
    assert days[:DAYS] == list(range(DAYS))
    assert len(stay) <= DAYS + WEEKS + MONTHS
    assert len({(at.year, at.month) for at in stay}) == MONTHS
    assert len({at.isocalendar()[:2] for at in stay}) >= WEEKS


@given(AGES)
def test_the_newest_stays_and_nothing_goes_that_is_not_stood_for(ages: list[float]) -> None:
    backups = made(ages)
    stay = kept(backups)
    newest = max(backups, key=lambda one: one.at)
    assert newest.name in stay
    assert all(one.name in stay for one in backups if newest.at - one.at <= ALL_OF)
    assert set(doomed(backups)) == {one.name for one in backups} - stay
    for gone in (one for one in backups if one.name not in stay):
        months = {(one.at.year, one.at.month) for one in backups if one.at > gone.at}
        assert len(months) >= MONTHS or any(one.at > gone.at and (one.at.year, one.at.month) == (gone.at.year, gone.at.month) for one in backups)


@given(AGES, st.data())
def test_the_last_one_that_is_known_to_be_good_stays(ages: list[float], data: st.DataObject) -> None:
    good = data.draw(st.integers(0, len(ages) - 1))
    assert f"b{good}" in kept(made(ages, {good}))


@hypothesis_settings(max_examples=40)
@given(AGES)
def test_rotated_after_each_one_there_is_what_would_be_kept_of_all(ages: list[float]) -> None:
    backups = sorted(made(ages), key=lambda one: one.at)
    there: list[Made] = []
    for one in backups:
        there.append(one)
        gone = doomed(there)
        there = [left for left in there if left.name not in gone]
    assert {one.name for one in there} == kept(backups)


# --- Places ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        found = place.of("s3://acme-backups/atrium/main")
        assert isinstance(found, Bucket)
        found._storage.connection.create_bucket(Bucket="acme-backups", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield found


class Cut:
    """Gives a part, and then the program behind it fails."""

    def __init__(self) -> None:
        self.given = False

    def read(self, size: int = -1, /) -> bytes:
        if self.given:
            raise Trouble("pg_dump failed: cut")
        self.given = True
        return b"half"


def what_a_place_does(where: Any, tmp_path: Path) -> None:
    assert where.files() == []
    assert where.read("2026-11-21T030000Z/manifest.json") is None
    content = bytes(range(256)) * 5000
    where.write("2026-11-21T030000Z/database.dump", io.BytesIO(content))
    assert making.names(where) == []  # without a manifest it is no backup
    where.write("2026-11-21T030000Z/manifest.json", making.source(b"{}"))
    where.write("not ours/manifest.json", making.source(b"{}"))
    assert making.names(where) == ["2026-11-21T030000Z"]
    assert where.fetch("2026-11-21T030000Z/database.dump", tmp_path).read_bytes() == content
    with pytest.raises(Trouble, match="cut"):
        where.write("2026-11-22T030000Z/database.dump", Cut())
    assert not [path for path in where.files() if path.startswith("2026-11-22")]
    making.remove("2026-11-21T030000Z", where)
    assert where.files() == ["not ours/manifest.json"]
    with pytest.raises(Broken):
        making.read("2026-11-21T030000Z", where)


def test_a_folder_keeps_whole_files_for_its_owner_alone(tmp_path: Path) -> None:
    where = Folder(tmp_path / "backups")
    (tmp_path / "scratch").mkdir()
    what_a_place_does(where, tmp_path / "scratch")
    where.write("2026-11-21T030000Z/database.dump", io.BytesIO(b"x"))
    assert stat.S_IMODE((tmp_path / "backups/2026-11-21T030000Z/database.dump").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "backups").stat().st_mode) == 0o700


def test_a_bucket_keeps_whole_objects_under_its_prefix(bucket: Bucket, tmp_path: Path) -> None:
    what_a_place_does(bucket, tmp_path)
    bucket.write("a/b", io.BytesIO(b"x"))
    assert [one.key for one in bucket._bucket.objects.filter(Prefix="atrium/main/a")] == ["atrium/main/a/b"]


def test_a_bucket_that_is_not_there_is_told_without_keys(bucket: Bucket) -> None:
    with pytest.raises(Trouble, match="NoSuchBucket") as told:
        place.of("s3://no-such-bucket-here/x").files()
    assert "testing" not in str(told.value)


@pytest.mark.parametrize("value", ["backups", "s3://", "s3://Bad_Bucket", "ftp://host/x", "s3://bucket/x?key=1"])
def test_a_place_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BACKUP_URL", value)
    with pytest.raises(Exception, match=r"BACKUP_URL begins with .*Give a folder's whole path, or s3://bucket/prefix"):
        place_setting("BACKUP_URL", "")


# --- A backup a day -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "hour", "first", "wanted"),
    [(24, 12, False, True), (22, 12, False, False), (22, 3, False, True), (13, 3, False, False), (19, 3, True, False), (21, 12, True, True)],
)
def test_one_is_made_each_night_or_at_the_latest_after_a_day(hours: int, hour: int, first: bool, wanted: bool) -> None:
    now = NOW.replace(hour=hour)
    assert daily.is_due(now, now - timedelta(hours=hours), first=first) is wanted


@pytest.mark.django_db
def test_it_is_made_by_a_process_of_its_own_and_a_failure_is_said_at_the_next_look(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.BACKUP_URL = str(tmp_path)
    assert daily.due(timezone.now()) is None  # the installation is new
    where = Folder(tmp_path)
    where.write(f"{manifest.name_of(timezone.now() - timedelta(days=2))}/{manifest.FILE}", making.source(b"{}"))
    assert daily.due(timezone.now()) == "The newest backup is 2 days 0 h old."
    monkeypatch.setattr(daily, "COMMAND", ("false",))
    assert "being made" in daily.begin()
    process: subprocess.Popen[bytes] = daily._begun[0]
    process.wait(10)
    assert daily.due(timezone.now()) == "The newest backup is 2 days 0 h old. The last attempt failed; the log says why."
    settings.BACKUP_URL = ""
    assert daily.due(timezone.now()) is None


# --- The ledger -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_ledger_tells_what_is_new_once_and_a_look_without_news_writes_nothing(acme: Organisation, tmp_path: Path) -> None:
    where = Folder(tmp_path)
    first, second = people.shoppers(acme, 2)
    people.withdraw(first)
    assert ledger.keep(where) == 1
    assert ledger.keep(where) == 0
    assert len(where.files()) == 1
    people.withdraw(second)
    people.suppress(acme, "s1@acme.example.com")
    assert ledger.keep(where) == 2
    assert ledger.keep(where, now=timezone.now() + timedelta(hours=2)) == 0
    assert len(where.files()) == 3  # a head, so that the next look is short
    lines = [line for line in ledger.read(where) if not isinstance(line, Head)]
    assert [(type(line).__name__, getattr(line, "who", None)) for line in lines] == [("Said", "s0"), ("Said", "s1"), ("Stopped", ["s1"])]
    assert all(stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600 for path in where.files())


@pytest.mark.django_db
def test_days_that_are_over_become_one_file_without_whoever_was_erased(acme: Organisation, tmp_path: Path) -> None:
    where = Folder(tmp_path)
    head = Head(NOW, "here", 7)
    gone, stays = (Said(acme.pk, "acme", name, "email", "marketing", False, NOW, "", "", "") for name in ("gone", "stays"))
    erased = Erased(acme.pk, "acme", 1, shoppers.digest(acme.pk, "s", "gone").hex(), NOW)
    ledger._write(where, "20261101T000000000000Z", [head, stays])
    ledger._write(where, "20261120T000000000000Z", [head, gone, stays])
    ledger._write(where, "20261120T010000000000Z", [head, stays, erased])
    ledger._write(where, "20261121T010000000000Z", [head])
    where.write(f"{manifest.name_of(NOW - timedelta(days=5))}/{manifest.FILE}", making.source(b"{}"))
    ledger.tidy(where, now=NOW)
    assert [path for path in where.files() if path.startswith("ledger")] == ["ledger/20261120.jsonl", "ledger/20261121T010000000000Z.jsonl"]
    assert list(ledger.read(where)) == [head, stays, erased, head]
    ledger.tidy(where, now=NOW)
    assert list(ledger.read(where)) == [head, stays, erased, head]


def test_a_ledger_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    where = Folder(tmp_path)
    where.write("ledger/20261120.jsonl", making.source(b'{"type":"said"}\n'))
    with pytest.raises(Broken, match="cannot be read"):
        list(ledger.read(where))
