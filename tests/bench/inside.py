"""What is measured inside the product: a process with its settings, started by tests.bench.figures. Prints one JSON object."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from analytics import figures, premises
from analytics.calendars import to_day
from analytics.reports.catalogue import REPORTS
from analytics.reports.reading import Question, Range, Subject, reading
from analytics.reports.unions import members_of
from engagement.models import Membership, Organisation
from tests.bench import year

BACKEND: Final = "django.contrib.auth.backends.ModelBackend"


def median(way: Callable[[], Any], repeats: int) -> float:
    """Milliseconds."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        way()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def catalogue() -> list[dict[str, Any]]:
    return [{"name": one.name, "takes": one.takes, "grains": one.grains, "together": one.together} for one in REPORTS.values()]


def rebuilding(today: str, repeats: str) -> dict[str, float]:
    """Days made again by themselves, each another one: of a store, of a root with its flows, of a mall with all its zones."""
    found = {}
    with figures.session() as connection, connection.cursor() as cursor:
        mall = year.malls(connection)[0]
        inside = premises.around(cursor, [mall.root]).inside[mall.root]
        for name, zones in {"a store": [int(mall.store[0])], "a root": [mall.root], "a mall of 100 zones": [mall.root, *inside]}.items():
            days = iter(range(to_day(date.fromisoformat(today)) - 2, 0, -1))

            def once(zones: list[int] = zones, days: Any = days) -> None:
                day = next(days)
                with connection.transaction():
                    figures.rebuild(cursor, premises.around(cursor, zones), sorted((zone, day) for zone in zones), now=time.time_ns() // 1000)

            found[f"a day of {name} made again: ms"] = median(once, int(repeats))
    return found


def visitors(start: str, end: str, repeats: str) -> dict[str, float]:
    """Of a venue, as the reports count them: a snapshot, the days' sets, their union."""
    organisation, range_ = Organisation.objects.get(), Range(date.fromisoformat(start), date.fromisoformat(end))
    with reading(organisation, []) as nothing:
        root = year.malls(nothing.cursor.connection)[0].root
    subject = Subject("zone", "north", "north", (root,))

    def count() -> int:
        with reading(organisation, [subject]) as found:
            return len(members_of(found.days(subject.zones, Question(range_), ("members",))))

    return {"visitors": count(), "ms": median(count, int(repeats))}


def session() -> dict[str, str]:
    """Somebody who may see everything, logged in."""
    user, _made = User.objects.get_or_create(username="alice", defaults={"is_staff": True, "email": "alice@example.com"})
    Membership.objects.get_or_create(user=user, organisation=Organisation.objects.get(), defaults={"role": "owner"})
    store = SessionStore()
    store.update({"_auth_user_id": str(user.pk), "_auth_user_backend": BACKEND, "_auth_user_hash": user.get_session_auth_hash()})
    store.save()
    return {"cookie": f"sessionid={store.session_key}"}


def main() -> None:
    ways: dict[str, Callable[..., Any]] = {"catalogue": catalogue, "rebuilding": rebuilding, "visitors": visitors, "session": session}
    print(json.dumps(ways[sys.argv[1]](*sys.argv[2:])))
