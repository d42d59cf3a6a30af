"""What the processes stand on: connections, disk, backups, the replica, certificates. Each alarm is caused by its real cause."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server, socket

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement import disk
from engagement.embedded import Cluster
from engagement.models import Heartbeat
from operations import backups, evaluation, readings
from operations.alarms import DECLARED, machine
from operations.models import Reading
from tests.conftest import database_url
from tests.operations.conftest import Scheduler, told
from tests.operations.fake_slack import FakeSlack

Only = Callable[[str], None]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    monkeypatch.setattr(readings, "_tried", {})
    return lambda name: monkeypatch.setattr(evaluation, "ALARMS", (DECLARED[name],))


class Minutes(Scheduler):
    """Also takes the readings of each minute, as the watch does."""

    def evaluate(self) -> None:
        readings.take(self.now + timedelta(seconds=30))
        super().evaluate()


def fired_and_over(name: str) -> list[tuple[str, str, str]]:
    return [(name, "fired", "sent"), (name, "over", "sent")]


def test_connections_that_run_out_fire_until_they_are_given_back(
    db: None, slack: FakeSlack, scheduler: Scheduler, only: Only, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("database-connections")
    small = Cluster(tmp_path / "pg", settings={"max_connections": "20", "fsync": "off"})  # three of them for its administrator
    small.start()
    try:
        with closing(psycopg.connect(small.url, autocommit=True)) as asked, ExitStack() as taken:
            monkeypatch.setattr(machine, "connection", asked)
            scheduler.run(minutes=3)
            assert told() == []
            for _one in range(13):
                taken.enter_context(closing(psycopg.connect(small.url)))
            scheduler.run(minutes=2)
            assert "82 %" in slack.messages[0]["text"]
            taken.close()
            scheduler.run(minutes=4)
    finally:
        small.stop()
    assert told() == fired_and_over("database-connections")


def test_a_disk_with_little_room_fires_until_it_has_more(db: None, slack: FakeSlack, scheduler: Scheduler, only: Only, settings: Settings) -> None:
    only("disk-nearly-full")
    with connection.cursor() as cursor:
        cursor.execute(disk.SIZES)
        [(used,)] = cursor.fetchall()
    settings.EMBEDDED, settings.DISK_RESERVE_MB = False, 100
    settings.DISK_BYTES = 0
    scheduler.run(minutes=3)
    assert told() == []  # nobody knows how large it is
    settings.DISK_BYTES = used + 400 * 1024**2
    scheduler.run(minutes=3)
    assert slack.titles == ["🔴 The database's disk is nearly full"]
    assert " times " in slack.messages[0]["text"]
    settings.DISK_BYTES = used + 900 * 1024**2
    scheduler.run(minutes=4)
    assert told() == fired_and_over("disk-nearly-full")


def test_a_backup_that_grows_old_fires_until_the_next_and_one_that_never_was_too(
    db: None, slack: FakeSlack, only: Only, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("backup-old")
    minutes = Minutes()
    newest = [minutes.now]
    monkeypatch.setattr(backups, "latest", lambda: newest[0])
    minutes.now += timedelta(hours=50)
    minutes.run(minutes=3)
    assert told() == []  # nobody said that some are to be made here
    settings.BACKUP_URL = "/var/backups/atrium"
    minutes.run(minutes=1)
    assert slack.titles == ["🟠 The last backup is old"] and "2 d" in slack.messages[0]["text"]
    newest[0] = minutes.now
    minutes.run(minutes=13)
    assert told() == fired_and_over("backup-old")
    newest[0] = None
    connection.cursor().execute("UPDATE django_migrations SET applied = %s", [minutes.now - timedelta(days=3)])
    minutes.now += timedelta(hours=3)
    minutes.run(minutes=1)
    assert [kind for _name, kind, _how in told()] == ["fired", "over", "fired"]


def test_a_place_of_backups_that_does_not_answer_fires_too(db: None, slack: FakeSlack, only: Only, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise ConnectionError("https://key:secret@bucket.example")

    only("backup-old")
    settings.BACKUP_URL = "s3://bucket/prefix"
    monkeypatch.setattr(backups, "latest", away)
    Minutes().run(minutes=4)
    assert "cannot be read (Unreadable)" in slack.messages[0]["text"] and "secret" not in str(slack.messages)


@pytest.mark.django_db(transaction=True)
def test_a_replica_that_does_not_follow_fires_until_it_does(slack: FakeSlack, only: Only, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    only("replica-behind")
    minutes = Minutes()
    Heartbeat.objects.create(process="watch@here", host="here", at=minutes.now)
    settings.REPORTS_DATABASE = "replica"
    with closing(psycopg.connect(database_url(), autocommit=True)) as copy:
        monkeypatch.setattr(readings, "connections", {"default": connection, "replica": copy})
        # A copy that nobody brings up to date, on that connection alone.
        copy.execute("CREATE TEMPORARY TABLE engagement_heartbeat AS SELECT * FROM engagement_heartbeat")
        Heartbeat.objects.update(at=minutes.now + timedelta(seconds=40))
        minutes.run(minutes=3)
        assert told() == []
        Heartbeat.objects.update(at=minutes.now + timedelta(minutes=5))
        minutes.run(minutes=3)
        assert slack.titles == ["🟠 The replica is behind"]
        copy.execute("UPDATE engagement_heartbeat SET at = h.at FROM public.engagement_heartbeat h")
        minutes.run(minutes=4)
        assert told() == fired_and_over("replica-behind")
        copy.close()
        minutes.run(minutes=10)
    assert slack.titles[2:] == ["🟠 The replica is behind"] and "cannot be read" in slack.messages[2]["text"]  # and it is gone


# --- Certificates -----------------------------------------------------------------------------------------------------------


def certificate(folder: Path, days: float) -> Path:
    """One that ends in so many days, with its key behind it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "atrium.example")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + secret)
    return path


class Shop:
    """Shows its certificate to whoever comes, and says nothing else."""

    def __init__(self, listening: socket, path: Path) -> None:
        self.listening, self.path = listening, path
        self.place = f"127.0.0.1:{listening.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                client, _address = self.listening.accept()
            except OSError:
                return
            with client:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.path)
                try:
                    context.wrap_socket(client, server_side=True).close()
                except OSError:
                    continue


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with create_server(("127.0.0.1", 0)) as listening:
        made = Shop(listening, certificate(tmp_path, days=20))
        try:
            yield made
        finally:
            with create_server(("127.0.0.1", 0)):
                listening.shutdown(2)
            listening.close()
            made.thread.join(10)


def test_a_certificate_near_its_end_fires_until_another_is_shown(
    db: None, slack: FakeSlack, only: Only, settings: Settings, shop: Shop, tmp_path: Path
) -> None:
    only("certificate-near-its-end")
    minutes = Minutes()
    minutes.run(minutes=3)
    assert told() == []  # none is to be watched
    settings.CERTIFICATES = [shop.place]
    minutes.run(minutes=4)
    assert slack.titles == ["🔴 A certificate is near its end"]
    assert "good for only 20 days more" in slack.messages[0]["text"] and shop.place in slack.messages[0]["text"]
    certificate(tmp_path, days=89)
    minutes.run(minutes=10)
    assert len(slack.titles) == 1  # it is asked for once an hour
    minutes.now += timedelta(hours=1)
    minutes.run(minutes=4)
    assert told() == fired_and_over("certificate-near-its-end")
    assert Reading.objects.filter(name=readings.certificate_name(shop.place)).count() == 2


def test_a_certificate_in_a_file_an_ended_one_and_one_that_is_not_there(db: None, slack: FakeSlack, only: Only, settings: Settings, tmp_path: Path) -> None:
    only("certificate-near-its-end")
    assert 30 < readings.days_left(str(certificate(tmp_path, days=31)), timezone.now()) < 31
    assert -4 < readings.days_left(str(certificate(tmp_path, days=-3)), timezone.now()) < -2
    settings.CERTIFICATES = [str(tmp_path / "none.pem")]
    Minutes().run(minutes=4)
    assert "cannot be read" in slack.messages[0]["text"]
