"""The embedded PostgreSQL: real servers, of the machine where it has one and of the package."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psycopg
import pytest

from engagement import embedded, postgres
from engagement.embedded import Cluster, Unusable

SMALL: Final = {"shared_buffers": "16MB", "max_connections": "20"}
ROOT: Final = Path(__file__).resolve().parents[2]


def choices() -> list[str]:
    """The package's server is always there; the machine's where it has one."""
    try:
        postgres.find("system")
    except Unusable:
        return ["package"]
    return ["package", "system"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A private folder, closed to the account that a server of root runs under: as a clone in mktemp -d, or in /root."""
    made = Path(tempfile.mkdtemp())
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module", params=choices())
def made_once(request: pytest.FixtureRequest, folder: Path) -> Cluster:
    return Cluster(folder / request.param, choice=request.param, settings=SMALL)


@pytest.fixture
def cluster(made_once: Cluster) -> Iterator[Cluster]:
    """Running, with an empty database; a test may leave it in any state."""
    made_once.start()
    run(made_once, "DROP TABLE IF EXISTS kept")
    yield made_once
    made_once.stop()


def rows(cluster: Cluster, question: str, role: str = "atrium") -> list[tuple[object, ...]]:
    with psycopg.connect(cluster.address(role=role), autocommit=True) as connection:
        return connection.execute(question.encode()).fetchall()


def run(cluster: Cluster, command: str) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(command.encode())


def test_it_is_durable_and_listens_to_this_machine_alone(cluster: Cluster) -> None:
    shown = {name: rows(cluster, f"SHOW {name}")[0][0] for name in ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses")}
    assert shown == {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "127.0.0.1"}
    assert rows(cluster, "SHOW unix_socket_directories", role="postgres") == [("",)]


def test_it_asks_for_a_password_and_keeps_it_from_others(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgres://atrium@127.0.0.1:{cluster.port}/atrium", passfile="/dev/null")
    for path in (*cluster.folder.glob("password.*"), cluster.url_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert rows(cluster, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user") == [(False, True)]


def test_letters_of_all_languages_have_capitals(cluster: Cluster) -> None:
    assert rows(cluster, "SELECT lower('É'), upper('ß' || 'ü') LIKE '%Ü'") == [("é", True)]


def test_it_comes_back_from_a_crash_with_everything_committed_and_the_same_port(cluster: Cluster) -> None:
    port = cluster.port
    run(cluster, "CREATE TABLE kept AS SELECT 1 AS one")
    cluster.stop(mode="immediate")
    cluster.start()
    assert cluster.port == port
    assert rows(cluster, "SELECT one FROM kept") == [(1,)]


def test_it_comes_back_from_kill_9_of_everything_that_belongs_to_it(cluster: Cluster) -> None:
    run(cluster, "CREATE TABLE kept AS SELECT 1 AS one")
    busy = psycopg.connect(cluster.url, autocommit=True)
    assert cluster.process
    cluster.process.kill()
    cluster.stop()
    cluster.start()
    assert rows(cluster, "SELECT one FROM kept") == [(1,)]
    busy.close()


def test_sessions_that_end_by_themselves_meanwhile_are_no_obstacle(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that looked was told of them, and found nobody when it came to end them."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    seen = iter([[ended.pid], []])
    monkeypatch.setattr(embedded, "_processes_in", lambda _: next(seen))
    cluster.stop()
    cluster.start()
    assert rows(cluster, "SELECT 1") == [(1,)]


def test_a_number_that_belongs_to_another_program_by_now_is_no_obstacle(cluster: Cluster) -> None:
    """After a crash of the machine the kept process number may be anybody's; PostgreSQL would refuse to start for ever."""
    assert cluster.process
    pid_file = cluster.data / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    cluster.process.kill()
    cluster.stop()
    owner = cluster.data.stat()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    cluster.start()
    assert rows(cluster, "SELECT 1") == [(1,)]


def test_a_server_left_by_a_killed_run_is_ended_and_not_doubled(cluster: Cluster) -> None:
    left = cluster.process
    assert left
    cluster.process = None
    cluster.release()
    with ThreadPoolExecutor() as beside:
        ended = beside.submit(left.wait, 30)
        cluster.start()
        assert ended.result() == 0
    assert rows(cluster, "SELECT 1") == [(1,)]


def test_the_server_ends_with_the_run_that_started_it(folder: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("Only Linux tells a child that its parent has ended; elsewhere the watchdog and the next start see to it.")
    code = f"""
import time
from pathlib import Path
from engagement.embedded import Cluster
cluster = Cluster(Path({str(folder / "child")!r}), settings={{**{SMALL!r}, "fsync": "off"}})
cluster.start()
print(cluster.process.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        server = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    embedded._wait_for_end(server, 10)
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_a_second_run_on_the_same_folder_is_refused_in_a_sentence(cluster: Cluster) -> None:
    with pytest.raises(Unusable, match=r"in use by another run.*ATRIUM_VAR"):
        Cluster(cluster.folder).start()
    assert rows(cluster, "SELECT 1") == [(1,)]


def test_another_port_is_taken_where_somebody_has_the_kept_one(cluster: Cluster) -> None:
    port = cluster.port
    cluster.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        cluster.start()
        assert cluster.port != port
        assert str(cluster.port) in cluster.url_file.read_text()


def test_data_of_another_version_is_refused_in_a_sentence(cluster: Cluster) -> None:
    cluster.stop()
    said = cluster.data / "PG_VERSION"
    before = said.read_text()
    said.write_text("12\n")
    with pytest.raises(Unusable, match=r"made by PostgreSQL 12.*ATRIUM_POSTGRES"):
        cluster.start()
    assert said.read_text() == "12\n"
    said.write_text(before)


def test_a_start_that_was_interrupted_leaves_nothing_in_the_way(folder: Path) -> None:
    half = folder / "interrupted" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("?")
    cluster = Cluster(folder / "interrupted", settings={**SMALL, "fsync": "off"})
    cluster.start()
    cluster.stop()
    assert not half.exists()


def test_private_folders_stay_private(cluster: Cluster, folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_wrong_setting_of_the_server_is_told_with_its_own_words(folder: Path) -> None:
    cluster = Cluster(folder / "wrong", settings={**SMALL, "fsync": "off", "shared_buffers": "none"})
    with pytest.raises(Unusable, match=r"did not start.*shared_buffers"):
        cluster.start()


@pytest.mark.parametrize(("choice", "words"), [("system", "ATRIUM_POSTGRES to package"), ("package", "ATRIUM_POSTGRES to system"), ("auto", "DATABASE_URL")])
def test_a_machine_without_a_server_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, choice: str, words: str) -> None:
    monkeypatch.setattr(postgres, "_PLACES", ())
    monkeypatch.setattr(postgres, "PACKAGE", "there_is_no_such_package")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unusable, match=words):
        postgres.find(choice)


def test_a_server_that_is_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.4'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(postgres, "_PLACES", (f"{tmp_path}",))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert postgres.find("auto").origin == "package"


def test_a_server_installed_later_does_not_come_between_a_person_and_their_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(postgres, "_PLACES", (f"{tmp_path}",))
    made_by = postgres.find("package").major
    assert postgres.find("auto").major == 99
    assert postgres.find("auto", major=made_by).major == made_by
