"""The function that tells Slack what AWS tells, against a local server that behaves as Slack does."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import pytest

from tests.operations import fake_slack
from tests.operations.aws_shapes import FLAT_ACTIVITY, SEEN, alarm, by_topic
from tests.operations.fake_slack import FakeSlack

FUNCTIONS: Final = Path(__file__).resolve().parents[2] / "deploy" / "functions"


def loaded(name: str) -> Any:
    """As AWS loads it: a file of its own."""
    spec = importlib.util.spec_from_file_location(f"{name}_function", FUNCTIONS / name / "handler.py")
    assert spec and spec.loader
    made: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack.running() as server:
        yield server


@pytest.fixture
def function(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its waits are noted instead of waited for."""
    monkeypatch.delenv("RUNBOOK", raising=False)
    made = loaded("slack")
    made._address = lambda: slack.address
    made.waits = []
    monkeypatch.setattr(made.time, "sleep", made.waits.append)
    return made


def test_every_shape_reaches_slack(function: Any, slack: FakeSlack) -> None:
    told = [name for name, (event, *_) in SEEN.items() if function.handle(event, None)["told"]]
    assert len(slack.messages) == len(told)
    assert set(SEEN) - set(told) == {"terminated, flat", "test of a group"}  # machines that come and go as they should


def test_a_machine_that_goes_as_it_should_is_not_told_and_one_that_cannot_come_is(function: Any, slack: FakeSlack) -> None:
    function.handle(by_topic(FLAT_ACTIVITY), None)
    assert slack.messages == []
    function.handle(by_topic({**FLAT_ACTIVITY, "Event": "autoscaling:EC2_INSTANCE_LAUNCH_ERROR"}), None)
    assert slack.titles == ["🔴 atrium-prod-web: ec2 instance launch error"]


def test_a_repair_is_told_in_its_own_words(function: Any, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    repair = loaded("repair")
    monkeypatch.setenv("TOPIC", "arn:aws:sns:af-south-1:210987654321:alerts")
    monkeypatch.setattr(
        repair, "client", lambda _name: SimpleNamespace(publish=lambda **said: function.handle(by_topic(said["Message"], said["Subject"]), None))
    )
    repair._tell(repair.Cause("disk", "i-0a1b", "atrium-prod-disk-full"), "Old logs are removed.", "done")
    repair._tell(repair.Cause("disk", "i-0a1b", "atrium-prod-disk-full"), "Another machine is being repaired.", "held back")
    assert slack.titles == ["🔵 Repair of disk: done", "🟠 Repair of disk: held back"]
    assert slack.messages[0]["blocks"][1]["text"]["text"] == "atrium-prod-disk-full about i-0a1b.\nOld logs are removed."


def test_a_busy_slack_is_asked_again_when_it_wants_to_be(function: Any, slack: FakeSlack) -> None:
    slack.next.extend([fake_slack.says(429, "rate_limited", Retry_After="2"), fake_slack.says(500)])
    function.handle(by_topic(alarm()), None)
    assert slack.titles == ["🔴 web-5xx: firing"]
    assert function.waits == [2.0, 1.0]


def test_a_long_wait_is_cut_short_since_the_sender_tries_again(function: Any, slack: FakeSlack) -> None:
    slack.next.append(fake_slack.says(429, "rate_limited", Retry_After="3600"))
    function.handle(by_topic(alarm()), None)
    assert function.waits == [function.LONGEST_WAIT_S]


@pytest.mark.parametrize(
    "behaviour", [fake_slack.says(500), fake_slack.cuts, fake_slack.echoes_the_address, fake_slack.babbles, fake_slack.says(302, Location="/")]
)
def test_what_was_not_told_in_the_end_is_raised_without_the_address(
    behaviour: fake_slack.Behaviour, function: Any, slack: FakeSlack, caplog: pytest.LogCaptureFixture
) -> None:
    slack.next.extend([behaviour] * function.TRIES)
    with pytest.raises(function.NotTold) as raised:
        function.handle(by_topic(alarm()), None)
    everything = f"{raised.value} {raised.value.__cause__} {raised.value.__context__} {caplog.text}"
    assert fake_slack.SECRET not in everything
    assert slack.address not in everything
    assert slack.messages == []


@pytest.mark.parametrize("kept", ["https://hooks.slack.example/services/x", json.dumps({"SLACK_WEBHOOK_URL": "https://hooks.slack.example/services/x"})])
def test_the_secret_is_the_address_or_an_object_that_holds_it(kept: str, function: Any) -> None:
    assert function.address_in(kept) == "https://hooks.slack.example/services/x"


@pytest.mark.parametrize("kept", ["", "Zu9x-made-at-random", "{}", "http://slack.example/", '{"SLACK_WEBHOOK_URL": 5}'])
def test_a_secret_that_nobody_has_filled_is_said_and_not_shown(kept: str, function: Any) -> None:
    with pytest.raises(function.NotTold) as raised:
        function.address_in(kept)
    assert str(raised.value) == "The secret holds no address of Slack."
