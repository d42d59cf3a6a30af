"""Files of shoppers are taken in: as the columns say, once, after whatever crash, with their faults by line and nobody's data in them."""

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connections
from django.utils import timezone

from engagement import faults, imports, tasks
from engagement.imports import NotNow, Terms
from engagement.models import Consent, ConsentState, ListMember, Organisation, Profile, Shopper, ShopperImport, ShopperList
from engagement.profiles import sheet
from engagement.profiles.record import record
from tests.servers import until

pytestmark = pytest.mark.django_db
State = ShopperImport.State
ROOT: Final = Path(__file__).resolve().parents[2]
WORKER: Final = "import django; django.setup(); from engagement import imports; imports.work(turn_s=60)"
AGREED: Final = Terms("marketing", "v3", "till", "2026-11-01T00:00:00+00:00", everybody=True)
TEXT: Final = "Customer ID;E-Mail;Language;tier;visits;VIP\r\na;a@example.com;en;gold;3;yes\r\nb;b@example.com;;;4,5;no\r\n"


def uploaded(organisation: Organisation, text: str = TEXT) -> ShopperImport:
    return imports.upload(organisation=organisation, name="people.csv", chunks=[text.encode()], by="emma")


def meant(row: ShopperImport) -> dict[int, str]:
    return {int(column): meaning for column, meaning in row.mapping.items()}


def looked_at(row: ShopperImport, terms: Terms = AGREED, into: ShopperList | None = None, mapping: dict[int, str] | None = None) -> ShopperImport:
    imports.look(row, mapping=mapping or meant(row), terms=terms, into=into)
    return worked(row)


def taken_in(row: ShopperImport) -> ShopperImport:
    imports.take_in(row)
    return worked(row)


def worked(row: ShopperImport) -> ShopperImport:
    imports.work(turn_s=60)
    row.refresh_from_db()
    return row


def counts(row: ShopperImport) -> tuple[int, int, int, int]:
    return row.created, row.updated, row.unchanged, row.rejected


def told(organisation: Organisation) -> dict[str, tuple[Any, ...]]:
    rows = Profile.objects.filter(organisation=organisation).select_related("shopper")
    return {str(row.shopper): (row.email, row.language, row.attributes) for row in rows}


def test_a_file_is_looked_at_without_a_trace_and_then_taken_in(acme: Organisation) -> None:
    row = uploaded(acme)
    assert (row.state, row.lines, row.asked_by) == (State.UPLOADED, 2, "emma")
    looked_at(row)
    assert (row.state, counts(row)) == (State.CHECKED, (2, 0, 0, 0))
    assert not Shopper.objects.exists() and not Consent.objects.exists() and row.content
    taken_in(row)
    assert (row.state, counts(row), bytes(row.content)) == (State.FINISHED, (2, 0, 0, 0), b"")
    assert told(acme) == {
        "a": ("a@example.com", "en", {"tier": "gold", "visits": 3, "VIP": True}),
        "b": ("b@example.com", "", {"visits": 4.5, "VIP": False}),
    }
    ledger = Consent.objects.filter(shopper__external_id="a").get()
    assert (ledger.given, ledger.source, ledger.wording, ledger.recorded_by) == (True, "till", "v3", "emma")


def test_the_same_file_again_changes_nothing(acme: Organisation) -> None:
    taken_in(looked_at(uploaded(acme)))
    before = told(acme)
    again = looked_at(uploaded(acme))
    assert counts(again) == (0, 0, 2, 0)
    assert counts(taken_in(again)) == (0, 0, 2, 0)
    assert told(acme) == before and Consent.objects.count() == 2


def test_an_empty_cell_says_nothing_and_what_was_known_stays(acme: Organisation) -> None:
    record(acme, [{"id": "b", "language": "de", "attributes": {"tier": "silver", "old": 1}}], "ops", timezone.now())
    taken_in(looked_at(uploaded(acme)))
    assert told(acme)["b"] == ("b@example.com", "de", {"tier": "silver", "old": 1, "visits": 4.5, "VIP": False})


def test_faults_name_the_line_the_column_and_the_reason_and_never_what_stood_there(acme: Organisation) -> None:
    secret = "eve@secret.example"
    text = f"id,email,visits,consent,consent_at\na,{secret}x@,1,yes,2026-01-01\n,{secret},1,,\nb,{secret},{secret},,\nc,c@example.com,1,{secret},\n"
    text += "d,d@example.com,1,yes,\n"
    text += f"e,e@example.com,1,yes,{secret}\nf,f@example.com,1,,,{secret}\natrium:7,,,,\ng,g@example.com,2,no,2026-01-02 10:00\nh,,,yes,2999-01-01\n"
    row = looked_at(uploaded(acme, text), Terms("marketing", "v1", "file"), mapping={0: "id", 1: "email", 2: "number:visits", 3: "consent", 4: "consent_at"})
    assert [(one["line"], one["column"], one["reason"]) for one in row.faults] == [
        (2, 1, "bad_email"), (3, 0, "missing_field"), (4, 2, "malformed"), (5, 3, "malformed"), (6, 4, "missing_field"),
        (7, 4, "malformed"), (8, None, "too_many_cells"), (9, 0, "malformed"), (11, 4, "in_future"),
    ]  # fmt: skip
    assert counts(row) == (1, 0, 0, 9)
    assert secret not in json.dumps(row.faults)
    taken_in(row)
    assert set(told(acme)) == {"g"}
    state = ConsentState.objects.get()
    # A time without its offset is one of the organisation's clock: that of Johannesburg.
    assert (state.given, state.at) == (False, datetime(2026, 1, 2, 8, tzinfo=UTC))


def test_a_column_of_consents_goes_before_the_files_own(acme: Organisation) -> None:
    row = uploaded(acme, "id,consent\na,no\nb,\nc,yes\n")
    taken_in(looked_at(row))
    assert {str(state.shopper): state.given for state in ConsentState.objects.select_related("shopper")} == {"a": False, "b": True, "c": True}


def test_formulas_are_texts_like_any_other(acme: Organisation) -> None:
    taken_in(looked_at(uploaded(acme, 'id,note\n=1+1,"=HYPERLINK(""http://evil.example"")"\n+a,@SUM(A1)\n')))
    assert told(acme) == {"=1+1": ("", "", {"note": '=HYPERLINK("http://evil.example")'}), "+a": ("", "", {"note": "@SUM(A1)"})}


def test_everybody_in_the_file_joins_the_list_and_who_had_left_is_back(acme: Organisation) -> None:
    vips = ShopperList.objects.create(organisation=acme, key="vips", name="VIPs")
    record(acme, [{"id": "a"}], "ops", timezone.now())
    left = ListMember.objects.create(list=vips, shopper=Shopper.objects.get(), present=False)
    row = looked_at(uploaded(acme, TEXT + "c;not an address;;;;\r\n"), into=vips)
    left.refresh_from_db()
    assert not left.present and vips.members.count() == 1  # it was only looked at
    taken_in(row)
    assert {str(member.shopper) for member in vips.members.filter(present=True).select_related("shopper")} == {"a", "b"}


def test_who_stands_on_several_lines_is_told_of_in_their_order(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a slice ends between them."""
    for size in (1000, 2):
        monkeypatch.setattr(imports, "SLICE", size)
        taken_in(looked_at(uploaded(acme, "id,email,tier\na,1@example.com,x\nb,,\na,2@example.com,\na,,y\n")))
        assert told(acme)["a"] == ("2@example.com", "", {"tier": "y"})


def test_a_quote_that_is_never_closed_ends_it_and_says_where(acme: Organisation) -> None:
    content = sheet.packed([b'id,note\na,1\nb,"open\nc,2\n'])
    row = ShopperImport.objects.create(organisation=acme, name="x.csv", content=content, mapping={"0": "id"})
    looked_at(row)
    assert (row.state, row.faults, counts(row)) == (State.FAILED, [{"line": 3, "column": None, "reason": "quotes"}], (1, 0, 0, 0))
    imports.again(row)
    assert ShopperImport.objects.get().state == State.UPLOADED


@pytest.mark.parametrize(
    ("mapping", "terms", "said"),
    [
        ({0: "id"}, Terms(), []),
        ({0: "id", 1: "text:tier", 2: "consent", 3: "consent_at"}, Terms("marketing", "v", "s"), []),
        ({1: "email"}, Terms(), ["no_id"]),
        ({0: "id", 1: "id"}, Terms(), ["twice"]),
        ({0: "id", 1: "text:a", 2: "number:a"}, Terms(), ["name"]),
        ({0: "id", 1: "text:"}, Terms(), ["name"]),
        ({0: "id", 1: "text: a"}, Terms(), ["name"]),
        ({0: "id", 1: "sum:a"}, Terms(), ["unknown"]),
        ({0: "id", 1: "password"}, Terms(), ["unknown"]),
        ({0: "id", **{n: f"text:{n}" for n in range(1, 52)}}, Terms(), ["attributes"]),
        ({0: "id", 1: "consent"}, Terms(), ["terms"]),
        ({0: "id", 1: "consent", 2: "consent_at"}, Terms("marketing", "v", "s", everybody=True), ["terms"]),
        *(({0: "id"}, replace(AGREED, **{name: ""}), ["terms"]) for name in ("purpose", "wording", "source", "at")),
    ],
)  # fmt: skip
def test_names_of_columns_that_make_no_sense_are_found(mapping: dict[int, str], terms: Terms, said: list[str]) -> None:
    assert imports.wrong(mapping, terms) == said


def test_each_move_is_taken_from_its_own_state_alone(acme: Organisation) -> None:
    row = uploaded(acme)
    with pytest.raises(NotNow):
        imports.take_in(row)
    imports.look(row, mapping=meant(row), terms=AGREED, into=None)
    for move in (imports.take_in, imports.again, imports.discard):
        with pytest.raises(NotNow):
            move(row)
    worked(row)
    looked_at(row, Terms())
    taken_in(row)
    for move in (imports.take_in, imports.again):
        with pytest.raises(NotNow):
            move(row)
    imports.discard(row)
    assert not ShopperImport.objects.exists() and Profile.objects.count() == 2


def test_a_crash_in_the_middle_goes_on_where_it_stopped_and_one_that_always_crashes_is_given_up(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "SLICE", 10)
    text = "id,email\n" + "".join(f"s{n},{n}@example.com\n" for n in range(35))
    row = looked_at(uploaded(acme, text))
    imports.take_in(row)
    assert imports.work(turn_s=0) == 0
    seen = []

    def crash_at_the_second(name: str) -> None:
        seen.append(name)
        if len(seen) == 2:
            raise faults.InjectedFault(name)

    monkeypatch.setattr(imports, "point", crash_at_the_second)
    imports.work(turn_s=60)
    row.refresh_from_db()
    assert (row.line, row.created, row.attempts, Profile.objects.count()) == (11, 10, 1, 10)
    tasks.work_imports()
    worked(row)
    assert (row.state, counts(row), Profile.objects.count()) == (State.FINISHED, (35, 0, 0, 0), 35)

    def crash(name: str) -> None:
        raise faults.InjectedFault(name)

    monkeypatch.setattr(imports, "point", crash)
    poison = uploaded(acme)
    imports.look(poison, mapping=meant(poison), terms=AGREED, into=None)
    for _ in range(4):
        worked(poison)
    assert poison.state == State.FAILED


def test_a_failure_tells_the_log_nothing_of_the_file(acme: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def breaks(*_: object) -> None:
        raise ValueError("eve@secret.example")

    monkeypatch.setattr(imports, "record", breaks)
    row = uploaded(acme)
    imports.look(row, mapping=meant(row), terms=AGREED, into=None)
    imports.work(turn_s=60)
    assert "ValueError" in caplog.text and "secret" not in caplog.text


def test_somebody_who_is_taken_out_of_the_file_meanwhile_is_not_taken_in(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an erasure does it, between two slices of one worker."""
    monkeypatch.setattr(imports, "SLICE", 1)
    row = looked_at(uploaded(acme))
    imports.take_in(row)
    seen = []

    def erase_b(name: str) -> None:
        seen.append(name)
        if len(seen) == 1:
            content = sheet.without(bytes(ShopperImport.objects.get().content), lambda _, cell: cell == "b")
            ShopperImport.objects.update(content=content)

    monkeypatch.setattr(imports, "point", erase_b)
    worked(row)
    assert (row.state, set(told(acme))) == (State.FINISHED, {"a"})


def test_files_that_nobody_takes_in_are_emptied_after_a_week(acme: Organisation) -> None:
    old, fresh = uploaded(acme), uploaded(acme)
    ShopperImport.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=8))
    tasks.forget_answers()
    assert {row.pk: bool(row.content) for row in ShopperImport.objects.all()} == {old.pk: False, fresh.pk: True}


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_before_its_commit_leaves_nothing_and_the_next_one_goes_on(
    acme: Organisation, environment: dict[str, str], tmp_path: Path
) -> None:
    row = uploaded(acme)
    imports.look(row, mapping=meant(row), terms=AGREED, into=None)
    worked(row)
    imports.take_in(row)
    once = tmp_path / "once"
    once.touch()
    own = {**environment, "DJANGO_SETTINGS_MODULE": "engagement.settings", "FAULT": "import.before_commit:kill", "FAULT_ONCE": str(once)}
    ended = [subprocess.run([sys.executable, "-c", WORKER], cwd=ROOT, env=own, timeout=60, check=False).returncode for _ in range(2)]
    assert ended == [-signal.SIGKILL, 0]
    row.refresh_from_db()
    assert (row.state, counts(row), set(told(acme)), Consent.objects.count()) == (State.FINISHED, (2, 0, 0, 0), {"a", "b"}, 2)


@pytest.mark.django_db(transaction=True)
def test_an_import_is_taken_from_a_worker_that_stands_still(acme: Organisation, environment: dict[str, str], tmp_path: Path) -> None:
    row = uploaded(acme)
    imports.look(row, mapping=meant(row), terms=AGREED, into=None)
    once = tmp_path / "once"
    once.touch()
    own = {**environment, "DJANGO_SETTINGS_MODULE": "engagement.settings", "FAULT": "import.before_commit:stop", "FAULT_ONCE": str(once)}
    frozen = subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env={**own, "ATRIUM_WORK_IDLE_S": "2"})
    try:
        until(lambda: not once.exists(), within_s=30)
        assert imports.work() == 0  # it is held, and its worker might go on
        until(lambda: imports.work() or ShopperImport.objects.get(pk=row.pk).state == State.CHECKED, within_s=30)
        frozen.send_signal(signal.SIGCONT)
        frozen.wait(30)
    finally:
        frozen.kill()
        frozen.wait()
    row.refresh_from_db()
    assert (row.state, counts(row), row.faults) == (State.CHECKED, (2, 0, 0, 0), [])


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_take_every_line_in_once(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "SLICE", 20)
    row = uploaded(acme, "id,email\n" + "".join(f"s{n},{n}@example.com\n" for n in range(400)))
    start = threading.Barrier(3)

    def work(_number: int) -> None:
        start.wait()
        try:
            while ShopperImport.objects.filter(state__in=imports.WORKED).exists():
                imports.work()
        finally:
            connections.close_all()

    for state in (State.UPLOADED, State.CHECKED):
        assert row.state == state
        imports.look(row, mapping=meant(row), terms=AGREED, into=None) if state == State.UPLOADED else imports.take_in(row)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))
        row.refresh_from_db()
        assert (counts(row), row.faults) == ((400, 0, 0, 0), [])
    assert (row.state, Profile.objects.count(), Consent.objects.count()) == (State.FINISHED, 400, 400)
