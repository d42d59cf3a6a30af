"""A line of the log: whole, bounded, about its request; and without addresses, keys, positions or what a database quotes."""

import asyncio
import io
import json
import logging
import time
from typing import Any

import psycopg
import pytest
from celery import shared_task

from engagement import celery, logs
from engagement.console import Console

LINES = (logs.Line(), logs.Json())
TOKEN = "atr_sec_4Zq8Yc1mJt0pWv6xKd3nRb9sLf2hGa7uEi5oQy1wXzA"


@pytest.fixture(autouse=True)
def _no_request() -> Any:
    yield
    logs.end_request()


def record(message: str, *args: object, error: BaseException | None = None, **more: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "atrium.test", "levelno": logging.WARNING, "levelname": "WARNING", "msg": message, "args": args, **more})
    if error is not None:
        made.exc_info = (type(error), error, error.__traceback__)
    return made


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("formatter", LINES)
@pytest.mark.parametrize("sign", ["\n", "\r\n", "\x1b[2K", "\x00", "\x85", "\u2028", "\x7f"])
def test_whatever_somebody_writes_into_a_name_stays_on_one_line(formatter: logging.Formatter, sign: str) -> None:
    written = formatter.format(
        record("The zone %s was made.", f"north{sign}error: atrium: all is lost", error=raised(ValueError(f"a{sign}b")), zone=f"a{sign}b")
    )
    assert written.isprintable()
    assert len(written.splitlines()) == 1


def test_an_object_is_one_a_machine_can_read() -> None:
    logs.speak_as("stream-0")
    number = logs.begin_request("mine-1234")
    logs.organisation.set("acme")
    said = json.loads(logs.Json().format(record("A %s.", "word", duration_ms=12.345, route="m/c/<path:token>", status=302)))
    assert said.pop("time").endswith("Z")
    assert said.pop("pid")
    assert said == {
        "level": "warning", "logger": "atrium.test", "message": "A word.", "process": "stream-0", "request_id": number, "organisation": "acme",
        "duration_ms": 12.3, "route": "m/c/<path:token>", "status": 302,
    }  # fmt: skip


def test_a_line_that_cannot_be_made_is_still_told() -> None:
    for formatter in LINES:
        assert "three %s %s" in formatter.format(record("three %s %s", "words"))
    assert json.loads(logs.Json().format(record("x", weight=float("inf"))))["weight"] == "inf"


@pytest.mark.parametrize(
    "secret",
    [
        "ann@acme.example",
        TOKEN,
        "-26.1076",
        "28.05670001",
        "T0001/B0002/abcdefgh",
        "hunter2-hunter2",
        "xoxb-1234-abcdef",
        "AQABAbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-AbCdEf",
    ],
)
def test_nothing_is_told_that_a_log_must_not_know(secret: str) -> None:
    texts = [
        *("mail to ann@acme.example", f"key {TOKEN}", "at (-26.1076, 28.05670001)", "POST https://hooks.slack.com/services/T0001/B0002/abcdefgh"),
        *("postgres://atrium:hunter2-hunter2@db/atrium", "Authorization: Bearer hunter2-hunter2", "token=xoxb-1234-abcdef"),
        "/m/c/AQABAbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-AbCdEf was asked",
    ]
    for text in [text for text in texts if secret in text]:
        for formatter in LINES:
            assert secret not in formatter.format(record(text))
            assert secret not in formatter.format(record("%s", text))
            assert secret not in formatter.format(record("It failed.", error=raised(ValueError(text)), beside=text))
    assert [text for text in texts if secret in text]


def test_what_a_database_quotes_is_not_told_but_its_code_and_place_are() -> None:
    error = psycopg.errors.UniqueViolation('duplicate key value violates unique constraint "x"\nDETAIL:  Key (name)=(Ann Smith) already exists.')
    told = logs.Json().format(record("It failed.", error=raised(error)))
    assert "Ann Smith" not in told
    assert "UniqueViolation" in told
    assert "test_logs.py" in told


def test_the_cause_of_a_failure_is_told_too() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as error:
        told = logs.told(error)
    assert told.index("ValueError: outer") < told.index("KeyError")


@pytest.mark.parametrize("long", ["a" * 300_000, "a@" * 150_000, "1." * 150_000, "-" * 300_000, "ab.c " * 60_000, "://" * 100_000])
def test_a_long_line_is_cut_and_takes_no_time(long: str) -> None:
    began = time.process_time()
    for formatter in LINES:
        assert len(formatter.format(record(long, error=raised(ValueError(long)), beside=long))) < 16_384
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "given", ["Root=1-67891233-abcdef012345678912345678", "a b c d", "x" * 65, "abc", "id\nfake", "ann@acme.example", TOKEN, "é" * 8, "<script>"]
)
def test_a_number_that_is_not_sane_is_replaced(given: str) -> None:
    assert logs.begin_request(given) != given


def test_numbers_are_never_given_twice() -> None:
    given = [logs.begin_request() for _ in range(1000)]
    assert len(set(given)) == len(given)
    assert all(logs.begin_request(number) == number for number in given)


def test_two_requests_at_once_keep_their_numbers_apart() -> None:
    async def request(number: str) -> str:
        logs.begin_request(number)
        await asyncio.sleep(0)
        return logs.Line().format(record("Said."))

    async def both() -> list[str]:
        return await asyncio.gather(request("first-one"), request("second-one"))

    assert [line.partition("[")[2] for line in asyncio.run(both())] == ["first-one]", "second-one]"]


def test_the_console_keeps_objects_and_makes_some_of_everything_else() -> None:
    out = io.StringIO()
    console = Console(out, objects=True)
    whole = logs.Json().format(record("Said."))
    console.say("stream", whole)
    console.say("postgres", 'LOG:  {"quoted"} and ready, mail to ann@acme.example')
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert lines[0] == json.loads(whole)
    assert lines[1]["process"] == "postgres"
    assert lines[1]["message"] == 'LOG:  {"quoted"} and ready, mail to (an address)'


@shared_task(name="tests.fails")
def fails() -> None:
    raise psycopg.errors.UniqueViolation("Key (email)=(ann@acme.example) already exists for Ann Smith")


@shared_task(name="tests.works")
def works() -> str:
    return logs.request_id.get()


def test_a_task_that_fails_says_so_once_and_without_the_words_of_the_database(caplog: pytest.LogCaptureFixture) -> None:
    before = celery.TASKS.of("tests.fails", "failure").value
    fails.apply()
    [line] = [logs.Line().format(record) for record in caplog.records]
    assert "tests.fails failed: UniqueViolation: 23505 at test_logs.py" in line
    assert "Ann" not in line and "ann@" not in line
    assert celery.TASKS.of("tests.fails", "failure").value == before + 1


def test_a_task_that_works_says_nothing_and_has_a_number_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    first, second = works.apply().get(), works.apply().get()
    assert first and second and first != second
    assert logs.request_id.get() == ""
    assert not caplog.records
