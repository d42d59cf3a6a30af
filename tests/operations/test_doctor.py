"""The doctor: nothing to say of what is well, every one of several troubles at once, and never a secret."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from engagement import partitions
from engagement.environment import MailServer
from engagement.models import Heartbeat, Organisation
from operations import doctor, wrong_settings
from operations.backups import making, manifest
from operations.backups.place import Folder
from operations.doctor import Finding, inside, machine, outside
from operations.models import Post, Switch
from tests.operations import world
from tests.operations.line import fires
from tests.servers import ROOT

SECRET = "kept-away-from-everybody"


@pytest.fixture
def settled(settings: Settings, tmp_path: Path, transactional_db: None) -> Path:
    """An installation with a folder of its own, a fresh verified backup, and every process at work."""
    settings.VAR, settings.BACKUP_URL, settings.PORT = tmp_path, str(tmp_path / "backups"), _free_port()
    settings.OPERATORS_EMAIL = ["ops@example.com"]
    where, name = Folder(tmp_path / "backups"), manifest.name_of(timezone.now() - timedelta(hours=3))
    for file in (manifest.FILE, manifest.SEEN, manifest.DUMP):
        where.write(f"{name}/{file}", making.source(b"{}"))
    with connection.cursor() as cursor:
        partitions.ensure(cursor.connection)
    world.healthy(timezone.now())
    return tmp_path


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def said(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.name, one.sentence, one.remedy) for one in doctor.wrong(found)]


def text(found: list[Finding]) -> str:
    return "\n".join(f"{one.name} {one.sentence} {one.remedy}" for one in found)


def test_of_an_installation_that_is_well_everything_is_said_to_be_fine(settled: Path) -> None:
    found = doctor.examine()
    assert said(found) == []
    assert {one.name for one in found} >= {"settings", "python", "disk", "files", "port", "database", "clock", "migrations", "partitions", "processes", "inbox"}
    assert {one.name for one in found} >= {"figures", "parked work", "broker", "mail", "slack", "backups"}


def test_three_things_that_are_broken_at_once_are_named_with_what_to_type(settled: Path, acme: Organisation) -> None:
    Heartbeat.objects.filter(process__startswith="stream").update(at=timezone.now() - timedelta(minutes=12))
    [old] = (settled / "backups").glob("20*")
    old.rename(old.with_name(manifest.name_of(timezone.now() - timedelta(days=3))))
    world.aside(acme, "boom", 2)
    assert said(doctor.examine()) == [
        ("process stream", "No stream process works: it has not worked for 12 min.", inside.START),
        ("parked work", "2 requests are set aside, and 0 notices about mail are not applied.", "manage.py work"),
        ("backups", f"1 backups in {settled / 'backups'}; the newest is 3 days 0 h old.", ANY_BACKUP),
    ]


ANY_BACKUP = "manage.py backup --verify; then see why none was made: ### backup-old in RUNBOOK.md."


def test_a_new_installation_has_no_backup_yet_and_an_old_one_without_is_wrong(settled: Path) -> None:
    for path in (settled / "backups").glob("20*/*"):
        path.unlink()
    [found] = list(outside.backups())
    assert found.fine
    assert "made by itself within a day" in found.sentence
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET applied = applied - interval '2 days'")
        try:
            assert [one.remedy for one in outside.backups()] == ["manage.py backup --verify"]
        finally:
            cursor.execute("UPDATE django_migrations SET applied = applied + interval '2 days'")


def test_a_backup_that_nobody_restored_is_wrong_once_it_is_some_days_old(settled: Path) -> None:
    [made] = (settled / "backups").glob("20*")
    (made / manifest.SEEN).unlink()
    [young] = list(outside.backups())
    old = made.with_name(manifest.name_of(timezone.now() - timedelta(days=9)))
    old.mkdir()
    (old / manifest.FILE).write_text("{}")
    [late] = list(outside.backups())
    assert (young.fine, late.fine) == (True, False)
    assert late.remedy == f"manage.py backup --verify {made.name}"


def test_alarms_that_fire_and_actions_that_are_switched_off_are_told(settled: Path) -> None:
    world.alarm("figures-behind", "firing", timezone.now())
    Switch.objects.create(action="partitions-made", mode="off", by="alice")
    assert [name for name, _sentence, _remedy in said(doctor.examine())] == ["alarm figures-behind", "action partitions-made"]


def test_messages_that_slack_does_not_take_are_told_with_why(settled: Path) -> None:
    fires("stream-behind")
    Post.objects.update(problem="invalid_auth")
    [(name, sentence, _remedy)] = said(doctor.examine())
    assert (name, sentence) == ("slack", "1 messages to operators wait, because the first is not taken (invalid_auth).")


def test_a_migration_that_is_missing_is_named_and_nothing_that_stands_on_it_is_asked(settled: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'operations' AND name = '0001_initial'")
    try:
        found = doctor.examine()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('operations', '0001_initial', now())")
    assert ("migrations", "1 migrations are not applied; the first: operations.0001_initial.", "manage.py prepare") in said(found)
    assert not {"inbox", "figures"} & {one.name for one in found}


def test_a_database_that_is_away_is_one_finding_and_the_rest_is_looked_at(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = _free_port()

    def away(**_: Any) -> Any:
        import psycopg

        return psycopg.connect(f"host=127.0.0.1 port={port} user=atrium password={SECRET} dbname=atrium")

    monkeypatch.setattr(inside.database, "connect", away)
    found = doctor.examine()
    [wrong] = [one for one in said(found) if one[0] == "database"]
    assert "does not answer" in wrong[1] or "does not run" in wrong[1]
    assert SECRET not in text(found)
    assert {one.name for one in found} >= {"python", "disk", "backups"}


def test_the_mail_server_is_greeted_and_its_password_told_to_nobody(settled: Path, settings: Settings) -> None:
    heard: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        settings.MAIL_SERVER = MailServer("smtp", "127.0.0.1", listener.getsockname()[1], "acme", SECRET)
        thread = threading.Thread(target=_play_mail, args=(listener, heard))
        thread.start()
        [found] = list(outside.mail())
        thread.join()
    assert found.fine, found
    assert [line.split()[0].upper() for line in heard] == [b"EHLO", b"QUIT"]  # no login, no mail
    settings.MAIL_SERVER = MailServer("smtp+tls", "127.0.0.1", _free_port(), "acme", SECRET)
    [found] = list(outside.mail())
    assert not found.fine
    assert "-starttls smtp" in found.remedy
    assert SECRET not in text([found])


def _play_mail(listener: socket.socket, heard: list[bytes]) -> None:
    session, _peer = listener.accept()
    with session, session.makefile("rwb") as lines:
        for answer in (b"220 here\r\n", b"250 here\r\n", b"221 bye\r\n"):
            lines.write(answer)
            lines.flush()
            line = lines.readline()
            if line:
                heard.append(line)


def test_secrets_that_others_can_read_and_names_that_nothing_reads_are_told(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (settled / "secret_key").write_text(SECRET)
    (settled / "secret_key").chmod(0o644)
    monkeypatch.setenv("ATRIUM_STREAM", "2")
    found = [*machine.files(), *machine.settings_told()]
    assert said(found) == [
        ("files", f"{settled / 'secret_key'} can be read by others on this machine.", f"chmod go= {settled / 'secret_key'}"),
        ("settings", "ATRIUM_STREAM is set, and nothing reads it.", "Mend its name: ATRIUM_STREAMS?"),
    ]
    assert SECRET not in text(found)


@pytest.fixture
def taken(settings: Settings) -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        settings.PORT = listener.getsockname()[1]
        yield settings.PORT


def test_a_port_that_something_else_has_is_told(settled: Path, taken: int, settings: Settings) -> None:
    settings.PORT, settings.EMBEDDED = taken, True
    assert said(list(machine.port())) == [
        ("port", f"Atrium does not run here, and port {taken} of 127.0.0.1 is taken by something else.", "Stop that, or set PORT to another.")
    ]


def test_what_hangs_is_not_waited_for_and_what_fails_is_said_without_its_text(settings: Settings, tmp_path: Path) -> None:
    over = threading.Event()

    def hangs() -> list[Finding]:
        over.wait(30)
        return []

    def fails() -> list[Finding]:
        raise OSError(SECRET)

    try:
        found = doctor.examine({"broker": hangs, "mail": fails}, within_s=0.2)
    finally:
        over.set()
    assert [one.sentence for one in found] == ["There was no answer within 0.2 s.", "This could not be looked at (OSError)."]


# --- The command ----------------------------------------------------------------------------------------------------------


def command(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *arguments], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_the_command_needs_no_database_tells_no_secret_and_its_exit_code_says_whether_all_is_well(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    address = f"postgres://atrium:{SECRET}@127.0.0.1:{_free_port()}/atrium"
    hook = f"https://hooks.slack.com/services/T/B/{SECRET}"
    environment = {**kept, "DATABASE_URL": address, "SECRET_KEY": SECRET, "ATRIUM_VAR": str(tmp_path), "SLACK_WEBHOOK_URL": hook}
    done = command(environment)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("WRONG  database ") and "The database does not answer" in line for line in lines)
    assert any(line.startswith("ok     python ") for line in lines)
    assert lines[-1].endswith("things are wrong.")
    assert "\x1b[" not in done.stdout  # colours are for terminals
    told = json.loads(command(environment, "--json").stdout)
    assert told["fine"] is False
    assert {"name", "fine", "sentence", "remedy"} == set(told["findings"][0])
    assert SECRET not in done.stdout + done.stderr + json.dumps(told)


def test_every_setting_that_is_wrong_is_named_not_only_the_first(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    wrong = {**kept, "ATRIUM_VAR": str(tmp_path), "PORT": "none", "LOG_LEVEL": "loud", "DATABASE_URL": f"mysql://u:{SECRET}@h/n"}
    done = command(wrong)
    assert done.returncode == 1
    assert [line.split()[2] for line in done.stderr.splitlines() if line.startswith("WRONG")] == ["SECRET_KEY", "PORT", "DATABASE_URL", "LOG_LEVEL"]
    assert SECRET not in done.stderr
    assert wrong_settings.settings({**kept, "ATRIUM_VAR": str(tmp_path)}) == []
