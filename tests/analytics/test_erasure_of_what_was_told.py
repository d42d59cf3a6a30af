"""Somebody is erased: what was told of him, what he agreed to, and every set that he was in; in any table, packed or not."""

import gzip
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from django.db import connection, connections
from pyroaring import BitMap

from analytics.audiences import columns
from analytics.audiences import refresh as refreshing
from analytics.facts import pack_set, unpack_set
from analytics.models import Audience, AudienceChange
from analytics.stream import erasing, loop
from engagement import faults
from engagement.models import Consent, ConsentState, IdempotentAnswer, ListMember, Organisation, Profile, Shopper, ShopperImport, ShopperList
from engagement.profiles import sheet
from engagement.profiles.record import record
from notifications.models import Campaign, Message, Preference, Run, Suppression, Topic
from tests.analytics.erasures import ask, erased, everything, rows_of
from tests.analytics.test_stream_law import waits
from tests.analytics.test_transitions import drain, minutes, send

pytestmark = pytest.mark.django_db(transaction=True)

NOW: Final = datetime.now(UTC).replace(microsecond=0)
WORDS: Final = ("crm-ann", "ann@example.com", "platinum", "checkout-of-ann")
PACKED: Final = (
    ("analytics_audience", "members"),
    ("analytics_audiencechange", "joined"),
    ("analytics_audiencechange", "left"),
    ("analytics_zoneday", "members"),
)


def tell(organisation: Organisation, id: str, email: str, tier: str, source: str) -> int:
    agreed = {"channel": "email", "purpose": "marketing", "given": True, "at": NOW.isoformat(), "source": source}
    [answer] = record(organisation, [{"id": id, "email": email, "attributes": {"tier": tier}, "consents": [agreed]}], "ops", NOW)
    assert answer.result == "created"
    return Shopper.objects.get(organisation=organisation, external_id=id).pk


@pytest.fixture
def ann(acme: Organisation) -> int:
    return tell(acme, "crm-ann", "Ann@Example.com", "platinum", "checkout-of-ann")


@pytest.fixture
def ben(acme: Organisation, ann: int) -> int:
    return tell(acme, "crm-ben", "ben@example.com", "gold", "checkout-of-ben")


def audience(organisation: Organisation, *members: int) -> Audience:
    made = Audience.objects.create(organisation=organisation, key="all", name="All", rule={"all": []}, members=pack_set(BitMap(members)), count=len(members))
    AudienceChange.objects.create(audience=made, at=NOW, joined=pack_set(BitMap(members)), joined_count=len(members))
    AudienceChange.objects.create(audience=made, at=NOW, left=pack_set(BitMap(members[:1])), left_count=1)
    return made


def campaign(organisation: Organisation, of: Audience) -> Run:
    made = Campaign.objects.create(organisation=organisation, key="c", name="C", audience=of, state="sending", sender="News <news@example.com>")
    return Run.objects.create(campaign=made, due_at=NOW, audience_count=2, planned_at=NOW)


def message(run: Run, shopper: int, state: str) -> Message:
    return Message.objects.create(
        organisation=run.campaign.organisation, campaign=run.campaign, run=run, shopper_id=shopper, state=state, send_after=NOW, updated_at=NOW
    )


def traces(shopper: int) -> dict[str, int]:
    """Tables that have him in them: as a word in any column, inside what is packed, or as a number in a set."""
    found: dict[str, int] = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT count(*) FROM "{table}" AS t WHERE lower(t::text) LIKE ANY(%s)', [[f"%{word}%" for word in WORDS]])
            found[table] = cursor.fetchone()[0]
        for table, column in PACKED:
            cursor.execute(f'SELECT "{column}" FROM {table}')
            found[f"{table}.{column}"] = sum(shopper in unpack_set(bytes(packed)) for (packed,) in cursor.fetchall())
    files = [gzip.decompress(bytes(one.content)).decode().lower() for one in ShopperImport.objects.exclude(content=b"")]
    found["files"] = sum(word in text for text in files for word in WORDS)
    return {table: count for table, count in found.items() if count}


def test_nothing_of_somebody_is_left_in_any_table_and_the_others_stay(acme: Organisation, ann: int, ben: int, worker: loop.Worker) -> None:
    send(acme, *minutes(30, 29, 28, 20), shopper="crm-ann")
    drain(worker)
    everybody = audience(acme, ann, ben)
    vips = ShopperList.objects.create(organisation=acme, key="vips", name="VIPs")
    for shopper in (ann, ben):
        ListMember.objects.create(list=vips, shopper_id=shopper)
        Preference.objects.create(
            organisation=acme, shopper_id=shopper, topic=Topic.objects.get_or_create(organisation=acme, key="t", name="T")[0], wished=False, at=NOW
        )
    Suppression.objects.create(organisation=acme, address="ann@example.com", why="bounce", at=NOW)
    Suppression.objects.create(organisation=acme, address="ben@example.com", why="bounce", at=NOW)
    text = "id;email;note\r\ncrm-ben;ben@example.com;\r\ncrm-ann;x@example.com;\r\nother;ANN@example.com;platinum\r\nlast;l@example.com;\r\n"
    file = ShopperImport.objects.create(organisation=acme, name="file.csv", content=sheet.packed([text.encode()]))
    answer = IdempotentAnswer.objects.create(
        organisation=acme, key="k", request=b"x", status=200, answer='{"results":[{"id":"crm-ann","result":"created"},{"id":"crm-ben","result":"created"}]}'
    )
    run = campaign(acme, everybody)
    planned, sent = message(run, ann, "planned"), message(run, ben, "sent")
    assert {"engagement_profile", "engagement_consent", "engagement_shopper", "analytics_audience.members", "files"} <= set(traces(ann))
    before = {table: count for table, count in traces(ben).items() if "." in table}

    ask(acme, "crm-ann")
    assert erased(worker) == 1

    assert traces(ann) == {} and rows_of(ann, []) == {}
    assert {table: count for table, count in traces(ben).items() if "." in table} == before | {"analytics_audiencechange.joined": 1}
    everybody.refresh_from_db()
    assert (everybody.count, [(row.joined_count, row.left_count) for row in everybody.changes.order_by("pk")]) == (1, [(1, 0), (0, 0)])
    assert [model.objects.get().shopper_id for model in (Profile, Consent, ConsentState, ListMember, Preference)] == [ben] * 5
    assert Suppression.objects.get().address == "ben@example.com"
    file.refresh_from_db()
    assert [(row.line, row.cells[0]) for row in sheet.rows(bytes(file.content))] == [(1, "id"), (2, "crm-ben"), (5, "last")]
    answer.refresh_from_db()
    assert answer.answer == '{"results":[{"id":"","result":"created"},{"id":"crm-ben","result":"created"}]}'
    planned.refresh_from_db()
    assert (planned.shopper_id, planned.state, planned.reason) == (-planned.pk, "skipped", "erased")
    sent.refresh_from_db()
    assert (sent.shopper_id, sent.state) == (ben, "sent")
    assert Message.objects.filter(run=run).count() == 2  # the sums still add up


def test_a_refresh_that_waits_with_an_older_set_writes_nobody_back(acme: Organisation, ann: int, ben: int, worker: loop.Worker) -> None:
    """It has worked out who is in the audience, and the erasure comes before it has written it down."""
    made = Audience.objects.create(organisation=acme, key="mailed", name="Mailed", rule={"consent": {"channel": "email"}})
    refreshing.one(made.pk)
    record(acme, [{"id": "crm-cid", "consents": [{"channel": "email", "given": True, "at": NOW.isoformat()}]}], "ops", NOW)
    [saved] = refreshing._saved("WHERE id = %s", [made.pk])
    members = columns.of(acme).consented("email", "marketing")
    view = columns.of(acme)
    assert len(members) == 3
    ask(acme, "crm-ann")
    erased(worker)
    assert not refreshing._write(saved, members, view, NOW)
    assert traces(ann) == {}
    assert refreshing.one(made.pk)
    assert traces(ann) == {} and Audience.objects.get().count == 2


def test_the_rivals_sets_and_files_are_left_alone(acme: Organisation, rival: Organisation, ann: int, worker: loop.Worker) -> None:
    """Also where the rival's file has the same id in it: that is another shopper."""
    theirs = audience(rival, ann)
    file = ShopperImport.objects.create(organisation=rival, name="file.csv", content=sheet.packed([b"id\ncrm-ann\n"]))
    answer = IdempotentAnswer.objects.create(organisation=rival, key="k", request=b"x", status=200, answer='{"id":"crm-ann"}')
    tell(rival, "crm-ann", "ann@example.com", "platinum", "x")
    ask(acme, "crm-ann")
    erased(worker)
    for row, names in ((theirs, ("members", "count")), (file, ("content",)), (answer, ("answer",))):
        before = [getattr(row, name) for name in names]
        row.refresh_from_db()
        assert [bytes(value) if isinstance(value, memoryview) else value for value in (getattr(row, name) for name in names)] == before
    assert Profile.objects.get().organisation == rival


def test_a_number_of_somebody_else_in_a_file_is_not_taken_for_his_id(acme: Organisation, worker: loop.Worker) -> None:
    tell(acme, "42", "ann@example.com", "x", "y")
    text, named, not_yet = b"id;visits;note\n1;42;\n42;1;\n3;3;42\n", {"0": "id", "1": "number:visits", "2": "text:note"}, {"1": "number:visits"}
    files = [ShopperImport.objects.create(organisation=acme, name="f.csv", content=sheet.packed([text]), mapping=mapping) for mapping in (named, not_yet)]
    ask(acme, "42")
    erased(worker)
    for file in files:
        file.refresh_from_db()
    assert [[row.cells[0] for row in sheet.rows(bytes(file.content))] for file in files] == [["id", "1"], ["id"]]


def test_an_address_that_somebody_else_has_too_stays_suppressed(acme: Organisation, ann: int, worker: loop.Worker) -> None:
    tell(acme, "crm-eve", "ann@EXAMPLE.com", "x", "y")
    Suppression.objects.create(organisation=acme, address="ann@example.com", why="complaint", at=NOW)
    ask(acme, "crm-ann")
    erased(worker)
    assert Suppression.objects.count() == 1
    ask(acme, "crm-eve")
    erased(worker)
    assert not Suppression.objects.exists()


def test_what_is_told_again_from_before_is_refused_and_what_is_told_later_is_new(acme: Organisation, ann: int, worker: loop.Worker) -> None:
    ask(acme, "crm-ann")
    erased(worker)
    agreed = {"channel": "email", "given": True, "at": NOW.isoformat()}
    [refused] = record(acme, [{"id": "crm-ann", "consents": [agreed]}], "ops", datetime.now(UTC))
    assert refused.reason == "erased" and not Shopper.objects.exists()
    [fresh] = record(acme, [{"id": "crm-ann", "email": "new@example.com"}], "ops", datetime.now(UTC))
    assert fresh.result == "created"
    assert Shopper.objects.get().pk != ann and not Consent.objects.exists()


def test_a_crash_before_the_commit_leaves_all_of_it(acme: Organisation, ann: int, worker: loop.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    audience(acme, ann)
    ask(acme, "crm-ann")
    before = everything()
    monkeypatch.setattr(faults, "_name", "erase.before_commit")
    monkeypatch.setattr(faults, "_action", "raise")
    with pytest.raises(faults.InjectedFault):
        erasing.erase(worker.connection)
    assert everything() == before


def test_whoever_tells_of_him_meanwhile_is_waited_for_and_brings_nothing_back(acme: Organisation, ann: int) -> None:
    """What is told holds him, so the erasure waits; what comes after it finds nobody."""
    ask(acme, "crm-ann")
    done: list[int] = []
    with closing(loop.open_session()) as slow, closing(loop.open_session()) as quick:
        eraser = threading.Thread(target=lambda: done.append(erasing.erase(quick)))
        with slow.transaction():
            slow.execute("SELECT 1 FROM engagement_shopper WHERE id = %s FOR KEY SHARE", [ann])
            slow.execute("UPDATE engagement_profile SET email = 'late@example.com' WHERE shopper_id = %s", [ann])
            eraser.start()
            while eraser.is_alive() and not waits(quick):
                time.sleep(0.002)
            telling = threading.Thread(target=_told_late, args=(acme, done))
            telling.start()
        eraser.join(30)
        telling.join(30)
    assert done[0] == 1
    assert rows_of(ann, []) == {}
    assert not Profile.objects.filter(email="late@example.com").exists()


def _told_late(organisation: Organisation, done: list[Any]) -> None:
    try:
        agreed = {"channel": "email", "given": True, "at": NOW.isoformat()}
        record(organisation, [{"id": "crm-ann", "consents": [agreed]}], "ops", datetime.now(UTC))
    finally:
        connections.close_all()
