"""An event of AWS, opened: through records, topic envelopes and JSON within JSON, to what was meant. Pure, of the standard library alone.

Whatever is not as expected reads as nothing, so nothing here fails; no text leaves without addresses and secrets taken out.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

LONGEST_TEXT: Final = 6000  # signs read of a text: more than a message can show
LONGEST_WORD: Final = 400
MOST_LINES: Final = 30
DEEPEST: Final = 6
_ADDRESS: Final = re.compile(r"[^\s@<>\"',;:()\[\]{}\\/]{1,64}@[^\s@<>\"',;:()\[\]{}\\/]{1,255}(?<!\.)")
_WEB: Final = re.compile(r"\b([a-z][a-z0-9+.-]{1,20}://)(?:[^\s/@\"']{0,200}@)?([A-Za-z0-9.-]{1,253})[^\s\"']*")
_NAMED_SECRET: Final = re.compile(
    r"(?i)(secret|token|password|passwd|pwd|api[_-]?key|access[_-]?key|signature|authorization)([\w-]{0,20}\"?\s{0,3}[=:]\s{0,3})(\"[^\"]*\"|\S+)"
)
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[\w+/=.~-]{8,}")
_LONG: Final = re.compile(r"[A-Za-z0-9+/=]{32,}")
_PHONE: Final = re.compile(r"(?<![\w.])\+\d{8,15}\b")
_CLOUD_KEY: Final = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
_HIDDEN_KEY: Final = re.compile(
    r"(?i)secret|token|passw|pwd|api_?key|access_?key|signature|authori[sz]ation|credential|cookie|certur|subscribeur|e?mail_?address|recipient|destination$|ip_?address|source_?ip"
    r"|phone|^(to|from|cc|bcc|returnpath|headers|commonheaders|lat|lon|lng|latitude|longitude|position)$"
)
_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}")
_CONSOLES: Final = {"aws": "console.aws.amazon.com", "aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


class Fields:
    """A JSON object of somebody else's."""

    def __init__(self, seen: object) -> None:
        self.seen: dict[object, object] = seen if isinstance(seen, dict) else {}

    def __contains__(self, name: str) -> bool:
        return name in self.seen

    def part(self, name: str) -> "Fields":
        return Fields(self.seen.get(name))

    def list(self, name: str) -> list[object]:
        found = self.seen.get(name)
        return found if isinstance(found, list) else []

    def text(self, *names: str) -> str:
        """The first of these that says something."""
        return next((text for text in (shown(self.seen.get(name)) for name in names) if text), "")


def shown(value: object) -> str:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int | float) and abs(value) < 1e15:  # a number of ten thousand digits is nobody's measurement
        return f"{value:g}" if isinstance(value, float) else str(value)
    return ""


def clean(text: str) -> str:
    """Without addresses, keys and what hangs on a web address: a query is where tokens travel."""
    if len(text) > LONGEST_TEXT:
        text = _without_last_word(text[:LONGEST_TEXT])  # half a secret would no longer look like one
    text = _WEB.sub(r"\1\2/…", text) if "://" in text else text
    text = _BEARER.sub(r"\1 (hidden)", text)
    text = _NAMED_SECRET.sub(r"\1\2(hidden)", text)
    text = _ADDRESS.sub("(an address)", text) if "@" in text else text
    text = _PHONE.sub("(a number)", text)
    text = _CLOUD_KEY.sub("(hidden)", text)
    return _LONG.sub(_unless_a_name, text).strip()


def _without_last_word(text: str) -> str:
    begins = max(text.rfind(" "), text.rfind("\n"), len(text) - LONGEST_WORD)
    return text[:begins]


def _unless_a_name(found: re.Match[str]) -> str:
    """A long run of letters and digits mixed is a key; one of letters alone is a name."""
    run = found[0]
    return "(hidden)" if any(map(str.isdigit, run)) and any(map(str.isalpha, run)) else run


@dataclass(frozen=True)
class Event:
    """One event, opened: its fields, or its text where it has none, and what its envelope said."""

    fields: Fields
    text: str = ""
    subject: str = ""
    attributes: Fields = field(default_factory=lambda: Fields(None))
    topic: str = ""
    when: str = ""

    @property
    def detail(self) -> Fields:
        """What happened: EventBridge keeps it apart, a topic's message is it."""
        return self.fields.part("detail") if "detail" in self.fields else self.fields

    @property
    def kind(self) -> str:
        return self.fields.text("detail-type")

    @property
    def source(self) -> str:
        return self.fields.text("source")


def opened(seen: object, envelope: Event | None = None, depth: int = 0) -> Iterator[Event]:
    """Through records, envelopes and JSON in texts, to what was meant."""
    around = envelope or Event(Fields(None))
    read = _read(seen)
    fields = Fields(dict(enumerate(read, 1)) if isinstance(read, list) else read)
    records = fields.list("Records")
    if depth < DEEPEST and records:
        for record in records:
            yield from opened(record, around, depth + 1)
    elif depth < DEEPEST and fields.part("Sns").seen:
        yield from opened(fields.seen["Sns"], around, depth + 1)
    elif depth < DEEPEST and fields.text("eventSource") == "aws:sqs" and "body" in fields:
        yield from opened(fields.seen["body"], around, depth + 1)
    elif depth < DEEPEST and "Message" in fields and not fields.text("Type").endswith("Confirmation"):
        yield from opened(fields.seen["Message"], _envelope(fields), depth + 1)
    else:
        yield Event(fields, shown(read), around.subject, around.attributes, around.topic, around.when)


def _read(seen: object) -> object:
    """What a text says as JSON; the text itself where it is none."""
    if not isinstance(seen, str):
        return seen
    try:
        return json.loads(seen) if seen.lstrip()[:1] in ("{", "[") else seen
    except (ValueError, RecursionError):
        return seen


def _envelope(fields: Fields) -> Event:
    attributes = {name: Fields(value).text("Value") for name, value in fields.part("MessageAttributes").seen.items()}
    topic = fields.text("TopicArn").rpartition(":")[2]
    return Event(Fields(None), "", fields.text("Subject"), Fields(attributes), topic, fields.text("Timestamp"))


def region_of(*said: str) -> str:
    """Of what names one, also in the middle of an ARN."""
    for text in said:
        word = text.split(":")[3] if text.startswith("arn:") and text.count(":") > 3 else text
        if _REGION.fullmatch(word):
            return word
    return ""


def console(arn: str) -> str:
    return _CONSOLES.get(arn.split(":")[1] if arn.startswith("arn:") else "aws", _CONSOLES["aws"])


def account_of(event: Event, arn: str) -> str:
    said = event.fields.text("account", "accountId", "AWSAccountId", "AccountId") or event.attributes.text("AccountId")
    account = said or (arn.split(":")[4] if arn.startswith("arn:") and arn.count(":") > 4 else "")
    return account if re.fullmatch(r"[0-9]{12}", account) else ""


def lines(fields: Fields, path: str = "", depth: int = 0) -> list[str]:
    """Every field by its path, for shapes that nobody foresaw. What a secret's or a person's name announces is left out."""
    found: list[str] = []
    for name, value in list(fields.seen.items())[:MOST_LINES]:
        key = clean(f"{path}{name}")[:200]
        if isinstance(name, str) and _HIDDEN_KEY.search(name):
            found.append(f"{key}: (hidden)")
        elif isinstance(value, list):
            found += lines(Fields(dict(enumerate(value, 1))), f"{key} ", depth + 1) if depth < DEEPEST else []
        elif isinstance(value, dict):
            found += lines(Fields(value), f"{key} ", depth + 1) if depth < DEEPEST else []
        elif said := shown(value):
            found.append(f"{key}: {said}")
        if len(found) >= MOST_LINES:
            return [*found[:MOST_LINES], "…"]
    return found
