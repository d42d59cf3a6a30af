"""How long somebody waits for the dashboard: from asking for the page until every panel that he sees shows its figures, in a real browser."""

import shutil
import statistics
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
DESK: Final = {"width": 1280, "height": 800}
WITHIN_MS: Final = 60_000
# Milliseconds since the page was asked for, as soon as no panel in view is on its way any more.
COMPLETE: Final = """() => {
  const seen = [...document.querySelectorAll('.view:not([hidden]) .widget')];
  return seen.length > 0 && seen.every((one) => !['loading', 'stale'].includes(one.dataset.state)) && performance.now();
}"""


def complete(address: str, cookie: str, presets: tuple[str, ...], repeats: int) -> dict[str, float]:
    """By preset of the range picker: the median of `repeats` windows that come for the second time (scripts cached), as every day."""
    name, _, value = cookie.partition("=")
    with sync_playwright() as playwright:
        own = shutil.which("chromium") or shutil.which("chromium-browser") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=own, args=list(FLAGS))
        try:
            return {
                preset: _median(browser, f"{address}/admin/figures/?preset={preset}", {"name": name, "value": value, "url": address}, repeats)
                for preset in presets
            }
        finally:
            browser.close()


def _median(browser: Browser, url: str, cookie: Any, repeats: int) -> float:
    context = browser.new_context(viewport=DESK)
    context.add_cookies([cookie])
    took = []
    for _ in range(repeats + 1):
        page = context.new_page()
        page.goto(url, wait_until="commit")
        took.append(float(page.wait_for_function(COMPLETE, timeout=WITHIN_MS, polling=20).json_value()))
        failed = page.locator('.view:not([hidden]) .widget[data-state="failed"]').count()
        page.close()
        if failed:
            raise SystemExit(f"{failed} panels failed at {url}")
    context.close()
    return statistics.median(took[1:])
