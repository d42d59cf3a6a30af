"""Personal mail over SMTP to a sink on the same cores: this product, django-post_office and Django's send_mass_mail, in turn, to the same sink."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from engagement.embedded import Cluster
from tests.notifications.pace import most_in_a_second, transmissions
from tests.servers import ROOT, free_port

INSIDE: Final = "import django; django.setup(); from tests.bench import sending_inside; sending_inside.main()"
PEERS: Final = "tests.bench.post_office_settings"
TARGET: Final = 1.5


@contextmanager
def sink() -> Iterator[int]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "tests.bench.light_sink", str(port)], cwd=ROOT) as process:
        try:
            yield port
        finally:
            process.kill()


def measure(folder: Path, add: Callable[..., None], *, mails: int, repeats: int = 3) -> None:
    """`mails` for each way, medians of `repeats`, and a tenth of them for the memory beside it."""
    cluster = Cluster(folder / "pg")
    cluster.start()
    try:
        with sink() as port:
            tell(
                {
                    **os.environ,
                    "DATABASE_URL": cluster.url,
                    "SECRET_KEY": "only-for-measuring-" * 2,
                    "ATRIUM_VAR": str(folder),
                    "EMAIL_URL": f"smtp://127.0.0.1:{port}",
                },
                add,
                mails,
                repeats,
            )
        pace(cluster.url, add)
    finally:
        cluster.stop()


def pace(url: str, add: Callable[..., None], *, processes: int = 10, rate: int = 200, seconds: float = 10) -> None:
    """How near to the account's rate many senders come together, and that they are never above it."""
    left, given_up = transmissions(url, seconds, processes, rate)
    share = 100 * len(left) / (rate * (left[-1] - left[0]))
    note = f"{given_up} instants given up: whoever comes late for his does not send"
    add(f"governor: {processes} senders at {rate}/s, of that rate", share, "%", target=">= 98", note=note)
    add("governor: the most in any second", most_in_a_second(left), "mails", target=f"<= {rate}")


def tell(environment: dict[str, str], add: Callable[..., None], mails: int, repeats: int) -> None:
    def run(settings: str, *words: str) -> str:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, env={**environment, "DJANGO_SETTINGS_MODULE": settings}, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{words} failed:\n{done.stderr}")
        return done.stdout

    def way(name: str, number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("engagement.settings" if name == "atrium" else PEERS, "-c", INSIDE, name, str(number)).splitlines()[-1])
        return found

    run(PEERS, "manage.py", "migrate", "--verbosity", "0")
    small = way("atrium", mails // 10)
    seen = {name: [way(name, mails) for _ in range(repeats)] for name in ("atrium", "post_office", "mass")}
    speed = {name: statistics.median(one["per_second"] for one in those) for name, those in seen.items()}
    processor = {name: statistics.median(one["processor_ms"] for one in those) for name, those in seen.items()}
    memory = {name: max(one["memory_mb"] for one in those) for name, those in seen.items()}
    add(
        "sending: django-post_office, one process",
        speed["post_office"],
        "mails/s",
        note=f"{mails:,} mails, {processor['post_office']:.2f} ms of a core each, {memory['post_office']:.0f} MB",
    )
    add("sending: Django's send_mass_mail, text alone, nothing recorded", speed["mass"], "mails/s", note=f"{processor['mass']:.2f} ms, {memory['mass']:.0f} MB")
    add(
        "sending: Atrium, claimed to recorded",
        speed["atrium"],
        "mails/s",
        note=f"{processor['atrium']:.2f} ms, {memory['atrium']:.0f} MB; of {mails // 10:,} mails {small['memory_mb']:.0f} MB",
    )
    add("sending: Atrium / django-post_office", speed["atrium"] / speed["post_office"], "times", target=f">= {TARGET}")
    add("sending: Atrium / send_mass_mail", speed["atrium"] / speed["mass"], "times")
    add("sending: memory at ten times as many mails", memory["atrium"] - small["memory_mb"], "MB more", target="flat")
