"""Campaigns over a generated year: the funnel, planning a message for everybody, and the report of a campaign that was sent to them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Year
from tests.servers import ROOT

INSIDE: Final = "import django; django.setup(); from tests.bench import campaigns_inside; campaigns_inside.main()"
FUNNEL_MS, PLANNING_S, REPORT_MS = 1_000, 60, 1_000


def inside(one: Year, *words: str) -> Any:
    done = subprocess.run([sys.executable, "-c", INSIDE, *words], cwd=ROOT, env=one.environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"tests.bench.campaigns_inside {words[0]} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])  # above it: what the product logs


def measure(folder: Path, add: Callable[..., None], *, stays: int, repeats: int) -> None:
    """A tenth as many shoppers as stays, all of them in the audience."""
    one = Year(folder, stays=stays, repeats=repeats, cold=0)
    try:
        tell(one, add, repeats)
    finally:
        one.close()


def tell(one: Year, add: Callable[..., None], repeats: int) -> None:
    inside(one, "people")
    seen = inside(one, "funnels", str(repeats))
    size = f"{seen['match']:,} people, {one.stays:,} stays"
    add(
        "funnel of a campaign: p95",
        seen["p95"],
        "ms",
        target=f"< {FUNNEL_MS:,}",
        note=f"{size}, {seen['left']:,} left; the first of a process {seen['first']:,.0f} ms",
    )
    plain = inside(one, "planned_plainly")
    planned = inside(one, "planned")
    assert planned["rows"] == plain["rows"] == seen["match"], (planned, plain, seen)
    add("planning: plain way (bulk_create)", plain["rows"] / plain["seconds"], "messages/s", note=f"{plain['seconds']:,.1f} s")
    add("planning: Atrium", planned["rows"] / planned["seconds"], "messages/s", note=f"memory {planned['memory_mb']:+,.0f} MB")
    add("planning a message for everybody", planned["seconds"], "s", target=f"< {PLANNING_S}", note=f"{planned['rows']:,} messages")
    add("planning: Atrium / plain", plain["seconds"] / planned["seconds"], "times")
    inside(one, "sent")
    told = inside(one, "reported", str(max(repeats // 4, 3)))
    assert told["adds_up"]
    for part in ("sums", "engagement", "outcome"):
        note = f"{told['visited']:,} of them came" if part == "outcome" else ""
        add(f"report of a campaign, {part}: median", told[part], "ms", target=f"< {REPORT_MS:,}", note=note)
