"""A machine's first minutes and its last: the boot and drain scripts against a false `aws`, a false `systemctl` and false data of the machine."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy import names
from tests.deploy.machine import INSTANCE, Machine, metadata
from tests.servers import until

UNITS: Final = INSTANCE / "units"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "machine")
    yield made
    made.stop()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A release of nothing: the scripts and units of this one, and processes that wait until they are asked to end."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    content = {
        f"instance/{path.relative_to(INSTANCE)}": path.read_bytes() for path in INSTANCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    for name in [name for name in content if name.endswith(".service") and "drain" not in name]:
        lines = content[name].decode().splitlines()
        waits = "/usr/bin/python3 -c 'import time; time.sleep(600)'"
        content[name] = "\n".join(f"ExecStart={waits}" if line.startswith("ExecStart=") else line for line in lines).encode()
    content |= {"requirements.lock": b"", "release.json": b'{"release": "small"}', "wheels/none": b"", "app/manage.py": b""}
    packed(folder, content)
    return folder


def packed(folder: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(folder / "atrium.tar.gz", "w:gz") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if name.startswith("instance/") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    (folder / "atrium.tar.gz.sha256").write_text(f"{hashlib.sha256((folder / 'atrium.tar.gz').read_bytes()).hexdigest()}  atrium.tar.gz\n")


def draining(machine: Machine, address: str, **more: str) -> "subprocess.Popen[str]":
    told = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": address, "ATRIUM_UNITS": "worker sender", "ATRIUM_DRAIN_EVERY_S": "0.05", "ATRIUM_DRAIN_HEARTBEAT_S": "0.05"}
    command = [sys.executable, str(INSTANCE / "drain.py")]
    return subprocess.Popen(command, env=machine.environment(**{**told, **more}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class TestBoot:
    def test_a_machine_of_a_role_runs_that_roles_processes_and_the_drain(self, machine: Machine, small: Path) -> None:
        machine.bring(small)
        done = machine.boot("worker")
        assert done.returncode == 0, done.stderr
        assert [line for line in machine.said("systemctl") if line.startswith("enable")] == [
            f"enable {unit}.service" for unit in ("amazon-cloudwatch-agent", "atrium-worker", "atrium-sender", "atrium-drain")
        ]
        agent = json.loads((machine.root / "opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.json").read_text())
        [lines] = agent["logs"]["logs_collected"]["files"]["collect_list"]
        assert lines["log_group_name"] == names.of(names.LOGS, "test", role="worker")
        environment = dict(line.split("=", 1) for line in (machine.root / "etc/atrium/environment").read_text().splitlines())
        assert set(names.MACHINE_SETTINGS) <= set(environment) and environment["ATRIUM_PARAMETERS"] == names.of(names.PARAMETERS_PATH, "test")
        assert environment["ATRIUM_SECRETS"] == names.of(names.SECRET, "test")
        machine_told = (machine.root / "etc/atrium/machine").read_text()
        assert 'ATRIUM_UNITS="worker sender"' in machine_told and "ATRIUM_GROUP=atrium-test-web" in machine_told

    def test_told_again_it_starts_nothing_twice(self, machine: Machine, small: Path) -> None:
        machine.bring(small)
        assert machine.boot("stream").returncode == 0
        pids = {path.name: path.read_text() for path in machine.home.glob("*.pid")}
        assert machine.boot("stream").returncode == 0 and pids
        assert {path.name: path.read_text() for path in machine.home.glob("*.pid")} == pids

    def test_a_release_that_is_not_what_its_digest_says_is_not_installed(self, machine: Machine, small: Path) -> None:
        whole = (small / "atrium.tar.gz").read_bytes()
        (small / "atrium.tar.gz").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        machine.bring(small)
        done = machine.boot("worker")
        assert done.returncode and "not what its digest says" in done.stderr
        assert not list((machine.root / "opt/atrium/releases").iterdir()) and not machine.said("systemctl")

    def test_killed_while_it_installs_it_installs_again(self, machine: Machine, small: Path) -> None:
        machine.bring(small)
        assert machine.boot("worker").returncode == 0
        [release] = (machine.root / "opt/atrium/releases").iterdir()
        (release / "whole").unlink()
        shutil.rmtree(release / "venv")
        assert machine.boot("worker").returncode == 0 and (release / "whole").exists() and (release / "venv").exists()

    def test_a_migration_uses_the_new_release_and_leaves_the_running_one_alone(self, machine: Machine, small: Path, tmp_path: Path) -> None:
        machine.bring(small)
        assert machine.boot("worker").returncode == 0
        running, known = (machine.root / "opt/atrium/current").resolve(), len(machine.said("systemctl"))
        newer = tmp_path / "newer"
        shutil.copytree(small, newer)
        with tarfile.open(newer / "atrium.tar.gz") as archive:
            content = {entry.name: archive.extractfile(entry).read() for entry in archive.getmembers()}  # type: ignore[union-attr]
        content["instance/migrate"] = b'#!/bin/sh\necho "migrates with $1"\n'
        packed(newer, content)
        machine.bring(newer, "two")
        done = machine.boot("migrate", ATRIUM_RELEASE_AT="s3://artifacts/releases/two", ATRIUM_GROUP="", ATRIUM_ENVIRONMENT="")
        assert done.returncode == 0, done.stderr
        assert "migrates with" in done.stdout and str(running) not in done.stdout
        assert (machine.root / "opt/atrium/current").resolve() == running and len(machine.said("systemctl")) == known

    @pytest.mark.parametrize(
        ("role", "more", "said"),
        [
            ("cook", {}, "There is no role cook"),
            ("worker", {"ATRIUM_RELEASE_AT": "s3://artifacts/releases/none"}, "cannot be fetched"),
            ("worker", {"ATRIUM_GROUP": ""}, "ATRIUM_GROUP"),
            ("worker", {"ATRIUM_CERTIFICATES_AT": "file:///none"}, "certificates"),
        ],
    )
    def test_what_is_wrong_is_said_and_nothing_is_started(self, machine: Machine, small: Path, role: str, more: dict[str, str], said: str) -> None:
        machine.bring(small)
        done = machine.boot(role, **more)
        assert done.returncode and said in done.stderr and not machine.said("systemctl")


class TestDrain:
    def test_work_stops_first_and_then_the_group_goes_on(self, machine: Machine, small: Path) -> None:
        machine.bring(small)
        assert machine.boot("worker").returncode == 0
        machine.states = ["404", "InService", "500", "forgetful", "InService", "Terminated"]
        with metadata(machine) as address:
            process = draining(machine, address)
            said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert machine.said("systemctl")[-1] == "stop atrium-worker.service atrium-sender.service" and not list(machine.home.glob("atrium-[ws]*.pid"))
        actions = [line for line in machine.said("aws") if line.startswith("autoscaling")]
        assert actions[-1] == (
            "autoscaling complete-lifecycle-action --region eu-west-1 --auto-scaling-group-name atrium-test-web --lifecycle-hook-name drain"
            " --instance-id i-0123456789abcdef0 --lifecycle-action-result CONTINUE"
        )
        assert sum("complete" in line for line in actions) == 1

    def test_while_work_goes_on_the_group_hears_of_it(self, machine: Machine, small: Path) -> None:
        slow = machine.home / "commands" / "systemctl"
        slow.write_text(f"#!/bin/sh\nuntil [ -e {machine.home}/over ]; do sleep 0.02; done\n")
        machine.states = ["Terminated"]
        with metadata(machine) as address:
            process = draining(machine, address)
            until(lambda: sum("record-lifecycle-action-heartbeat" in line for line in machine.said("aws")) >= 3, within_s=20)
            assert not any("complete" in line for line in machine.said("aws"))
            (machine.home / "over").touch()
            assert process.wait(20) == 0
        assert "complete-lifecycle-action" in machine.said("aws")[-1]
        assert process.stdout and process.stdout.read()
        process.stdout.close()

    def test_an_answer_that_does_not_come_is_asked_for_again(self, machine: Machine) -> None:
        (machine.home / "refuse").write_text("2")
        machine.states = ["Terminated"]
        with metadata(machine) as address:
            process = draining(machine, address, ATRIUM_DRAIN_HEARTBEAT_S="60")
            said, _ = process.communicate(timeout=30)
        assert process.returncode == 0 and said.count("was refused") == 2
        assert sum("complete" in line for line in machine.said("aws")) == 3

    def test_somebody_may_ask_for_it(self, machine: Machine) -> None:
        machine.states = ["InService"]
        told = {"ATRIUM_UNITS": '"worker sender"'}  # as the machine's file has it, where nothing takes the quotes away
        with metadata(machine) as address:
            environment = machine.environment(AWS_EC2_METADATA_SERVICE_ENDPOINT=address, **told)
            done = subprocess.run([sys.executable, str(INSTANCE / "drain.py"), "--now"], env=environment, capture_output=True)
        assert done.returncode == 0 and machine.said("systemctl") == ["stop atrium-worker.service atrium-sender.service"]

    def test_while_the_machine_is_to_stay_nothing_is_stopped(self, machine: Machine) -> None:
        machine.states = ["500", "404", "forgetful", "InService"]
        with metadata(machine) as address:
            process = draining(machine, address)
            until(lambda: machine.states == ["InService"], within_s=20)
            process.terminate()
            process.communicate(timeout=20)
        assert not machine.said("systemctl") and not machine.said("aws")


def test_scripts_are_what_a_shell_takes() -> None:
    for name in ("boot.sh", "migrate"):
        assert subprocess.run(["sh", "-n", str(INSTANCE / name)], capture_output=True).returncode == 0
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", *(str(INSTANCE / name) for name in ("boot.sh", "migrate"))], check=True)


def test_every_role_has_its_units_and_every_unit_a_role() -> None:
    there = {path.name.removeprefix("atrium-").removesuffix(".service") for path in UNITS.iterdir()}
    assert there == {process for role in names.ROLES for process in role.processes} | {"drain"}
    boot = (INSTANCE / "boot.sh").read_text()
    for role in names.ROLES:
        assert f'    {role.name}) units="{" ".join(role.processes)}" port=' in boot
        assert role.port is None or f'{role.name}) units="{role.name}" port=${{ATRIUM_PORT:-{role.port}}}' in boot


def test_units_are_what_systemd_takes(tmp_path: Path) -> None:
    """Where systemd is there; what its units start is not, on this machine."""
    analyze = shutil.which("systemd-analyze")
    for path in UNITS.iterdir():
        text = path.read_text()
        assert "TimeoutStopSec=" in text or "drain" in path.name
        assert "NoNewPrivileges=true" in text and "ProtectSystem=strict" in text
        assert f"StandardOutput=append:/var/log/atrium/{path.name.removeprefix('atrium-').removesuffix('.service')}.log" in text  # where the agent looks
        if analyze:
            here = tmp_path / path.name
            here.write_text(text.replace("/opt/atrium/current/venv/bin/python", sys.executable))
            done = subprocess.run([analyze, "verify", str(here)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
