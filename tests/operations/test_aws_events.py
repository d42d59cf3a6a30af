"""What AWS tells arrives readable, whatever its shape, and nothing in it that is a person's or a secret."""

import copy
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from operations import aws_events, aws_opened, blocks
from tests.operations.aws_envelopes import TOKEN, by_bridge, by_topic
from tests.operations.aws_shapes import SEEN, SHOPPER, alarm
from tests.operations.fake_slack import fault, over_the_limits

ROOT: Final = Path(__file__).resolve().parents[2]
REAL: Final = ROOT.parent / "shared" / "data" / "aws_webhooks"
MANGLED: Final = 20_000
SECRETS: Final = (SHOPPER, "Nomsa", TOKEN, "hunter2", "c2lnbmF0dXJl", "ConfirmSubscription")
SHORT: Final = ["", " ", "x", "&<!channel>", "ALARM", "arn:aws:rds:", "arn:::::", "{region}{0}{", "https://[", "\ud800", "\x00", "{}", "[[", '{"Records":[{}]}']
ODD: Final = [None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**400, [], {}, [[]], {"a": {}}, *SHORT]
LONG: Final = ["é" * 7000, "&" * 9000, "😀" * 5000, "a@" * 4000, "token=" * 2000, "https://" * 1500, "A1" * 9000, "[" * 9000, '{"a":' * 3000]


@pytest.mark.parametrize("name", SEEN)
def test_every_shape_says_what_happened(name: str) -> None:
    event, shape, mark, title, says = SEEN[name]
    told = only(event)
    assert (known_as(event), told.mark, told.title) == (shape, mark, title)
    assert says in told.body
    assert fault(json.dumps(blocks.payload(told)).encode()) is None
    everything = json.dumps(blocks.payload(told), ensure_ascii=False)
    assert not [secret for secret in SECRETS if secret in everything]


def only(event: object, **given: str) -> blocks.Notice:
    (told,) = aws_events.notices(event, **given)
    return told


def known_as(event: object) -> str:
    (opened,) = aws_opened.opened(event)
    return next(shape.name for shape in aws_events.SHAPES if shape.known(opened))


def test_no_shape_is_without_an_event_that_shows_it() -> None:
    assert {shape for _, shape, *_ in SEEN.values()} == {shape.name for shape in aws_events.SHAPES}


def test_it_leads_to_the_console_of_its_region_and_to_its_heading_in_the_runbook() -> None:
    event = by_topic(alarm(AlarmName="Web 5xx & {more}", AlarmArn="arn:aws-cn:cloudwatch:cn-north-1:210987654321:alarm:web"))
    told = only(event, runbook="https://example.com/README.md")
    assert told.links == (
        ("Runbook", "https://example.com/README.md#web%205xx%20%26%20%7Bmore%7D"),
        ("Console", "https://cn-north-1.console.amazonaws.cn/cloudwatch/home?region=cn-north-1#alarmsV2:alarm/Web%205xx%20%26%20%7Bmore%7D"),
    )
    assert [text for text, _ in only(event).links] == ["Console"]
    assert only(by_topic(alarm(AlarmArn=None))).links == ()  # its region is told as a name alone
    over = only(by_topic(alarm(NewStateValue="OK")), runbook="https://example.com/README.md")
    assert [text for text, _ in over.links] == ["Console"]
    assert over.remedy == ""


def test_the_footer_says_how_grave_where_and_when() -> None:
    assert only(by_topic(alarm())).footer == "Critical · af-south-1 · account: 210987654321 · 2026-11-03T04:05:06.472+0000"


def test_several_records_are_several_notices() -> None:
    both = {"Records": [*by_topic(alarm())["Records"], *by_topic("Hello.")["Records"]]}
    assert [told.title for told in aws_events.notices(both)] == ["web-5xx: firing", "A message"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"Write to {SHOPPER}.", "Write to (an address)."),
        ("Get https://user:pw@host.example/a/b?token=1 now", "Get https://host.example/… now"),
        ("postgres://atrium:pw@db.example:5432/atrium failed", "postgres://db.example/… failed"),
        ("password=hunter2 left", "password=(hidden) left"),
        ('{"SecretToken": "hunter2"}', '{"SecretToken": (hidden)}'),
        ("Authorization: Bearer abcdefgh12", "Authorization: (hidden) (hidden)"),
        ("AKIAIOSFODNN7EXAMPLE was used", "(hidden) was used"),
        (f"with {TOKEN}", "with (hidden)"),
        ("called +27821234567", "called (a number)"),
        ("arn:aws:backup:af-south-1:210987654321:recovery-point:1b2345b2-f22c-4dab-5eb6-bbc7890ed123", None),
        ("i-0123456789abcdef0 in atrium-prod-web, 3 of 4 at 12:00", None),
    ],
)
def test_addresses_and_secrets_are_taken_out_and_names_are_left(said: str, shown: str | None) -> None:
    assert aws_opened.clean(said) == (said if shown is None else shown)


def test_a_secret_at_the_end_of_what_is_read_is_not_cut_in_half() -> None:
    text = aws_opened.clean("word " * 1195 + TOKEN * 2)
    assert TOKEN[:12] not in text


@pytest.mark.parametrize("name", sorted(path.name for path in REAL.glob("*.json")) or ["none"])
def test_real_ones_arrive_too(name: str) -> None:
    if name == "none":
        pytest.skip(f"No real events lie at {REAL}.")
    event = json.loads((REAL / name).read_text())
    told = only(event)
    assert not over_the_limits(blocks.payload(told))
    expected = {"anymail": "mail", "ses": "mail", "aws": "backup-prose", "notify": "alarm"}.get(name.partition("_")[0])
    if expected or "larm" in name:
        assert known_as(event) == (expected or "alarm")
    everything = json.dumps(blocks.payload(told))
    assert not any(person in everything for person in ("jane", "mary", "richard", "recipient@", "2336412f37fb"))


def mangled(chance: random.Random) -> Any:
    """One of the shapes with one to four things done to it, anywhere in it, also within its texts."""
    event = copy.deepcopy(chance.choice(list(SEEN.values()))[0])
    holder = {"event": event}
    for _ in range(chance.randint(1, 4)):
        spoil(holder, chance)
    return holder["event"]


def spoil(holder: dict[str, Any], chance: random.Random) -> None:
    within: Any = holder
    key: Any = "event"
    while isinstance(within[key], dict | list) and within[key] and chance.random() < 0.85:
        within = within[key]
        key = chance.choice(list(within) if isinstance(within, dict) else range(len(within)))
    value = within[key]
    how = chance.random()
    if isinstance(value, str) and value[:1] == "{" and how < 0.5:
        inner = {"event": json.loads(value)} if how < 0.4 and value[-1:] == "}" and is_json(value) else None
        if inner:
            spoil(inner, chance)
            within[key] = json.dumps(inner["event"], default=str) if as_json(inner["event"]) else "{"
        else:
            within[key] = value[: chance.randrange(len(value))]
    elif how < 0.65:
        within[key] = chance.choice(ODD)
    elif how < 0.653:
        within[key] = chance.choice(LONG)
    elif how < 0.75:
        within[key] = [value] * chance.randint(1, 40)
    elif how < 0.85 and isinstance(within, dict):
        within[chance.choice(SHORT)] = within.pop(key) if within is not holder else value
    elif within is not holder and isinstance(within, dict):
        del within[key]


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def as_json(value: object) -> bool:
    try:
        json.dumps(value)
    except ValueError:  # a number of more digits than Python writes
        return False
    return True


def test_twenty_thousand_mangled_ones_arrive_within_slacks_limits() -> None:
    chance = random.Random(20261121)
    shapes = {"none"}
    for number in range(MANGLED):
        event = mangled(chance)
        told = aws_events.notices(event)
        assert told
        for notice in told[:3]:
            made = blocks.payload(notice)
            assert not over_the_limits(made), f"mangled event {number}"
            assert made["text"]
        if number % 20 == 0:
            shapes |= {shape.name for opened in aws_opened.opened(event) for shape in aws_events.SHAPES if shape.known(opened)}
    assert shapes >= {shape.name for shape in aws_events.SHAPES}  # the mangling leaves enough for each to be tried


def test_the_limit_checker_notices_what_slack_refuses() -> None:
    assert over_the_limits({"blocks": [{"type": "section", "text": {"text": "x" * 3001}}]})
    assert over_the_limits({"blocks": [{"type": "section", "text": {"text": "x" * 3000}}] * 5})
    assert over_the_limits({"blocks": [{"type": "actions", "elements": [{"action_id": "a", "text": {"text": "x"}, "url": "https://a.example/" + "a" * 3000}]}]})
    assert over_the_limits({"blocks": [{"type": "divider"}] * 51})
    assert not over_the_limits({"blocks": [{"type": "divider"}] * 50})


def test_it_runs_where_nothing_is_installed(tmp_path: Path) -> None:
    """As the function in AWS has it: three files in a folder, and the standard library."""
    house = tmp_path / "operations"
    house.mkdir()
    (house / "__init__.py").touch()
    for name in ("blocks.py", "aws_opened.py", "aws_events.py"):
        shutil.copy(ROOT / "operations" / name, house)
    code = "import sys, json; sys.path.insert(0, sys.argv[1])\nfrom operations import aws_events, blocks\n"
    code += "print(json.dumps(blocks.payload(aws_events.notices(json.loads(sys.argv[2]))[0])))"
    event = json.dumps(by_bridge("aws.rds", "RDS DB Instance Event", {"SourceIdentifier": "atrium", "Message": "Down."}))
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(tmp_path), event], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["blocks"][0]["text"]["text"] == "🔵 Database atrium"
