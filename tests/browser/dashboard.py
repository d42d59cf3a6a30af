"""What the tests of the dashboard share: how a page is opened, and what its panels tell."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from playwright.sync_api import expect

from tests.browser.conftest import Visit

AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"
VIEWS: Final = ("overview", "visitors", "paths", "stores")
SERIOUS: Final = {"serious", "critical"}
SETTLED_WITHIN_MS: Final = 30_000
TODAY_ASKED_WITHIN_MS: Final = 20_000  # today asks every five seconds
PATH: Final = "/admin/figures/"


def asked(visit: Visit, report: str, **query: str) -> Any:
    """The API's own answer, with the session of the window."""
    response = visit.page.request.get(f"{visit.address}/api/v1/reports/{report}?{urlencode(query)}")
    assert response.ok, response.text()
    return response.json()


def settled(visit: Visit) -> None:
    """No panel that is seen is still on its way."""
    expect(visit.page.locator('.view:not([hidden]) .widget:is([data-state="loading"], [data-state="stale"])')).to_have_count(0, timeout=SETTLED_WITHIN_MS)


def look(visit: Visit, **state: str) -> dict[str, str]:
    """Opens the page; returns the range that it shows, as the API takes it."""
    assert visit.open(f"{PATH}?{urlencode(state)}") == 200
    settled(visit)
    return shown_range(visit)


def shown_range(visit: Visit) -> dict[str, str]:
    last = datetime.fromisoformat(visit.page.locator("#until").input_value()).date()
    return {"from": visit.page.locator("#from").input_value(), "to": (last + timedelta(days=1)).isoformat()}


def told(visit: Visit, widget: str) -> list[list[Any]]:
    """The table behind a panel: texts of what names a row, exact values of what is a figure."""
    cells: list[list[Any]] = visit.page.evaluate(
        """(name) => [...document.querySelectorAll(`#widget-${name} tbody tr`)].map((row) => [...row.cells].map((cell) =>
            "value" in cell.dataset ? (["null", "undefined"].includes(cell.dataset.value) ? null : Number(cell.dataset.value)) : cell.textContent))""",
        widget,
    )
    return cells


def drawn(visit: Visit, widget: str, series: int = 0) -> list[Any]:
    """What the picture itself was given."""
    data: list[Any] = visit.page.evaluate(
        "([name, n]) => echarts.getInstanceByDom(document.querySelector(`#widget-${name} [data-chart]`)).getOption().series[n].data", [widget, series]
    )
    return data


def state_of(visit: Visit, widget: str) -> str | None:
    return visit.page.locator(f"#widget-{widget}").get_attribute("data-state")


def number(visit: Visit, selector: str) -> float | None:
    value = visit.page.locator(selector).get_attribute("data-value")
    return None if value in {None, "null", "undefined"} else float(str(value))
