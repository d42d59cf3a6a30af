"""Five hundred requests of three causes, one of which is mended: the first, the rest, the sums; and everything as if it had come at once."""

import re
import signal
import sys
import time
from contextlib import closing
from typing import Final

import pytest
from django.utils import timezone

from analytics.stream import claim, loop
from engagement import inbox
from engagement.models import Organisation
from operations import work
from operations.models import Redrive, RedriveItem
from tests.faults.client import Ledger, post_all
from tests.faults.crowd import Request, fix
from tests.faults.oracle import differences
from tests.faults.processes import Process, Product, running

PAST: Final = int(time.time()) - 20_000
REQUESTS: Final = {"missing": 300, "refused": 150, "bytes": 50}


def said(cause: str) -> list[Request]:
    """Of a cause that lies in the database, each request of a phone of its own; its name says what will stop it."""
    number = list(REQUESTS).index(cause) * 10_000
    return [Request(f"{cause}-{one}", (fix(number + 2 * one, PAST + one), fix(number + 2 * one + 1, PAST + one + 60))) for one in range(REQUESTS[cause])]


def break_it(product: Product) -> None:
    """Three failures that are told apart by type and place: of two triggers that refuse with codes of their own, and of bytes that are damaged."""
    for cause, code in (("missing", "not_null_violation"), ("refused", "raise_exception")):
        product.town.admin(f"CREATE FUNCTION {cause}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
        product.town.admin(f"CREATE TRIGGER {cause} BEFORE INSERT ON engagement_device FOR EACH ROW WHEN (new.key LIKE '{cause}-%') EXECUTE FUNCTION {cause}()")
    product.town.rows(
        """INSERT INTO engagement_inbox (organisation_id, shard, received_at, events, imported, payload)
           SELECT id, n %% 64, now(), 2, false, '\\x00ff' FROM engagement_organisation, generate_series(1, %s) n WHERE key = 'acme'""",
        [REQUESTS["bytes"]],
    )


ERRORS: Final = {
    "missing": "NotNullViolation at identities.py:153",
    "refused": "RaiseException at identities.py:153",
    "bytes": "ValidationError at inbox.py:60",
}


def parked() -> dict[str, int]:
    return {one.text: one.number for one in work.parked(Organisation.objects.get(key="acme"))}


def all_parked(product: Product) -> Ledger:
    """Posted to a real door, broken for real; set aside by the stream's own statement, since it would try each three times before."""
    door = product.door()
    door.open()
    break_it(product)
    ledger = post_all(product.town, door.port, [*said("missing"), *said("refused")])
    door.end()
    with closing(loop.open_session()) as session:
        for id, payload in product.town.rows("SELECT id, payload FROM engagement_inbox ORDER BY id"):
            claim.set_aside(session, id, ERRORS[inbox.unpack(payload).device.partition("-")[0] if payload != b"\x00\xff" else "bytes"])
    return ledger


def test_case_21_of_five_hundred_parked_for_three_causes_those_of_the_mended_one_are_sent_on(product: Product) -> None:
    town = product.town
    ledger = all_parked(product)
    assert parked() == {ERRORS[name]: number for name, number in REQUESTS.items()}
    listed = product.manage("work").stdout
    cause = {line.split()[-3]: line.split()[2] for line in listed.splitlines() if " at " in line}
    rows = [line.split()[:4] for line in listed.splitlines()[1:4]]
    assert rows == [["acme", "requests", cause[ERRORS[name].split()[0]], str(number)] for name, number in REQUESTS.items()]
    with running(product.stream()):
        still_broken = product.manage("work", "redrive", "acme", "requests", cause["RaiseException"], "--wait")
        assert still_broken.returncode == 1 and "not mended" in still_broken.stderr, still_broken
        assert "149 parked + 0 sent on + 0 went well + 1 parked again + 0 gone = 150 of 150" in still_broken.stdout
        town.admin("DROP TRIGGER missing ON engagement_device")
        mended = product.manage("work", "redrive", "acme", "requests", cause["NotNullViolation"], "--rate", "100", "--wait")
    assert mended.returncode == 0, mended
    told = [line for line in mended.stdout.splitlines() if line.startswith("redrive ")]
    assert "299 parked + 1 sent on" in told[0] and "0 parked + 0 sent on + 300 went well + 0 parked again + 0 gone = 300 of 300" in told[-1]
    assert all(sum(int(part) for part in re.findall(r"(\d+) (?:parked|sent|went|gone)", line)) == 300 for line in told), mended.stdout
    assert parked() == {ERRORS["refused"]: 150, ERRORS["bytes"]: 50}
    arrived = {identity for request in said("missing") for identity in request.identities}
    assert differences(town, acknowledged=arrived & ledger.acknowledged, set_aside=200) == []
    assert town.outcomes() == {"accepted": 600}


def killed(product: Product, point: str, *command: str) -> None:
    environment = product.town.environment(FAULT=f"{point}:kill", DJANGO_SETTINGS_MODULE="engagement.settings")
    process = Process([sys.executable, *command], environment, product.folder / "killed.log")
    process.start()
    assert process.wait() == -signal.SIGKILL, process.log.read_text()


def sent_on(product: Product) -> int:
    """As the requests say, and as the redrive says: never is there one without the other."""
    number = product.town.value("SELECT count(replayed_as) FROM engagement_setaside")
    assert RedriveItem.objects.exclude(released_at=None).count() == number
    assert product.town.value("SELECT count(*) FROM engagement_inbox") + RedriveItem.objects.filter(state=RedriveItem.State.DONE).count() == number
    return int(number)


@pytest.mark.parametrize(("point", "committed"), [("work.before_commit", False), ("work.after_commit", True)])
def test_killed_on_the_way_nothing_goes_twice_and_nothing_is_lost(product: Product, point: str, committed: bool) -> None:
    """Killed as it begins, and as it sends on the rest; somebody else goes on."""
    town, acme = product.town, Organisation.objects.get(key="acme")
    town.rows(
        """INSERT INTO engagement_setaside (organisation_id, shard, received_at, events, imported, payload, error, set_aside_at)
           SELECT %s, 5, now(), 0, false, '\\x00ff', 'KeyError', now() FROM generate_series(1, 20)""",
        [acme.pk],
    )
    cause = work.parked(acme)[0].cause
    killed(product, point, "manage.py", "work", "redrive", "acme", "requests", cause, "--rate", "1000")
    assert sent_on(product) == committed
    redrive = Redrive.objects.first() or work.redrive(acme, "requests", cause, 1000, "alice")
    town.rows("DELETE FROM engagement_inbox")  # it goes well
    work.advance(timezone.now())
    killed(product, point, "-c", "import django; django.setup(); from operations import work; from django.utils.timezone import now; work.advance(now())")
    assert sent_on(product) == (20 if committed else 1)
    work.advance(timezone.now())
    assert sent_on(product) == 20
    town.rows("DELETE FROM engagement_inbox")
    work.advance(timezone.now())
    assert work.reconcile(redrive) == work.Sums(0, 0, 20, 0, 0, 20)
    assert redrive.state == Redrive.State.FINISHED
