"""A wrong setting stops the start with its name, the value seen and what is accepted; and never with a secret."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from engagement import environment

ROOT: Final = Path(__file__).resolve().parents[2]
SECRET: Final = "hunter2"

WRONG: Final = [
    ("PORT", "0", ["'0'", "1 to 65535"]),
    ("PORT", "eighty", ["'eighty'", "whole number"]),
    ("PORT", "٨٠", ["whole number"]),
    ("HOST", "no host", ["'no host'", "127.0.0.1"]),
    ("DEBUG", "perhaps", ["'perhaps'", "1 or 0"]),
    ("ATRIUM_POSTGRES", "docker", ["'docker'", "auto, system, package"]),
    ("ATRIUM_STREAMS", "65", ["'65'", "1 to 64"]),
    ("ALLOWED_HOSTS", "localhost,https://mall.example", ["'https://mall.example'", "separated by commas"]),
    ("ATRIUM_VAR", "/dev/null/var", ["'/dev/null/var'", "can be written"]),
    ("ATRIUM_STREAM_IDLE_S", "0", ["'0'", "1 to 3600"]),
    ("LOG_LEVEL", "LOUD", ["'LOUD'", "WARNING"]),
    ("LOG_FORMAT", "xml", ["'xml'", "line, json"]),
    ("METRICS", "statsd", ["'statsd'", "prometheus, emf, off"]),
    ("METRICS_TOKEN", SECRET, ["7 characters", "at least 20"]),
    ("METRICS_TOKEN", f"a blank {SECRET} in it", ["no blanks"]),
    ("DATABASE_REPLICA_URL", f"mysql://atrium:{SECRET}@db/atrium", ["'mysql://'", "postgres://"]),
    ("DATABASE_REPLICA_URL", f"postgres://atrium:{SECRET}@db:port/atrium", ["postgres://user:password@host:port/name"]),
    ("DATABASE_REPLICA_URL", f"postgres://atrium:{SECRET}@db", ["lacks a part"]),
    ("BROKER_URL", f"redis://:{SECRET}@cache", ["'redis://'", "sqs://"]),
    ("EMAIL_URL", f"imap://me:{SECRET}@mail", ["'imap://'", "smtp://", "ses://"]),
    ("EMAIL_URL", f"smtp:me:{SECRET}", ["no scheme", "smtp://"]),
    ("EMAIL_URL", f"smtp://me:{SECRET}@mail.example:post", ["wrong host or port", "smtp://"]),
    ("ATRIUM_SEND_RATE", "fast", ["'fast'", "0 to 100000"]),
    ("SLACK_WEBHOOK_URL", f"http://hooks.slack.com/services/{SECRET}", ["'http://'", "https://"]),
    ("SLACK_WEBHOOK_URL", f"http://127.0.0.1.evil.example/{SECRET}", ["loopback"]),
    ("ATRIUM_URL", f"ftp://{SECRET}.example", ["'ftp://'", "https://host"]),
    ("ATRIUM_URL", f"https://me:{SECRET}@mall.example", ["https://host"]),
    ("ATRIUM_URL", f"https://mall.example/{SECRET}", ["nothing after it"]),
    ("ATRIUM_URL", f"https://mall.example:{SECRET}", ["http://host:port"]),
    ("ATRIUM_CERTIFICATES", "mall.example:443, mall.example", ["'mall.example'", "host:port"]),
    ("ATRIUM_CERTIFICATES", "mall.example:0", ["'mall.example:0'", "whole paths of files"]),
    ("SNS_TOPIC_ARNS", "arn:aws:sns:eu-west-1:123456789012:mail, arn:aws:s3:::mail", ["'arn:aws:s3:::mail'", "separated by commas"]),
    ("SECRET_KEY", SECRET, ["7 characters", "at least 20"]),
    ("DATABASE_URL", f"postgres://atrium:{SECRET}@127.0.0.1/atrium", ["SECRET_KEY is not set", "required with a DATABASE_URL"]),
]


def start(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """What a person sees who starts Atrium with these settings."""
    known = {"PATH": os.environ["PATH"], "ATRIUM_VAR": str(folder), **settings}
    return subprocess.run([sys.executable, "manage.py", "check"], cwd=ROOT, env=known, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_a_wrong_setting_stops_the_start_in_one_line_that_tells_no_secret(tmp_path: Path, name: str, value: str, words: list[str]) -> None:
    seen = start(tmp_path, **{name: value})
    assert seen.returncode == 1
    assert len(seen.stderr.splitlines()) == 1
    assert name in seen.stderr
    assert not [word for word in words if word not in seen.stderr]
    assert SECRET not in seen.stdout + seen.stderr


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    assert environment.integer("PORT", 8000, 1, 65535) == 8000


def test_a_secret_key_is_made_once_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    assert start(tmp_path).returncode == 0
    kept = tmp_path / "secret_key"
    first = kept.read_text()
    assert len(first) >= 48
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert start(tmp_path).returncode == 0
    assert kept.read_text() == first
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_an_address_keeps_its_options_and_its_escapes() -> None:
    found = environment.database("DATABASE_URL", "postgres://me:p%40ss@db.example:5433/atrium?sslmode=require")
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]) == ("me", "p@ss", "db.example", 5433, "atrium")
    assert found["OPTIONS"]["sslmode"] == "require"


@pytest.mark.parametrize("address", ["https://hooks.slack.com/services/x", "http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]/x"])
def test_an_alarm_may_go_to_https_or_to_this_machine(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", address)
    assert environment.webhook("SLACK_WEBHOOK_URL") == address


def test_mail_goes_into_a_folder_until_a_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMAIL_URL", raising=False)
    assert environment.mail("EMAIL_URL", region="").scheme == ""
    monkeypatch.setenv("EMAIL_URL", "smtp+tls://me%40here:s%2Fcret@mail.example")
    found = environment.mail("EMAIL_URL", region="")
    assert (found.host, found.port, found.user, found.password) == ("mail.example", 587, "me@here", "s/cret")
    assert "s/cret" not in repr(found)


def test_ses_is_of_the_region_that_its_address_or_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_URL", "ses://")
    assert environment.mail("EMAIL_URL", region="eu-west-1").host == "eu-west-1"
    with pytest.raises(ImproperlyConfigured, match="AWS_REGION"):
        environment.mail("EMAIL_URL", region="")
    monkeypatch.setenv("EMAIL_URL", "ses://af-south-1")
    assert environment.mail("EMAIL_URL", region="eu-west-1").host == "af-south-1"


def test_what_needs_another_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda module: None)
    monkeypatch.setenv("BROKER_URL", "sqs://")
    with pytest.raises(ImproperlyConfigured, match=r"boto3.*pip install"):
        environment.broker("BROKER_URL")
    monkeypatch.setenv("EMAIL_URL", "ses://")
    with pytest.raises(ImproperlyConfigured, match=r"boto3.*pip install"):
        environment.mail("EMAIL_URL", region="eu-west-1")


def test_a_host_that_is_not_ours_is_refused_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert Client().get("/api/v1/status", headers={"host": "scanner.example"}).status_code == 400
    assert not [record for record in caplog.records if record.exc_info]


def test_links_lead_to_where_the_installation_listens_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATRIUM_URL", raising=False)
    assert environment.public_address("ATRIUM_URL", "127.0.0.1", 8000) == "http://127.0.0.1:8000"
    assert environment.public_address("ATRIUM_URL", "0.0.0.0", 80) == "http://127.0.0.1:80"
    assert environment.public_address("ATRIUM_URL", "::", 80) == "http://[::1]:80"
    monkeypatch.setenv("ATRIUM_URL", "https://mall.example/")
    assert environment.public_address("ATRIUM_URL", "127.0.0.1", 8000) == "https://mall.example"
    assert environment.host_of("https://mall.example:8443") == "mall.example" and environment.host_of("http://[::1]:80") == "[::1]"


def test_the_certificate_of_the_installation_is_watched_unless_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATRIUM_CERTIFICATES", raising=False)
    assert environment.certificates("ATRIUM_CERTIFICATES", "http://127.0.0.1:8000") == []
    assert environment.certificates("ATRIUM_CERTIFICATES", "https://mall.example") == ["mall.example:443"]
    assert environment.certificates("ATRIUM_CERTIFICATES", "https://[::1]:8443") == ["[::1]:8443"]
    monkeypatch.setenv("ATRIUM_CERTIFICATES", "/etc/ssl/mall.pem, smtp.example:465")
    assert environment.certificates("ATRIUM_CERTIFICATES", "https://mall.example") == ["/etc/ssl/mall.pem", "smtp.example:465"]
