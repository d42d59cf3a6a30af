"""A release as machines get it: built, installed from nothing but itself, started by its own units beside a PostgreSQL and AWS as moto plays it over HTTP.
An event becomes a stay, a campaign's mail leaves by SES; then a second release is started beside it, and the first drained while requests go on.
"""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from engagement.embedded import Cluster
from tests.deploy.machine import INSTANCE, Machine, metadata
from tests.servers import ROOT, free_port, until

REGION: Final = "eu-west-1"
KEYS: Final = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": REGION}
AWS: Final = "from moto.server import main; import sys; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


@pytest.fixture(scope="module")
def artifact() -> Path:
    done = subprocess.run([sys.executable, "deploy/artifact.py", "--release", "one"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ROOT / "var" / "artifact"


@contextmanager
def cloud(folder: Path) -> Iterator[str]:
    """AWS over HTTP on this machine. Its address."""
    port = free_port()
    with (
        (folder / "aws-server.log").open("ab") as log,
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", AWS, str(port)], stdout=log, stderr=log) as process,
    ):
        try:
            until(lambda: _answers(port, "/moto-api/"), within_s=60, every_s=0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _answers(port: int, path: str) -> bool:
    try:
        return ask(port, "GET", path)[0] == 200
    except (OSError, HTTPException):
        return False


def ask(port: int, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
    finally:
        connection.close()


class Installation:
    """Machines of one release: their ports, and what they share."""

    def __init__(self, folder: Path, artifact: Path, aws: str) -> None:
        self.machine = Machine(folder)
        self.machine.bring(artifact)
        self.web, self.door = free_port(), free_port()
        self.more = {**KEYS, "AWS_ENDPOINT_URL": aws, "ATRIUM_PYTHON": sys.executable}

    def boot(self, *roles: str) -> None:
        for role in roles:
            done = self.machine.boot(role, **self.more, ATRIUM_PORT=str(self.web if role == "web" else self.door))
            logs = "".join(path.read_text()[-2000:] for path in self.machine.home.glob("*.service.log"))
            assert done.returncode == 0, f"{done.stdout}{done.stderr}{logs}"

    def run(self, *words: str) -> str:
        """A command of the release, on its machine."""
        root = self.machine.root
        told = dict(line.split("=", 1) for line in (root / "etc/atrium/environment").read_text().splitlines())
        done = subprocess.run(
            list(words), cwd=root / "opt/atrium/current/app", env={**self.machine.environment(**self.more), **told}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def manage(self, *words: str) -> str:
        return self.run(str(self.machine.root / "opt/atrium/current/venv/bin/python"), "-W", "ignore", "manage.py", *words)


def settle_aws(address: str, database: str, port: int) -> None:
    """What the stacks would have made: parameters, a secret, queues, an identity that may send."""
    client: Callable[[str], Any] = lambda name: boto3.client(  # noqa: E731
        name, region_name=REGION, endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="secret"
    )
    queues = {name: client("sqs").create_queue(QueueName=f"atrium-test-{name}")["QueueUrl"] for name in ("atrium", "sending")}
    told = {
        "DATABASE_URL": database,
        "BROKER_URL": "sqs://",
        "BROKER_QUEUES": ",".join(f"{name}={url}" for name, url in queues.items()),
        "EMAIL_URL": "ses://",
        "ATRIUM_URL": f"http://127.0.0.1:{port}",
        "LOG_FORMAT": "json",
        "METRICS": "emf",
    }
    for name, value in told.items():
        client("ssm").put_parameter(Name=f"/atrium/test/{name}", Value=value, Type="String")
    client("secretsmanager").create_secret(Name="atrium-test-settings", SecretString=json.dumps({"SECRET_KEY": "of-a-trial-" * 4}))
    client("sesv2").create_email_identity(EmailIdentity="acme.example")


def sent_by_ses(address: str) -> float:
    ses = boto3.client("ses", region_name=REGION, endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="secret")
    return float(ses.get_send_quota()["SentLast24Hours"])


def speak(door: int, web: int, keys: dict[str, str]) -> None:
    """An event that makes a stay, and a campaign to whoever it was."""
    now = datetime.now(UTC)
    sightings = [
        {"id": str(uuid.uuid4()), "type": "sighting", "at": (now - timedelta(minutes=9 - minute)).isoformat(), "beacon": BEACON, "rssi": -60}
        for minute in range(8)
    ]
    status, said = ask(door, "POST", "/v1/events", {"device": {"id": "phone"}, "shopper": {"id": "crm-1"}, "events": sightings}, keys["app"])
    assert (status, said["accepted"]) == (202, 8)
    until(lambda: ask(web, "GET", "/api/v1/stays?zone=north", key=keys["ops"])[1]["results"], within_s=30, every_s=0.2)
    consent = {"channel": "email", "purpose": "marketing", "given": True, "at": now.isoformat(), "source": "checkout", "wording": "v1"}
    shopper = {"id": "crm-1", "email": "ann@shoppers.example", "attributes": {}, "consents": [consent]}
    assert ask(web, "POST", "/api/v1/shoppers", {"shoppers": [shopper]}, keys["ops"])[0] == 200
    rule = {"visited": {"zone": "north", "within_days": 1}}
    assert ask(web, "POST", "/api/v1/audiences", {"key": "came", "name": "Came", "rule": rule}, keys["ops"])[0] == 201
    variant = {"name": "a", "weight": 1, "subject": "Hello", "html": "<p>Hello</p>", "text": None}
    told = {"key": "hello", "name": "Hello", "brand": None, "audience": "came", "channel": "email", "from": "News <news@acme.example>", "variants": [variant]}
    status, said = ask(web, "POST", "/api/v1/campaigns", {**told, "holdout": 0, "send_at": None, "quiet_hours": None, "frequency_cap": None}, keys["ops"])
    assert status == 201, said
    assert ask(web, "POST", "/api/v1/campaigns/hello/send", {}, keys["ops"])[0] == 200
    until(lambda: ask(web, "GET", "/api/v1/campaigns/hello", key=keys["ops"])[1]["counts"].get("sent") == 1, within_s=60, every_s=0.3)


PACE_S: Final = 0.1  # between two requests of a caller: the machine has to start a second release beside them
BEACON: Final = {"mac": "c4:be:84:00:00:01"}


class Balancer:
    """Requests to whichever machines are in service, one after the other, for as long as it goes on; whatever is no answer counts as failed."""

    def __init__(self, keys: dict[str, str], first: Installation) -> None:
        self.keys, self.targets = keys, [first]
        self.answered, self.failed = 0, list[str]()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._go, args=[number]) for number in range(4)]

    def _go(self, number: int) -> None:
        while not self._over.wait(PACE_S):
            targets = self.targets
            target = targets[self.answered % len(targets)]
            try:
                if number % 2:
                    status, _ = ask(target.web, "GET", "/api/v1/status", key=self.keys["ops"])
                else:
                    event = {"id": str(uuid.uuid4()), "type": "sighting", "at": datetime.now(UTC).isoformat(), "beacon": BEACON, "rssi": -60}
                    status, _ = ask(target.door, "POST", "/v1/events", {"device": {"id": f"d{number}"}, "events": [event]}, self.keys["app"])
                if status not in (200, 202):
                    self.failed.append(str(status))
            except (OSError, HTTPException) as error:
                self.failed.append(repr(error))
            self.answered += 1

    def __enter__(self) -> "Balancer":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def more(self, number: int) -> None:
        until(lambda so_far=self.answered: self.answered >= so_far + number, within_s=60)


def test_a_release_installs_from_itself_works_and_gives_way_to_the_next_without_a_failed_request(artifact: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        cluster = Cluster(tmp_path / "pg")
        cluster.start()
        stack.callback(cluster.stop)
        aws = stack.enter_context(cloud(tmp_path))
        one, two = Installation(tmp_path / "one", artifact, aws), Installation(tmp_path / "two", artifact, aws)
        stack.callback(one.machine.stop)
        stack.callback(two.machine.stop)
        settle_aws(aws, cluster.url, one.web)
        one.boot("web")  # lives before the first migration, so that its machine is not replaced meanwhile
        assert ask(one.web, "GET", "/healthz/ready")[0] == 503
        one.run(str(INSTANCE / "migrate"))
        one.boot("door", "stream", "worker", "scheduler")
        document = tmp_path / "acme.json"
        document.write_text(json.dumps(PLACE))
        keys = json.loads(one.manage("provision", str(document)))["keys"]
        speak(one.door, one.web, keys)
        assert sent_by_ses(aws) == 2  # one mail: moto counts whom it goes to, and whom its head names
        with Balancer(keys, one) as balancer:
            balancer.more(40)
            two.boot("web", "door", "stream", "worker")
            balancer.targets = [one, two]
            balancer.more(40)
            balancer.targets = [two]  # a load balancer sends nothing more to who is being drained
            drained = drain(one)
            balancer.more(40)
        assert drained == 0 and not balancer.failed and balancer.answered >= 120, balancer.failed[:5]
        assert {path.name for path in one.machine.home.glob("*.pid")} == {"atrium-scheduler.service.pid", "atrium-watch.service.pid"}  # of another machine
        assert any("complete-lifecycle-action" in line for line in one.machine.said("aws"))
        accepted = ask(two.web, "GET", "/api/v1/status", key=keys["ops"])
        assert accepted[0] == 200


def drain(one: Installation) -> int:
    """The group wants the machine back."""
    one.machine.states = ["Terminated"]
    with metadata(one.machine) as address:
        told = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": address, "ATRIUM_UNITS": "worker sender stream figures web door", "ATRIUM_DRAIN_EVERY_S": "0.2"}
        return subprocess.run([sys.executable, str(INSTANCE / "drain.py")], env=one.machine.environment(**told), capture_output=True).returncode


PLACE: Final = {
    "organisation": {"key": "acme", "name": "Acme Malls"},
    "venues": [{"key": "north", "name": "North Mall", "time_zone": "UTC", "boundary": None, "min_stay_s": 60}],
    "beacons": [{"key": "b1", "zone": "north", "mac": BEACON["mac"]}],
    "keys": [{"name": "app", "kind": "publishable"}, {"name": "ops", "kind": "secret"}],
}


def test_two_builds_of_one_commit_are_the_same(artifact: Path) -> None:
    before = (artifact / "atrium.tar.gz.sha256").read_text()
    subprocess.run([sys.executable, "deploy/artifact.py", "--release", "one"], cwd=ROOT, capture_output=True, check=True)
    assert (artifact / "atrium.tar.gz.sha256").read_text() == before
    assert json.loads((artifact / "release.json").read_text())["release"] == "one"


def test_what_is_no_name_of_a_release_is_refused() -> None:
    done = subprocess.run([sys.executable, "deploy/artifact.py", "--release", "../one"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and "no name of a release" in done.stderr
