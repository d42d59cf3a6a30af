"""Without each guard of profiles and consents a law of theirs is broken, and a test can see it."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from django.db import connection

from engagement import shoppers
from engagement.inbox import shard_of
from engagement.models import Consent, ConsentState, Organisation, Profile, Shopper
from engagement.profiles import consents, record
from engagement.profiles.record import Known

pytestmark = pytest.mark.django_db
NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
EARLY, LATE = "2026-11-18T10:00:00Z", "2026-11-19T10:00:00Z"
Break = Callable[[pytest.MonkeyPatch], None]


def tell(organisation: Organisation, **fields: Any) -> None:
    record.record(organisation, [fields], "ops", NOW)


def agreed(given: bool, at: str) -> dict[str, Any]:
    return {"channel": "email", "given": given, "at": at}


def what_holds_is_of_the_set(acme: Organisation) -> bool:
    rows = [agreed(True, EARLY), agreed(True, LATE), agreed(False, LATE)]
    for n, order in enumerate(itertools.permutations(rows)):
        for one in order:
            tell(acme, id=f"s{n}", consents=[one])
    return set(ConsentState.objects.values_list("given", "at__day")) == {(False, 19)}


def told_twice_is_one_row(acme: Organisation) -> bool:
    for _ in range(2):
        tell(acme, id="a", consents=[agreed(True, LATE), agreed(True, LATE)])
    return Consent.objects.count() == 1


def what_is_not_told_stays(acme: Organisation) -> bool:
    tell(acme, id="a", email="a@example.com", attributes={"tier": "gold"})
    tell(acme, id="a", attributes={"kids": 2})
    row = Profile.objects.get()
    return (row.email, row.attributes) == ("a@example.com", {"tier": "gold", "kids": 2})


def the_stream_finds_whom_it_makes(acme: Organisation) -> bool:
    tell(acme, id="a")
    return Shopper.objects.get().shard == shard_of(acme.pk, "s", "a")


def whoever_keeps_rows_hears_of_a_change(acme: Organisation) -> bool:
    tell(acme, id="a", consents=[agreed(True, LATE)])
    return Profile.objects.get().changed > 0 and ConsentState.objects.get().changed > 0


def the_last_told_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(consents, "_STATES", consents._STATES.replace("WHERE (excluded.at, NOT excluded.given) > (known.at, NOT known.given)", ""))


def of_two_at_one_instant_the_first_told_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(consents, "_STATES", consents._STATES.replace("(excluded.at, NOT excluded.given) > (known.at, NOT known.given)", "excluded.at > known.at"))


def nothing_is_one_row(patch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE engagement_consent DROP CONSTRAINT consent_once")


def a_profile_is_replaced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Known, "told", lambda _self, one, told=Known.told: told(Known(), one))


def every_shopper_is_of_one_shard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shoppers, "_MADE", shoppers._MADE.replace("SELECT %(organisation)s, k, s,", "SELECT %(organisation)s, k, 64,"))


def no_change_is_noted(patch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        for table in ("engagement_profile", "engagement_consentstate"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER note_change")


LAWS: Final[list[tuple[Callable[[Organisation], bool], list[Break]]]] = [
    (what_holds_is_of_the_set, [the_last_told_holds, of_two_at_one_instant_the_first_told_holds]),
    (told_twice_is_one_row, [nothing_is_one_row]),
    (what_is_not_told_stays, [a_profile_is_replaced]),
    (the_stream_finds_whom_it_makes, [every_shopper_is_of_one_shard]),
    (whoever_keeps_rows_hears_of_a_change, [no_change_is_noted]),
]


@pytest.mark.parametrize("law", [law for law, _ in LAWS])
def test_the_law_holds(acme: Organisation, law: Callable[[Organisation], bool]) -> None:
    assert law(acme)


@pytest.mark.parametrize(("law", "broken"), [(law, one) for law, breaks in LAWS for one in breaks])
def test_without_its_guard_it_does_not(acme: Organisation, monkeypatch: pytest.MonkeyPatch, law: Callable[[Organisation], bool], broken: Break) -> None:
    broken(monkeypatch)
    assert not law(acme)
