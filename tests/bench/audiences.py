"""Audiences over a generated year: how fast a rule of five branches is counted, beside plain SQL on the same rows, and how fast members are kept fresh.

Counts are asked over HTTP of a real server with one worker. Cold: of a process that has forgotten everything that it kept.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Web, Year
from tests.servers import ROOT

INSIDE: Final = "import django; django.setup(); from tests.bench import audiences; audiences.inside()"
REPEATS: Final = 40
AUDIENCES: Final = 20
VISITED: Final = {"visited": {"venue": "north", "within_days": 30, "days_at_least": 2}}
AWAY: Final = {"not": {"visited": {"brand": "brand-3", "within_days": 30}}}
LONG: Final = {"visited": {"brand": "brand-1", "within_days": 90, "dwell_at_least_s": 300}}
GOLD: Final = {"attribute": {"name": "tier", "is": "gold"}}
AGREED: Final = {"consent": {"channel": "email"}}
# Five branches each.
RULES: Final = {
    "often at the mall, not at a brand, long at another, an attribute, consent": {"all": [VISITED, AWAY, LONG, GOLD, AGREED]},
    "new this quarter, bought, spent, language, not on a list": {
        "all": [
            {"first_visit": {"venue": "north", "within_days": 90}},
            {"purchased": {"within_days": 30}},
            {"attribute": {"name": "spent", "at_least": 100}},
            {"language": "de"},
            {"not": {"list": "vip"}},
        ]
    },
    "any of five places over the year": {
        "any": [
            {"visited": {"venue": "south", "within_days": 364, "days_at_least": 3}},
            *({"visited": {"brand": f"brand-{number}", "within_days": 364}} for number in (2, 4)),
            {"last_visit": {"venue": "north", "days_ago_at_least": 30, "days_ago_at_most": 60}},
            {"visited": {"zone": "north-floor-0", "within_days": 7, "dwell_at_least_s": 1800}},
        ]
    },
}
# The first of them, as somebody would write it who has the tables alone.
PLAIN: Final = """
SELECT count(*) FROM engagement_shopper s
WHERE s.organisation_id = %(organisation)s
  AND s.id IN (SELECT t.shopper_id FROM analytics_stay t JOIN engagement_zone z ON z.id = t.zone_id
               WHERE z.key = 'north' AND t.counted AND t.started >= %(month)s
               GROUP BY 1 HAVING count(DISTINCT (t.started AT TIME ZONE %(zone)s)::date) >= 2)
  AND s.id NOT IN (SELECT t.shopper_id FROM analytics_stay t JOIN engagement_zone z ON z.id = t.zone_id JOIN engagement_brand b ON b.id = z.brand_id
                   WHERE b.key = 'brand-3' AND t.counted AND t.started >= %(month)s)
  AND s.id IN (SELECT t.shopper_id FROM analytics_stay t JOIN engagement_zone z ON z.id = t.zone_id JOIN engagement_brand b ON b.id = z.brand_id
               WHERE b.key = 'brand-1' AND t.counted AND t.started >= %(quarter)s AND t.ended - t.started >= interval '300 s')
  AND EXISTS (SELECT 1 FROM engagement_profile p WHERE p.shopper_id = s.id AND p.attributes ->> 'tier' = 'gold')
  AND EXISTS (SELECT 1 FROM engagement_consentstate c WHERE c.shopper_id = s.id AND c.channel = 'email' AND c.purpose = 'marketing' AND c.given)
"""
FILL: Final = (
    """INSERT INTO engagement_profile (shopper_id, organisation_id, email, language, time_zone, attributes, updated_at)
       SELECT id, organisation_id, CASE WHEN id % 5 > 0 THEN 's' || id || '@example.com' ELSE '' END, (ARRAY['de', 'en', 'fr', 'en-ZA'])[1 + id % 4], '',
              jsonb_build_object('tier', (ARRAY['gold', 'silver', 'bronze', 'none'])[1 + (id / 3) % 4], 'spent', (id * 7919 % 50000) / 100.0), now()
       FROM engagement_shopper""",
    """INSERT INTO engagement_consentstate (organisation_id, shopper_id, channel, purpose, given, at)
       SELECT organisation_id, id, 'email', 'marketing', id % 10 < 7, now() FROM engagement_shopper WHERE id % 10 < 9""",
    "INSERT INTO engagement_shopperlist (organisation_id, key, name, created_at) SELECT id, 'vip', 'VIP', now() FROM engagement_organisation",
    """INSERT INTO engagement_listmember (list_id, shopper_id, present)
       SELECT l.id, s.id, true FROM engagement_shopperlist l, engagement_shopper s WHERE s.id % 20 = 0""",
)


class Audiences(Year):
    """A year, and what was told of everybody in it."""

    def fill(self) -> None:
        with self.connect() as connection:
            for statement in FILL:
                connection.execute(statement)
            connection.execute("VACUUM ANALYZE")

    def counts(self, web: Web) -> dict[str, Any]:
        """p95 of each rule, warm, and the first count of a process that knows nothing; the first rule beside plain SQL."""
        found: dict[str, Any] = {}
        for name, rule in RULES.items():
            web.get("/forget")
            cold, told = post(web, rule)
            post(web, rule)
            took = sorted(post(web, rule)[0] for _ in range(REPEATS))
            p95 = took[max(-(-len(took) * 95 // 100) - 1, 0)]
            found[name] = {"p50": statistics.median(took), "p95": p95, "cold": cold, "count": told["count"]}
        return found

    def plain(self, expected: int) -> float:
        """Milliseconds of plain SQL, median of three; it must count the same."""
        back = {name: datetime.combine(self.today - timedelta(days=days), datetime.min.time(), self.zone) for name, days in (("month", 30), ("quarter", 90))}
        took = []
        with self.connect() as connection:
            connection.execute("CREATE INDEX best ON analytics_stay (zone_id, started) INCLUDE (shopper_id, ended) WHERE counted")
            connection.execute("VACUUM ANALYZE analytics_stay")
            [[organisation]] = connection.execute("SELECT id FROM engagement_organisation").fetchall()
            for _ in range(3):
                began = time.perf_counter()
                [[seen]] = connection.execute(PLAIN, {"organisation": organisation, "zone": self.zone.key, **back}).fetchall()
                took.append((time.perf_counter() - began) * 1000)
                assert seen == expected, (seen, expected)
            connection.execute("DROP INDEX best")
        return statistics.median(took)

    def refreshing(self) -> dict[str, float]:
        done = subprocess.run([sys.executable, "-c", INSIDE], cwd=ROOT, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"tests.bench.audiences failed:\n{done.stderr}")
        found: dict[str, float] = json.loads(done.stdout)
        return found


def post(web: Web, rule: Any) -> tuple[float, Any]:
    """Milliseconds, and the answer."""
    began = time.perf_counter()
    web.connection.request("POST", "/api/v1/audiences/count", body=json.dumps({"rule": rule}), headers={**web.headers, "Content-Type": "application/json"})
    response = web.connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - began) * 1000
    if response.status != 200:
        raise SystemExit(f"count: {response.status} {body[:500]!r}")
    return took, json.loads(body)


def inside() -> None:
    """In a process with the product's settings: audiences made, kept fresh while nothing changes, and one event's way into its audience."""
    from django.db import connection

    from analytics.audiences import refresh, saved
    from analytics.models import Audience
    from engagement.models import ConsentState, Organisation

    organisation = Organisation.objects.get()
    kinds = list(RULES.values())
    for number in range(AUDIENCES):
        rule = {"all": [kinds[number % len(kinds)], {"visited": {"brand": f"brand-{number}"}}]}
        saved.save(organisation=organisation, key=f"a{number}", name=f"A{number}", rule=rule, by="bench")
    agreed, _ = saved.save(organisation=organisation, key="agreed", name="Agreed", rule=AGREED, by="bench")
    rounds = []
    for _ in range(5):
        for pace in refresh._paces.values():
            pace.again_at = 0.0
        began = time.perf_counter()
        refresh.step()
        rounds.append(time.perf_counter() - began)
    somebody = ConsentState.objects.filter(given=True).order_by("pk")[0]
    ConsentState.objects.filter(pk=somebody.pk).update(given=False)
    began = time.perf_counter()
    refresh.one(agreed.pk)
    took = time.perf_counter() - began
    assert Audience.objects.get(pk=agreed.pk).count == agreed.count - 1
    ConsentState.objects.filter(pk=somebody.pk).update(given=True)
    connection.close()
    print(
        json.dumps(
            {
                f"a round over {AUDIENCES + 1} audiences, nothing changed: ms": statistics.median(rounds) * 1000,
                "a consent withdrawn, its audience fresh: ms": took * 1000,
            }
        )
    )


def measure(folder: Path, add: Callable[..., None], *, stays: int) -> None:
    folder.mkdir()
    one = Audiences(folder, stays=stays, repeats=REPEATS, cold=0)
    try:
        one.fill()
        one.build()
        with one.web() as web:
            counts = one.counts(web)
            memory = web.server.worker.memory_full_info().uss / 1e6
        load = os.getloadavg()[0]
        add("audiences: shoppers", stays // 10, "shoppers", note=f"{one.stays:,} stays; load of the machine {load:.1f}")
        for name, told in counts.items():
            note = f"p50 {told['p50']:.0f}, first count of a process {told['cold']:.0f} ms; {told['count']:,} shoppers"
            add(f"audience count, {name}: p95", told["p95"], "ms", target="< 100", note=note)
        first = next(iter(counts.values()))
        plain = one.plain(first["count"])
        add("audience count, the first rule in plain SQL with its best index", plain, "ms", note=f"{plain / first['p50']:.0f} times as long")
        add("audiences: memory of the web process", memory, "MB")
        for name, value in one.refreshing().items():
            what, _, unit = name.rpartition(": ")
            add(f"audiences: {what}", value, unit)
    finally:
        one.close()
