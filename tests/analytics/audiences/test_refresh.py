"""Members are kept fresh: by a task that may be lost or doubled, whatever else fails, and without whom was erased."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone
from psycopg import Error
from pyroaring import BitMap

from analytics import days, facts, tasks
from analytics.audiences import evaluate, refresh, rules, saved
from analytics.audiences.refresh import Saved
from analytics.models import Audience, AudienceChange
from engagement.database import connect
from engagement.models import ConsentState, Erasure, Organisation, Shopper, ShopperList, Zone
from tests.analytics.audiences.test_columns import consent
from tests.analytics.rows import LONG_AGO, shopper, stay
from tests.servers import until

pytestmark = pytest.mark.django_db(transaction=True)
AGREED = {"consent": {"channel": "email"}}


@pytest.fixture(autouse=True)
def _no_paces() -> None:
    refresh._paces.clear()


def keep(organisation: Organisation, key: str, rule: Any) -> Audience:
    made, _new = saved.save(organisation=organisation, key=key, name=key, rule=rule, by="emma")
    refresh._paces.clear()  # however long that took: the next round is to look at it
    return made


def members(audience: Audience) -> BitMap:
    audience.refresh_from_db()
    return facts.unpack_set(bytes(audience.members))


def test_a_round_brings_every_audience_up_to_date_and_a_second_changes_nothing(acme: Organisation, rival: Organisation) -> None:
    ann, cy = shopper(acme, "ann"), shopper(rival, "cy")
    ours, theirs, visitors = keep(acme, "a", AGREED), keep(rival, "a", AGREED), keep(acme, "b", {"visited": {"brand": "brew", "within_days": 0}})
    for who in (ann, cy):
        consent(who)
    stay(ann, Zone.objects.get(organisation=acme, key="north-brew"), timezone.now() - timedelta(seconds=1), 0)
    tasks.refresh_audiences()
    assert (members(ours), members(theirs), members(visitors)) == (BitMap([ann.pk]), BitMap([cy.pk]), BitMap([ann.pk]))
    before = list(AudienceChange.objects.values_list())
    refresh._paces.clear()
    assert refresh.step() == 0
    refresh._paces.clear()
    assert refresh.step(now=timezone.now() + timedelta(days=2)) == 1  # today is another day
    assert (members(visitors), AudienceChange.objects.count()) == (BitMap(), len(before) + 1)


def test_two_rounds_at_once_do_no_harm(acme: Organisation) -> None:
    keep(acme, "a", AGREED)
    with connect(application_name="beside") as other, other.transaction():
        assert refresh._alone(other)
        assert refresh.step() == -1
    assert refresh.step() == 0


def test_the_rounds_go_on_without_whoever_stands_still(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(acme, "a", AGREED)
    monkeypatch.setattr(refresh, "STANDING_STILL", "-c idle_in_transaction_session_timeout=300ms")
    begun, go_on, failed = threading.Event(), threading.Event(), []
    due = refresh._due

    def slowly() -> list[Saved]:
        if threading.current_thread().name == "stuck":
            begun.set()
            assert go_on.wait(30)
        return due()

    def stuck() -> None:
        try:
            refresh.step()
        except Error as error:
            failed.append(error)
        finally:
            connections.close_all()

    monkeypatch.setattr(refresh, "_due", slowly)
    thread = threading.Thread(target=stuck, name="stuck")
    thread.start()
    assert begun.wait(30)
    assert refresh.step() == -1
    until(lambda: refresh.step() != -1)
    go_on.set()
    thread.join(30)
    assert len(failed) == 1


def quicker(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> int:
    """While one has worked the members out and not written them yet, Ben agrees, and another is quicker. How many members are there then?"""
    audience = keep(acme, "a", AGREED)
    consent(shopper(acme, "ann"))
    write, left = refresh._write, [True]

    def meanwhile(*told: Any) -> bool:
        if left:
            left.clear()
            consent(shopper(acme, "ben"))
            refresh.one(audience.pk)
        return write(*told)

    monkeypatch.setattr(refresh, "_write", meanwhile)
    refresh.one(audience.pk)
    return len(members(audience))


def test_who_was_slower_writes_nothing(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quicker(acme, monkeypatch) == 2


def test_an_audience_whose_list_is_gone_keeps_its_members_and_the_others_are_fresh(acme: Organisation, caplog: pytest.LogCaptureFixture) -> None:
    ann = shopper(acme, "ann")
    vip = ShopperList.objects.create(organisation=acme, key="vip", name="VIP")
    broken, whole = keep(acme, "broken", {"not": {"list": "vip"}}), keep(acme, "whole", AGREED)
    assert members(broken) == BitMap([ann.pk])
    vip.delete()
    ben = shopper(acme, "ben")
    consent(ben)
    for _ in range(2):
        for pace in refresh._paces.values():
            pace.again_at = 0.0
        refresh.step()
    assert (members(broken), members(whole)) == (BitMap([ann.pk]), BitMap([ben.pk]))
    told = [record.getMessage() for record in caplog.records if "names something that is gone" in record.getMessage()]
    assert len(told) == 1 and "ann" not in told[0]
    with pytest.raises(rules.Fault):
        evaluate.members(acme, rules.parse(broken.rule))


def test_one_that_fails_keeps_no_other_from_being_fresh(acme: Organisation, rival: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(acme, "a", AGREED)
    theirs, cy = keep(rival, "a", AGREED), shopper(rival, "cy")
    consent(cy)
    refreshed = refresh.refresh

    def fails(organisation: int, *told: Any, **more: Any) -> int:
        if organisation == acme.pk:
            raise RuntimeError
        return refreshed(organisation, *told, **more)

    monkeypatch.setattr(refresh, "refresh", fails)
    assert refresh.step() == 1 and members(theirs) == BitMap([cy.pk])


def test_a_slow_audience_is_left_alone_for_a_while(acme: Organisation) -> None:
    slow, quick = keep(acme, "slow", AGREED), keep(acme, "quick", AGREED)
    refresh._paces[slow.pk] = refresh.Pace(took_s=60.0)
    assert [one.id for one in refresh._due()] == [quick.pk, slow.pk]
    refresh._paces[slow.pk].again_at = 1e12
    assert [one.id for one in refresh._due()] == [quick.pk]


def erased_meanwhile(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Ann is erased after the members were worked out, and before they are written. Is she in the stored ones afterwards?"""
    ann, ben = shopper(acme, "ann"), shopper(acme, "ben")
    audience, number = keep(acme, "a", AGREED), ann.pk
    for who in (ann, ben):
        consent(who)
    write = refresh._write

    def meanwhile(*told: Any) -> bool:
        ConsentState.objects.filter(shopper=number).delete()
        Shopper.objects.filter(pk=number).delete()
        Erasure.objects.create(organisation=acme, finished_at=LONG_AGO)
        monkeypatch.setattr(refresh, "_write", write)
        return write(*told)

    monkeypatch.setattr(refresh, "_write", meanwhile)
    refresh.one(audience.pk)
    found = number in members(audience)
    monkeypatch.undo()
    refresh.one(audience.pk)
    assert members(audience) == BitMap([ben.pk])
    return found


def test_who_is_erased_meanwhile_is_not_written_back(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not erased_meanwhile(acme, monkeypatch)


def test_without_asking_once_more_he_would_be(acme: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "erasures", lambda cursor, organisation: 0)
    assert erased_meanwhile(acme, monkeypatch)


def test_since_when_is_the_last_time_that_somebody_joined(acme: Organisation) -> None:
    ann, ben = shopper(acme, "ann"), shopper(acme, "ben")
    audience = keep(acme, "a", AGREED)
    moments = [timezone.now() + timedelta(minutes=number) for number in range(3)]
    for moment, given in zip(moments, (True, False, True), strict=True):
        consent(ann, given=given)
        consent(ben)
        refresh.one(audience.pk, now=moment)
    assert refresh.since(audience.pk, BitMap([ann.pk, ben.pk])) == [(moments[2], BitMap([ann.pk])), (moments[0], BitMap([ben.pk]))]
    assert days.plain(connection).execute("SELECT count(*) FROM analytics_audiencechange").fetchone() == (3,)
