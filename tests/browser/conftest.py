"""A real browser at a real server, with a stream beside it."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from engagement.models import Organisation, Shopper, Venue, Zone
from tests.analytics import rows
from tests.servers import ROOT, STOP_WITHIN_S, WHOLE, Server, running_door

FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
PASSWORD: Final = "correct horse battery"
DESK: Final = {"width": 1280, "height": 800}
CLOCK: Final = ZoneInfo("Africa/Johannesburg")
PHONE: Final = {"width": 360, "height": 740}


def chromium(own: str) -> str:
    """The machine's Chromium, else Playwright's own; a failure in words where there is neither."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or (own if Path(own).exists() else None)
    if found is None:
        pytest.fail("There is no Chromium for the browser tests. On Debian: apt-get install chromium. Elsewhere: playwright install chromium.", pytrace=False)
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For this folder's tests alone: Playwright keeps an event loop running in this thread, beside which nobody else can have one."""
    with pytest.MonkeyPatch.context() as patched, sync_playwright() as playwright:
        patched.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Django takes that loop for a coroutine, and would refuse to talk to its database
        opened = playwright.chromium.launch(executable_path=chromium(playwright.chromium.executable_path), args=list(FLAGS))
        yield opened
        opened.close()


@dataclass
class Visit:
    """A browser window of somebody, what it complained of, and the server that it looks at."""

    page: Page
    server: Server
    complaints: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def open(self, path: str) -> int:
        response = self.page.goto(self.address + path)
        assert response is not None
        return response.status

    def log_in(self, name: str, to: str = "/admin/live/") -> None:
        self.open(f"/admin/login/?next={quote(to)}")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(lambda url: "/login/" not in url)

    def width(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@dataclass
class House:
    """The product on the test database: the door and the web admin at one address, and a stream."""

    browser: Browser
    server: Server

    @contextmanager
    def visit(self, name: str | None = None, *, to: str = "/admin/live/", size: dict[str, int] = DESK, **how: Any) -> Iterator[Visit]:
        """A fresh profile; logged in where a name is given, and then at `to`. Whatever its console says as an error is collected."""
        context = self.browser.new_context(viewport=size, **how)
        context.set_default_timeout(30_000)
        visit = Visit(context.new_page(), self.server)
        visit.page.on("console", lambda said: visit.complaints.append(said.text) if said.type in {"error", "warning"} else None)
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        try:
            if name:
                visit.log_in(name, to)
            yield visit
        finally:
            context.close()


@contextmanager
def running_stream(environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "manage.py", "stream"], env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_WITHIN_S)


@pytest.fixture
def house(transactional_db: None, north: Venue, environment: dict[str, str], tmp_path: Path, browser: Browser) -> Iterator[House]:
    with running_door(environment, tmp_path / "server.log", application=WHOLE) as server, running_stream(environment, tmp_path / "stream.log"):
        yield House(browser, server)


@pytest.fixture
def life(acme: Organisation, north: Venue) -> list[Shopper]:
    """Ten weeks of people at North Mall, up to yesterday, and a few today: each comes on his own days, goes to Brew, then often to Page."""
    zones = {zone.key: zone for zone in Zone.objects.filter(venue=north)}
    people = [rows.shopper(acme, f"crm-{number}") for number in range(14)]
    today = datetime.now(CLOCK).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(70):
        for number, who in enumerate(people):
            if (back * 7 + number * 3) % (5 + number % 4):
                continue
            came = today - timedelta(days=back) + timedelta(hours=9 + number % 8) if back else datetime.now(CLOCK) - timedelta(hours=1)
            came = came.astimezone(UTC)
            rows.stay(who, zones["north-street"], came - timedelta(minutes=3), 60)
            for key in ("north", "north-ground"):
                rows.stay(who, zones[key], came, 2400)
            rows.stay(who, zones["north-brew"], came + timedelta(minutes=2), 60 * (3 + number), counted=number % 5 > 0, grace=120)
            if number % 3:
                rows.stay(who, zones["north-page"], came + timedelta(minutes=22), 900, grace=120)
    rows.stay(rows.shopper(acme, "passer"), zones["north-street"], (today - timedelta(days=2, hours=-12)).astimezone(UTC), 60)
    return people
