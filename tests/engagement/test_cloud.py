"""On AWS: settings that are kept there, a database reached by the machine's role, files of a release in a bucket. AWS is played by moto."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import boto3
import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper as Plain
from moto import mock_aws
from pytest_django.fixtures import Settings

from engagement import celery, cloud, database, environment
from engagement.door.link import Link
from engagement.iam import tokens
from engagement.iam.base import DatabaseWrapper

ROOT: Final = Path(__file__).resolve().parents[2]
REGION: Final = "eu-west-1"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    for name in ("ATRIUM_PARAMETERS", "ATRIUM_SECRETS"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the environment is at the end, put back afterwards."""
    before = dict(os.environ)
    yield os.environ  # type: ignore[misc]
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


class TestSettings:
    def test_parameters_and_secrets_are_settings_and_the_environment_wins(self, aws: None, kept: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        store = boto3.client("ssm")
        for number in range(25):  # more than a page
            store.put_parameter(Name=f"/atrium/prod/PLAIN_{number}", Value=str(number), Type="String")
        store.put_parameter(Name="/atrium/prod/SLACK_CHANNEL", Value="C1", Type="SecureString")
        store.put_parameter(Name="/atrium/prod/PORT", Value="9000", Type="String")
        store.put_parameter(Name="/atrium/qa/PLAIN_1", Value="another environment's", Type="String")
        boto3.client("secretsmanager").create_secret(Name="atrium/prod", SecretString=json.dumps({"SECRET_KEY_OF_A_TEST": "s" * 30}))
        monkeypatch.setenv("ATRIUM_PARAMETERS", "/atrium/prod")
        monkeypatch.setenv("ATRIUM_SECRETS", "atrium/prod")
        monkeypatch.setenv("PORT", "8001")
        cloud.load()
        assert (kept["PLAIN_1"], kept["PLAIN_24"], kept["SLACK_CHANNEL"], kept["SECRET_KEY_OF_A_TEST"], kept["PORT"]) == ("1", "24", "C1", "s" * 30, "8001")

    def test_without_either_nobody_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ATRIUM_PARAMETERS", raising=False)
        monkeypatch.delenv("ATRIUM_SECRETS", raising=False)
        monkeypatch.setattr(boto3, "client", lambda *_, **__: pytest.fail("AWS was asked."))
        cloud.load()

    @pytest.mark.parametrize(
        ("setting", "value", "said"),
        [
            ("ATRIUM_PARAMETERS", "atrium/prod", "Give a path of the parameter store"),
            ("ATRIUM_PARAMETERS", "/atrium/none", "there is nothing under it"),
            ("ATRIUM_PARAMETERS", "/atrium/odd", "which is no name of a setting"),
            ("ATRIUM_SECRETS", "atrium/none", "AWS did not answer (ResourceNotFoundException)"),
            ("ATRIUM_SECRETS", "atrium/text", "no JSON object of texts"),
            ("ATRIUM_SECRETS", "atrium/list", "no JSON object of texts"),
            ("ATRIUM_SECRETS", "atrium/numbers", "no JSON object of texts"),
        ],
    )
    def test_half_a_configuration_stops_the_start_and_shows_no_secret(
        self, aws: None, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
    ) -> None:
        boto3.client("ssm").put_parameter(Name="/atrium/odd/lower-case", Value="hush-hush", Type="String")
        for name, content in {"text": "hush-hush", "list": '["hush-hush"]', "numbers": '{"A": 1, "B": "hush-hush"}'}.items():
            boto3.client("secretsmanager").create_secret(Name=f"atrium/{name}", SecretString=content)
        monkeypatch.setenv(setting, value)
        with pytest.raises(ImproperlyConfigured) as refused:
            cloud.load()
        assert said in str(refused.value) and setting in str(refused.value) and "hush" not in str(refused.value)

    def test_they_are_read_before_every_other_setting(self) -> None:
        """A process whose only setting is where its settings are: it stops with that one's name, and not with what it lacks."""
        known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        where = {"ATRIUM_PARAMETERS": "nowhere", "METRICS": "wrong too"}
        done = subprocess.run([sys.executable, "manage.py", "check"], cwd=ROOT, env={**known, **where}, capture_output=True, text=True)
        assert done.returncode and "ATRIUM_PARAMETERS is 'nowhere'" in done.stderr


class TestRole:
    @pytest.fixture(autouse=True)
    def no_token_is_kept(self) -> Iterator[None]:
        tokens._kept.clear()
        yield
        tokens._kept.clear()

    def test_a_token_is_signed_for_host_and_user_and_made_anew_before_it_runs_out(self, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [0.0]
        monkeypatch.setattr(tokens.time, "monotonic", lambda: now[0])
        signed: list[int] = []
        sign = tokens._sign
        monkeypatch.setattr(tokens, "_sign", lambda *args: signed.append(1) or sign(*args))
        first = tokens.token(host="db.example", port=5432, user="atrium", region=REGION)
        assert first.startswith("db.example:5432/?Action=connect&DBUser=atrium&") and "X-Amz-Expires=900" in first
        now[0] = tokens.USED_FOR_S - 1
        tokens.token(host="db.example", port=5432, user="atrium", region=REGION)
        assert len(signed) == 1
        now[0] = tokens.USED_FOR_S
        tokens.token(host="db.example", port=5432, user="atrium", region=REGION)
        tokens.token(host="db.example", port=5432, user="reader", region=REGION)
        assert len(signed) == 3 and tokens.USED_FOR_S < 900

    def test_every_new_connection_asks_for_its_password(self, db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        """Django's, the plain ones of the stream, and the door's, which heals itself: none keeps the first."""
        settings.AWS_REGION = REGION
        given = iter(f"token-{number}" for number in range(9))
        monkeypatch.setattr(tokens, "_sign", lambda *_: next(given))
        monkeypatch.setattr(tokens, "USED_FOR_S", -1)
        ours = DatabaseWrapper({**connection.settings_dict, "USER": "atrium", "HOST": "127.0.0.1"}, "default")
        assert ours.get_connection_params()["password"] == "token-0"
        monkeypatch.setattr(database, "connections", {"default": ours})
        assert "password=token-1" in database.conninfo() and "password=token-2" in database.conninfo()
        seen: list[str] = []

        async def refuse(conninfo: str, **_: Any) -> Any:
            seen.append(conninfo)
            raise psycopg.OperationalError

        monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse)
        link = Link(name="a door", deadline_s=1, options="")
        for _try in range(2):
            assert asyncio.run(link._connect()) is None
        assert ["password=token-3" in seen[0], "password=token-4" in seen[1]] == [True, True]
        assert issubclass(DatabaseWrapper, Plain)

    @pytest.mark.parametrize("lacking", ["AWS_REGION", "DATABASE_URL", "BROKER_URL"])
    def test_what_it_needs_is_named(self, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
        told = {"DATABASE_IAM": "1", "DATABASE_URL": "postgres://atrium@db.example/atrium?sslmode=verify-full", "BROKER_URL": "sqs://"}
        for name, value in told.items():
            monkeypatch.setenv(name, "" if name == lacking else value)
        with pytest.raises(ImproperlyConfigured, match=lacking):
            environment.by_role("DATABASE_IAM", region="" if lacking == "AWS_REGION" else REGION)
        monkeypatch.setenv("DATABASE_IAM", "0")
        assert environment.by_role("DATABASE_IAM", region="") is False


class TestQueues:
    def test_queues_that_are_there_are_used_and_no_other_is_made(self, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
        there = "https://sqs.eu-west-1.amazonaws.com/123456789012/atrium-prod"
        monkeypatch.setenv("BROKER_QUEUES", f"atrium={there}-work, sending={there}-sending")
        settings.BROKER_URL, settings.AWS_REGION, settings.BROKER_QUEUES = "sqs://", REGION, environment.queues("BROKER_QUEUES")
        options = celery.transport()["broker_transport_options"]
        assert options["predefined_queues"] == {"atrium": {"url": f"{there}-work"}, "sending": {"url": f"{there}-sending"}}
        assert options["region"] == REGION and set(options["predefined_queues"]) == set(celery.QUEUES)

    @pytest.mark.parametrize("wrong", ["atrium", "atrium=", "Atrium!=https://sqs", "atrium=http://sqs.example/1/q", "=https://sqs.example"])
    def test_what_is_no_queue_is_refused(self, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
        monkeypatch.setenv("BROKER_QUEUES", wrong)
        with pytest.raises(ImproperlyConfigured, match="BROKER_QUEUES has"):
            environment.queues("BROKER_QUEUES")


class TestFiles:
    @pytest.fixture
    def collected(self, tmp_path: Path, settings: Settings) -> Path:
        (tmp_path / "engagement").mkdir()
        (tmp_path / "engagement" / "pages.0123456789ab.css").write_text("body {}")
        (tmp_path / "staticfiles.json").write_text("{}")
        settings.STATIC_ROOT, settings.STATIC_BUCKET = str(tmp_path), "pages"
        return tmp_path

    def test_a_release_is_uploaded_once_and_earlier_ones_stay(self, aws: None, collected: Path, capsys: pytest.CaptureFixture[str]) -> None:
        client = boto3.client("s3", region_name=REGION)
        client.create_bucket(Bucket="pages", CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_object(Bucket="pages", Key="static/engagement/pages.ba9876543210.css", Body=b"the last release's")
        for said in ("2 files were uploaded.", "0 files were uploaded."):
            call_command("upload_static")
            assert capsys.readouterr().out.strip() == said
        names = {one["Key"] for one in client.list_objects_v2(Bucket="pages")["Contents"]}
        assert names == {"static/engagement/pages.0123456789ab.css", "static/engagement/pages.ba9876543210.css", "static/staticfiles.json"}
        assert "immutable" in client.head_object(Bucket="pages", Key="static/engagement/pages.0123456789ab.css")["CacheControl"]

    def test_what_is_not_set_is_said(self, settings: Settings) -> None:
        settings.STATIC_BUCKET = ""
        with pytest.raises(CommandError, match="STATIC_BUCKET"):
            call_command("upload_static")

    def test_pages_of_a_release_name_files_by_their_digest_and_modules_import_such(self, tmp_path: Path) -> None:
        run: Callable[..., Any] = lambda *words: subprocess.run(  # noqa: E731
            [sys.executable, "-W", "ignore", *words], cwd=ROOT, env={**os.environ, "ATRIUM_STATIC": str(tmp_path)}, capture_output=True, text=True, check=True
        )
        run("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
        asked = "import django; django.setup(); from django.templatetags.static import static; print(static('analytics/figures/main.js'))"
        address = run("-c", "import os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'engagement.settings'); " + asked).stdout.strip()
        assert address.startswith("/static/analytics/figures/main.") and address != "/static/analytics/figures/main.js"
        module = tmp_path / address.removeprefix("/static/")
        imported = [line for line in module.read_text().splitlines() if line.startswith("import ")]
        assert imported and all(line.count(".") >= 3 for line in imported)  # ./call.0123456789ab.js
