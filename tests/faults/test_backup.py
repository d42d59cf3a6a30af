"""Backups of the demonstration, brought back: the figures are the same, whoever was erased or unsubscribed since stays so, and no kill leaves a half."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import numpy as np
import psycopg
import pytest
from django.conf import settings
from django.utils import timezone

from engagement import demonstration, shoppers
from engagement.feeder import history
from engagement.models import ApiKey, Brand, Channel, Organisation, Shopper
from engagement.sender import Sender
from engagement.simulation.people import Population
from engagement.simulation.traces import Day
from notifications import campaigns, wishes
from notifications.models import Message, Preference, Run
from operations.backups import databases, holding, ledger, making, manifest, place, replaying, restoring, verifying
from operations.backups.trouble import Broken, Busy, Refused, Trouble
from operations.models import Post
from tests.faults.ground import Town
from tests.faults.processes import Product, running
from tests.notifications import people
from tests.servers import ROOT

TRACES: Final = 120  # of a day of the demonstration's mall: some thousand events
TOLD: Final = 20  # shoppers whom a campaign was writing to when the backup was made
POINTS: Final = ("restore.created", "restore.loaded", "restore.before_swap", "restore.swapped")
BEFORE_THE_MANIFEST: Final = "backup.dumped"
AFTER_THE_MANIFEST: Final = ("backup.made", "backup.scratch")


def feed(product: Product, population: Population, key: str, port: int) -> None:
    day = datetime.now(UTC).date() - timedelta(days=1)
    arrivals = history(list(islice(Day(population, day).traces(), TRACES)), np.random.default_rng(1))
    with Sender(url=f"http://127.0.0.1:{port}", key=key) as sender:
        for _at, parcel in arrivals:
            sender.put(parcel.body())
        sender.drain()
    assert sender.tally.accepted > 1000
    product.drain()


def manage(product: Product, *arguments: str, **more: str) -> Any:
    """A command, with the key that this process erases under too."""
    settled = {"ATRIUM_VAR": str(product.folder / "var"), "BACKUP_URL": str(product.folder / "backups"), "SECRET_KEY": settings.SECRET_KEY}
    environment = product.town.environment(**{**settled, **more})
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def said(product: Product, *arguments: str, **more: str) -> str:
    done = manage(product, *arguments, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def state_of(town: Town, name: str) -> list[tuple[Any, ...]]:
    return town.rows(
        "SELECT t.given FROM engagement_consentstate t JOIN engagement_shopper s ON s.id = t.shopper_id WHERE s.external_id = %s AND t.purpose = 'marketing'",
        [name],
    )


class Mall:
    """The demonstration's organisation with a day behind it, and a campaign that was writing when the backup was made."""

    def __init__(self, product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demonstration.settings, "VAR", product.folder)
        kept = demonstration.prepare()
        self.product, self.town = product, product.town
        door, stream, figures = product.door(), product.stream(), product.figures()
        with running(stream, figures, door):
            feed(product, demonstration.population(kept), kept.keys[demonstration.HISTORY], door.port)
            product.figure_out()
        self.organisation = Organisation.objects.get(key=demonstration.ORGANISATION)
        self.told = people.shoppers(self.organisation, TOLD)
        [self.later] = people.shoppers(self.organisation, 1, prefix="later")
        self.campaign = people.campaign(self.organisation)
        campaigns.send(self.campaign, by="emma")
        self.run = Run.objects.get(campaign=self.campaign)
        now, variant = timezone.now(), self.campaign.variants.get()
        Message.objects.bulk_create(
            Message(
                organisation=self.organisation, campaign=self.campaign, run=self.run, shopper_id=shopper, variant=variant,
                state="planned", send_after=now, updated_at=now,
            )
            for shopper in self.told
        )  # fmt: skip
        self.take(self.told[0], "claimed")
        Run.objects.filter(pk=self.run.pk).update(audience_count=TOLD, planned_at=now)
        Post.objects.create(kind="done", notice={"title": "old"})
        self.visitor = Shopper.objects.filter(organisation=self.organisation, external_id__isnull=False, owned_devices__isnull=False).first()
        assert self.visitor is not None

    def take(self, shopper: int, *states: str) -> None:
        for state in states:
            Message.objects.filter(shopper_id=shopper).update(
                state=state, claim="00000000-0000-0000-0000-000000000001", claimed_at=timezone.now(), sent_at=timezone.now() if state == "sent" else None
            )

    def live_on(self) -> None:
        """What happened after the backup: erased, unsubscribed, wished, somebody new who wants no mail; and half the campaign left."""
        assert self.visitor is not None
        shoppers.ask_to_erase(organisation=self.organisation, shopper=self.visitor, by="alice")
        replaying.finish_erasures()
        whose = wishes.whose(0, self.told[1])
        assert whose
        wishes.unsubscribe(whose, timezone.now())
        brand = Brand.objects.filter(organisation=self.organisation).first()
        Preference.objects.create(organisation=self.organisation, shopper_id=self.told[2], channel=Channel.EMAIL, brand=brand, wished=False, at=timezone.now())
        [late] = people.shoppers(self.organisation, 1, prefix="late")
        gone = wishes.whose(0, late)
        assert gone
        wishes.unsubscribe(gone, timezone.now())
        shoppers.ask_to_erase(organisation=self.organisation, shopper=Shopper.objects.get(pk=self.told[3]), by="alice")  # and nobody did it yet
        for shopper in self.told[4:10]:
            self.take(shopper, "claimed", "sent")
        # Somebody whom the campaign's planning had not reached yet got his mail too.
        first = Message.objects.get(shopper_id=self.told[4])
        first.pk, first.shopper_id = None, self.later
        first.save(force_insert=True)
        ApiKey.objects.filter(organisation=self.organisation, name=demonstration.WATCH).update(revoked_at=timezone.now())

    def check_who_is_who(self) -> None:
        """Whatever was lost, these hold."""
        assert self.visitor is not None
        names = {name for (name,) in self.town.rows("SELECT external_id FROM engagement_shopper WHERE external_id IS NOT NULL")}
        assert self.visitor.external_id not in names
        assert "s3" not in names
        assert not self.town.value("SELECT count(*) FROM engagement_event WHERE shopper_id = %s", [self.visitor.pk])
        assert not self.town.value("SELECT count(*) FROM engagement_erasure WHERE finished_at IS NULL")
        assert state_of(self.town, "s1") == [(False,)]
        assert state_of(self.town, "late0") == [(False,)]
        assert state_of(self.town, "s2") == [(True,)]
        assert self.town.rows("SELECT wished FROM notifications_preference") == [(False,)]
        assert self.town.rows("SELECT why FROM notifications_suppression WHERE split_part(address, '@', 1) = 's1'") == [("unsubscribe",)]
        assert self.town.value("SELECT state FROM notifications_campaign WHERE key = 'spring'") == "paused"
        assert self.town.value("SELECT delivery FROM operations_post") == "not needed"

    def states(self) -> dict[str, int]:
        return dict(self.town.rows("SELECT state, count(*) FROM notifications_message GROUP BY state"))


def test_the_demonstration_comes_back_as_it_was_and_whoever_was_erased_or_unsubscribed_since_stays_so(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    mall, town, backups = Mall(product, monkeypatch), product.town, product.folder / "backups"
    assert "is whole" in said(product, "backup", "--verify")
    [name] = making.names(place.of(str(backups)))
    before = town.rows("SELECT shopper_id, zone_id, started, ended FROM analytics_stay ORDER BY id")
    mall.live_on()
    ledger.keep(place.of(str(backups)))
    assert mall.visitor is not None
    assert mall.visitor.external_id not in "".join(path.read_text() for path in (backups / "ledger").iterdir())  # only digests of him
    last = town.value("SELECT max(id) FROM engagement_shopper")
    refused = manage(product, "restore", "--yes")  # this process is in the database
    assert refused.returncode == 1
    assert "Others work in this database" in refused.stderr
    databases.connections["default"].close()

    # Somebody made a mistake, and the database still answers. It alone is asked what people wanted.
    (backups / "ledger").rename(product.folder / "hidden")
    assert "are on record" in said(product, "restore", name, "--yes")
    mall.check_who_is_who()
    assert mall.states() == {"planned": TOLD - 8, "sent": 7, "unknown": 1, "skipped": 1}  # nobody is told again of what left
    assert town.value("SELECT count(*) FROM engagement_apikey WHERE revoked_at IS NOT NULL") == 1
    assert town.value("SELECT count(*) FROM django_session") == 0
    assert town.value("SELECT count(*) FROM operations_backup") == 1
    assert "What left since is marked" in town.value("SELECT pause_reason FROM notifications_campaign")
    assert town.value("SELECT nextval('engagement_shopper_id_seq')") > last
    assert town.value("SELECT result FROM operations_action WHERE action = 'backup-restored'") == "done"
    [kept] = [left for left in named(town) if "_before_" in left]
    assert kept in said(product, "restore", "--drop-old")

    # The disk with the database is gone: nothing is left but the backup and the ledger beside it.
    (product.folder / "hidden").rename(backups / "ledger")
    town.ground.admin(f"DROP DATABASE {town.name} WITH (FORCE)")
    town.ground.admin(f"CREATE DATABASE {town.name} OWNER atrium")
    told = said(product, "restore", "--yes")
    assert "taken from the ledger beside the backups" in told
    assert f"The backup {name} is in use" in told
    mall.check_who_is_who()
    assert "Nobody knows what left since" in town.value("SELECT pause_reason FROM notifications_campaign")
    assert mall.states() == {"planned": TOLD - 2, "unknown": 1, "skipped": 1}
    assert town.value("SELECT nextval('engagement_shopper_id_seq')") > last + holding.GAP - TOLD
    his = {row for row in before if row[0] == mall.visitor.pk}
    assert set(town.rows("SELECT shopper_id, zone_id, started, ended FROM analytics_stay")) == set(before) - his
    said(product, "figures", "--once")
    assert " 0 differences" in said(product, "recount")


def named(town: Town) -> list[str]:
    return sorted(row[0] for row in town.ground.admin(f"SELECT datname FROM pg_database WHERE datname LIKE '{town.name}\\_%'"))


def test_killed_at_any_point_the_database_in_use_is_whole_and_the_next_run_ends_it(product: Product) -> None:
    town, where = product.town, place.of(str(product.folder / "backups"))
    databases.connections["default"].close()
    assert manage(product, "backup", FAULT=f"{BEFORE_THE_MANIFEST}:kill").returncode == -signal.SIGKILL
    assert making.names(where) == []
    for point in AFTER_THE_MANIFEST:
        assert manage(product, "backup", "--verify", FAULT=f"{point}:kill").returncode == -signal.SIGKILL
    [first, second] = making.names(where)
    assert [name for name in named(town) if "_scratch_" in name]
    said(product, "backup", "--verify", first)
    assert not named(town)
    town.rows("INSERT INTO operations_reading (name, at, value) VALUES ('here', now(), 1)")
    for point in POINTS:
        assert manage(product, "restore", second, "--yes", FAULT=f"{point}:kill").returncode == -signal.SIGKILL
        alive = town.value("SELECT count(*) FROM operations_reading")
        assert alive == (0 if point == "restore.swapped" else 1), point
        assert town.value("SELECT count(*) FROM engagement_organisation") == 2
    with psycopg.connect(town.url, autocommit=True) as somebody:
        assert "cuts it off" in manage(product, "restore", "--yes").stderr
        said(product, "restore", "--yes", "--while-running")
        with pytest.raises(psycopg.OperationalError):
            somebody.execute("SELECT 1")
    assert not [name for name in named(town) if "_restoring_" in name]
    assert len([name for name in named(town) if "_before_" in name]) == 2


@pytest.fixture(autouse=True)
def no_databases_left(product: Product) -> Any:
    yield
    databases.connections["default"].close()
    for name in named(product.town):
        product.town.ground.admin(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_backup_of_another_key_or_of_a_later_atrium_is_not_brought_back_unasked(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    where = place.of(str(product.folder / "backups"))
    made = making.make(where=where)
    with monkeypatch.context() as other:
        other.setattr(manifest, "fingerprint", lambda: "another")
        intended = restoring.plan(None, where=where)
        assert "WARNING" in intended.sentences()[-1]
        with pytest.raises(Refused, match="another SECRET_KEY"):
            restoring.restore(intended)
    [path] = (product.folder / "backups").glob("*/manifest.json")
    path.write_text(path.read_text().replace('"operations.0001_initial"', '"operations.9999_of_a_later_one"'))
    with pytest.raises(Trouble, match=r"later Atrium .*9999_of_a_later_one"):
        restoring.plan(made.name, where=where)
    assert not named(product.town)


def test_what_differs_from_its_manifest_is_not_whole(product: Product) -> None:
    where, town = place.of(str(product.folder / "backups")), product.town
    made = making.make(where=where)
    town.rows("DELETE FROM operations_backup")  # made after the snapshot
    verifying.check(made, town.name)
    town.rows("INSERT INTO operations_reading (name, at, value) VALUES ('here', now(), 1)")
    with pytest.raises(Broken, match=r"1 tables; public\.operations_reading has 1 rows, not 0"):
        verifying.check(made, town.name)
    dump = product.folder / "backups" / made.name / "database.dump"
    dump.write_bytes(dump.read_bytes()[:-1] + b"?")
    with pytest.raises(Broken, match="SHA-256"), verifying.fetched(made, where):
        pass
    dump.write_bytes(dump.read_bytes()[:-1])
    with pytest.raises(Broken, match="another length"), verifying.fetched(made, where):
        pass
    with pytest.raises(Broken, match="There is no backup"):
        making.read("2026-01-01T000000Z", where)


def test_of_two_at_once_one_is_told_so(product: Product) -> None:
    with databases.alone(), pytest.raises(Busy), databases.alone():
        pass
