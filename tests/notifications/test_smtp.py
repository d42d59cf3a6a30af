"""Mail over SMTP: what is certain of each mail, whatever the server does."""

import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engagement.environment import MailServer
from notifications.channels import lines, smtp
from notifications.channels.lines import Lines
from notifications.channels.wire import Feed, ForEver, ForNow, Late, Result, Sent, Timed, Unknown, Wait
from notifications.mail import Mail
from tests.faults.sink import Sink
from tests.notifications.scripted import Script, Talk, certificate, serving
from tests.servers import until

ALICE = "alice@acme.example"
SECRET = "hunter2-hunter2"


def mail(number: int = 1, *, to: str = ALICE, sender: str = "news@acme.example", body: bytes = b"Hello\r\n") -> Mail:
    return Mail(b"X-Atrium-Message: %d\r\nSubject: News\r\n\r\n" % number + body, sender, to)


@contextmanager
def wire(
    port: int, *, scheme: str = "smtp", user: str = "", most: int = 1, timeout_s: float = 10, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Lines]:
    server = MailServer(scheme, host, port, user, SECRET if user else "")
    made = Lines(lambda: smtp.Connection(server, timeout_s=timeout_s, context=context), most)
    try:
        yield made
    finally:
        made.close()


def one(script: Script, feed: Feed | None = None, **how: object) -> Result:
    """The result of one mail to that server."""
    with serving(script), wire(script.port, **how) as open_wire:
        [result] = open_wire.send([mail()] if feed is None else feed)
        return result


def saying(command: str, told: bytes) -> Script:
    """An honest server but for what it says to one command."""
    return Script(answer=lambda _talk, heard: told if heard.startswith(command) and (command or not heard) else None)


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    started = Sink(tmp_path_factory.mktemp("sink")).start()
    yield started
    started.end()


@pytest.mark.parametrize(
    ("behaviour", "result", "arrives"),
    [
        ("accept", Sent(), True),
        ("454", ForNow("454 4.7.0", throttled=True), False),
        ("4xx", ForNow("451 4.3.0"), False),
        ("5xx", ForEver("550 5.1.1"), False),
        ("drop", Unknown("No answer came: SMTPServerDisconnected."), True),
        ("stall", Unknown("No answer came: SMTPServerDisconnected."), True),
        ("close", Unknown("No answer came: SMTPServerDisconnected."), False),
    ],
)
def test_each_fault_of_a_server_has_its_result_and_the_next_mail_leaves(sink: Sink, behaviour: str, result: Result, arrives: bool) -> None:
    before = len(sink.taken()) if sink.journal.exists() else 0
    sink.behave(behaviour)
    with wire(sink.port, timeout_s=1) as open_wire:
        assert list(open_wire.send([mail(1)])) == [result]
        sink.behave("accept")
        assert list(open_wire.send([mail(2)])) == [Sent()]
    assert [taken.message for taken in sink.taken()[before:]] == [1, 2] if arrives else [2]


def test_many_mails_leave_over_a_few_connections_each_once_and_are_answered_in_order(sink: Sink) -> None:
    before = len(sink.taken())
    sink.behave("accept*3 4xx 5xx")
    with wire(sink.port, most=4) as open_wire:
        results = list(open_wire.send(mail(1000 + number) for number in range(120)))
    sent = [1000 + number for number, result in enumerate(results) if isinstance(result, Sent)]
    assert sorted(taken.message for taken in sink.taken()[before:]) == sent
    assert len(results) == 120
    assert {type(result) for result in results} == {Sent, ForNow, ForEver}


def test_a_mail_that_was_cut_off_before_its_end_did_not_leave() -> None:
    def hang_up(talk: Talk, command: str) -> bytes | None:
        if command != "DATA":
            return None
        talk.socket.sendall(b"354 go on\r\n")
        return b""

    result = one(Script(answer=hang_up), [mail(body=b"All that happened.\r\n" * 1_000_000)])
    assert result == ForNow("The connection was lost before the end of the mail.")


@pytest.mark.parametrize("told", [b"", b"\xff\xfe garbage\r\n", b"999 what\r\n", b"250\n" * 3])
def test_an_answer_after_the_end_that_nobody_understands_leaves_it_unknown(told: bytes) -> None:
    result = one(saying(".", told))
    assert isinstance(result, Sent if told.startswith(b"250") else Unknown)


@pytest.mark.parametrize("command", ["", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    "told",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"250-and so on\r\n" * 5_000, b"2" * 100_000, b"250 half a li"],
    ids=["nothing", "http", "endless", "long", "half"],
)
def test_before_the_mail_has_left_no_answer_can_lose_or_double_it(command: str, told: bytes) -> None:
    began = time.monotonic()
    with suppress(OSError):
        result = one(saying(command, told), timeout_s=0.3)
        assert isinstance(result, ForNow), result
    assert time.monotonic() - began < 5


def test_a_server_that_answers_a_byte_at_a_time_is_not_waited_for_longer_than_any_other() -> None:
    def drip(talk: Talk, command: str) -> bytes | None:
        if command.startswith("MAIL"):
            with suppress(OSError):
                for _ in range(100):
                    talk.socket.sendall(b"2")
                    talk.socket.settimeout(0.05)
                    with suppress(TimeoutError):
                        talk.socket.recv(1)
            return b""
        return None

    began = time.monotonic()
    assert isinstance(one(Script(answer=drip), timeout_s=0.3), ForNow)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("command", "told", "result"),
    [
        ("MAIL", b"454 Throttling failure: Maximum sending rate exceeded.\r\n", ForNow("454", throttled=True)),
        (".", b"454 4.7.0 Throttling failure: Daily message quota exceeded.\r\n", ForNow("454 4.7.0", throttled=True)),
        ("RCPT", b"450 4.2.1 Greylisted\r\n", ForNow("450 4.2.1")),
        ("RCPT", b"550 5.1.1 <alice@acme.example> is not here\r\n", ForEver("550 5.1.1")),
        ("MAIL", b"530 5.7.0 Authentication required\r\n", ForNow("530 5.7.0", of_all=True)),
        ("MAIL", b"421 4.3.2 Going down\r\n", ForNow("421 4.3.2", of_all=True)),
        (".", b"554 Transaction failed: Address quoted alice@acme.example\r\n", ForEver("554")),
    ],
)
def test_the_code_decides_and_no_address_that_a_server_quotes_is_kept(command: str, told: bytes, result: Result) -> None:
    assert one(saying(command, told)) == result


def test_the_providers_name_of_a_mail_is_kept() -> None:
    assert one(Script()) == Sent("0102018f2a3b4c5d-0a1b2c3d-000000")
    assert one(saying(".", b"250 2.0.0 Message accepted for delivery\r\n")) == Sent("")


def test_a_server_that_offers_it_gets_the_envelope_in_one_packet_and_another_one_step_by_step() -> None:
    script = Script()
    assert isinstance(one(script), Sent)
    assert any(packet.startswith(b"MAIL FROM") and packet.endswith(b"DATA\r\n") for packet in script.packets)
    script = Script(extensions=())
    assert isinstance(one(script), Sent)
    assert b"DATA\r\n" in script.packets


def test_a_mail_arrives_as_it_was_made_dots_and_all() -> None:
    script = Script()
    one(script, [mail(body=b".\r\n..two\r\nthree.\r\n.")])
    assert script.mails[0].endswith(b"\r\n\r\n..\r\n...two\r\nthree.\r\n..")


@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n"])
def test_nothing_can_be_smuggled_behind_a_mails_end(end: bytes) -> None:
    script = Script()
    one(script, [mail(body=b"Hello" + end + b"MAIL FROM:<evil@rival.example>\r\n")])
    assert len(script.mails) == 1
    assert b"\r\n..\r\nMAIL FROM:<evil@rival.example>" in script.mails[0]


@pytest.mark.parametrize(
    "address",
    [
        "a@x.example\r\nRCPT TO:<b@rival.example>",
        "a@x.example\n",
        "a b@x.example",
        "<a@x.example>",
        "a@x.example> BODY=x",
        "a",
        "",
        "a\x00@x.example",
        "a" * 300 + "@x.example",
    ],
)
def test_an_address_that_would_be_more_than_an_address_is_refused(address: str) -> None:
    script = Script()
    with serving(script), wire(script.port) as open_wire:
        assert list(open_wire.send([mail(to=address), mail(sender=address)])) == [ForEver("The address cannot be used.")] * 2
    assert not [command for command in script.commands if command.startswith(("MAIL", "RCPT"))]


def test_a_name_that_is_not_ascii_needs_a_server_that_takes_it() -> None:
    script = Script()
    assert isinstance(one(script, [mail(to="zoë@acme.example")]), Sent)
    assert "SMTPUTF8" in script.commands[1]
    assert isinstance(one(Script(extensions=("PIPELINING",)), [mail(to="zoë@acme.example")]), ForEver)


def test_a_connection_that_was_closed_meanwhile_is_opened_again_and_nothing_is_lost() -> None:
    script = Script(answer=lambda talk, command: b"" if command.startswith("MAIL") and talk.number == 1 and script.mails else None)
    with serving(script), wire(script.port) as open_wire:
        assert all(isinstance(result, Sent) for result in open_wire.send([mail(1), mail(2), mail(3)]))
    assert (script.talks, len(script.mails)) == (2, 3)


def test_a_connection_is_renewed_after_so_many_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "RENEW_AFTER", 3)
    script = Script()
    with serving(script), wire(script.port) as open_wire:
        assert len([result for result in open_wire.send(mail(number) for number in range(7)) if isinstance(result, Sent)]) == 7
    assert (script.talks, script.commands.count("QUIT")) == (3, 3)


def test_a_server_that_takes_two_connections_gets_everything_through_those() -> None:
    script = Script(answer=lambda talk, command: b"421 4.7.0 Too many connections\r\n" if talk.number > 2 and not command else None)
    with serving(script), wire(script.port, most=6) as open_wire:
        assert [type(result) for result in open_wire.send(mail(number) for number in range(60))] == [Sent] * 60


def test_a_server_that_is_away_is_told_of_all_mails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "DOWN_S", 60.0)
    with serving(Script()) as gone:
        pass
    began = time.monotonic()
    with wire(gone.port, most=4) as open_wire:
        results = list(open_wire.send(mail(number) for number in range(200)))
    assert results == [ForNow("The server is not reached: ConnectionRefusedError.", of_all=True)] * 200
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("scheme", ["smtp+tls", "smtp+ssl"])
def test_under_tls_a_login_and_a_mail_go_to_a_server_whose_certificate_holds(tmp_path: Path, scheme: str) -> None:
    server, client = certificate(tmp_path)
    script = Script(extensions=("PIPELINING", "AUTH PLAIN"), context=server, implicit=scheme == "smtp+ssl")
    assert isinstance(one(script, scheme=scheme, user="me", context=client), Sent)
    assert any(command.startswith("AUTH PLAIN") for command in script.commands)
    assert not any(packet.startswith(b"AUTH") for packet in script.packets[:1])


@pytest.mark.parametrize("scheme", ["smtp+tls", "smtp+ssl"])
def test_a_certificate_that_nobody_vouches_for_gets_neither_login_nor_mail(tmp_path: Path, scheme: str) -> None:
    server, _client = certificate(tmp_path)
    script = Script(extensions=("AUTH PLAIN",), context=server, implicit=scheme == "smtp+ssl")
    assert one(script, scheme=scheme, user="me", timeout_s=3) == ForNow("The server is not reached: SSLCertVerificationError.", of_all=True)
    assert not [command for command in script.commands if not command.startswith(("EHLO", "STARTTLS"))]


def test_a_server_without_tls_where_it_was_asked_for_gets_nothing() -> None:
    script = Script(extensions=("AUTH PLAIN",))
    assert one(script, scheme="smtp+tls", user="me") == ForNow("The server is not reached: SMTPNotSupportedError.", of_all=True)
    assert not [command for command in script.commands if command.startswith(("AUTH", "MAIL"))]


def test_a_password_crosses_no_network_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """smtp:// is plain, but not for a login to another machine."""
    monkeypatch.setattr(smtp, "_is_this_machine", lambda _host: False)
    script = Script(extensions=("AUTH PLAIN",))
    assert isinstance(one(script, user="me"), ForNow)
    assert not [command for command in script.commands if command.startswith("AUTH")]


def test_what_was_said_before_the_encryption_is_not_taken_for_said_under_it(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    script = Script(context=server, answer=lambda _talk, command: b"220 go on\r\n250 AUTH PLAIN\r\n" if command == "STARTTLS" else None)
    assert isinstance(one(script, scheme="smtp+tls", context=client, timeout_s=3), ForNow)
    assert not script.mails


def test_a_login_that_is_refused_is_said_in_the_log_and_costs_no_mail(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(extensions=("AUTH PLAIN",), answer=lambda _talk, command: b"535 5.7.8 Wrong\r\n" if command.startswith("AUTH") else None)
    assert one(script, user="me") == ForNow("The login was refused (535).", of_all=True)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert SECRET not in caplog.text


def test_a_mail_leaves_at_its_instant_or_not_at_all() -> None:
    script = Script()
    with serving(script), wire(script.port) as open_wire:
        list(open_wire.send([mail(1)]))
        began = time.monotonic()
        results = list(open_wire.send([Timed(mail(2), began - 1), Wait(began + 0.1), Timed(mail(3), began + 0.2)]))
        assert time.monotonic() - began >= 0.2
    assert [type(result) for result in results] == [Late, Sent]
    assert len(script.mails) == 2


def test_results_are_heard_while_the_feed_waits() -> None:
    """A feed that has nothing yet holds up nobody: what has left is told."""
    script, heard = Script(), list[Result]()

    def feed() -> Iterator[Mail | Wait]:
        yield mail(1)
        while not heard:
            yield Wait(time.monotonic() + 0.05)

    with serving(script), wire(script.port) as open_wire:
        for result in open_wire.send(feed()):
            heard.append(result)
    until(lambda: heard, within_s=5)
