"""What processes count is added up, survives them, never goes back, and is told as Prometheus and CloudWatch read it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engagement import metrics
from engagement.metrics import emf, measures, shelf, telling, text
from tests.servers import ROOT, until


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "FAMILIES", {})
    monkeypatch.setattr(measures, "_inherited", {})
    for module in (shelf, emf):
        monkeypatch.setattr(module, "FAMILIES", measures.FAMILIES)


def told(folder: Path, *gauges: metrics.Gauge) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """As an independent reader understands it."""
    families = text_string_to_metric_families(text.written(shelf.read(folder), gauges))
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def test_what_is_counted_is_told(tmp_path: Path) -> None:
    refused = metrics.counters("atrium_refused_total", 'Requests\nrefused \\ "so"', "code")
    refused.of("unknown_key").inc()
    refused.of('a "quote"\n and \\').inc(2)
    seconds = metrics.histogram("atrium_work_seconds", "Work", bounds=(0.1, 1.0))
    for took in (0.05, 0.1, 0.5, 7):
        seconds.observe(took)
    shelf.Place(tmp_path, "web").write()
    found = told(tmp_path, metrics.Gauge("atrium_lag_seconds", "Lag", 1.5), metrics.Gauge("atrium_rows", "Rows", 3, ("state",), ("planned",)))
    web = ("process", "web")
    assert found["atrium_refused_total", (("code", "unknown_key"), web)] == 1
    assert found["atrium_refused_total", (("code", 'a "quote"\n and \\'), web)] == 2
    assert [found["atrium_work_seconds_bucket", (("le", edge), web)] for edge in ("0.1", "1", "+Inf")] == [2, 3, 4]
    assert found["atrium_work_seconds_count", (web,)] == 4
    assert found["atrium_work_seconds_sum", (web,)] == pytest.approx(7.65)
    assert found["atrium_lag_seconds", ()] == 1.5
    assert found["atrium_rows", (("state", "planned"),)] == 3


def test_threads_lose_nothing() -> None:
    one = metrics.counter("atrium_x_total", "X")
    several = metrics.histograms("atrium_x_seconds", "X", "stage")

    def count() -> None:
        for _ in range(5000):
            one.inc()
            several.of("a").observe(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.value == 20_000
    assert sum(several.of("a").counts) == 20_000


def test_a_label_without_an_end_does_not_fill_the_memory() -> None:
    family = metrics.counters("atrium_y_total", "Y", "word")
    for number in range(measures.MOST + 50):
        family.of(f"word {number}").inc()
    assert len(family.children) == measures.MOST + 1
    assert family.of(measures.OTHER).value == 50


def test_a_name_is_declared_once_and_its_labels_are_given() -> None:
    family = metrics.counters("atrium_z_total", "Z", "word")
    with pytest.raises(ValueError, match="twice"):
        metrics.counter("atrium_z_total", "Z")
    with pytest.raises(TypeError, match="1 labels"):
        family.of("a", "b")


CHILD = """
import sys, time
from pathlib import Path
from engagement import metrics
from engagement.metrics import telling
telling.SHELF_EVERY_S = 0.05
counted = metrics.counters("atrium_child_total", "X", "word")
metrics.begin(sys.argv[1], folder=Path(sys.argv[2]))
counted.of("a").inc(5)
late = metrics.histogram("atrium_child_seconds", "X", bounds=(1.0,))
late.observe(0.5)
print("counted", flush=True)
time.sleep(60)
"""


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout
        child.stdout.close()


def child(children: list[subprocess.Popen[str]], folder: Path, name: str = "stream-0") -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "METRICS"}
    made = subprocess.Popen([sys.executable, "-c", CHILD, name, str(folder)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    children.append(made)
    assert made.stdout
    assert made.stdout.readline() == "counted\n"
    return made


def test_processes_are_added_up_and_those_that_follow_the_dead_go_on_with_their_counts(tmp_path: Path, children: list[subprocess.Popen[str]]) -> None:
    def counted() -> tuple[Any, Any]:
        found, of = told(tmp_path), ("process", "stream-0")
        return found.get(("atrium_child_total", (of, ("word", "a")))), found.get(("atrium_child_seconds_count", (of,)))

    first, _second = child(children, tmp_path), child(children, tmp_path)
    until(lambda: counted() == (10, 2))
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert counted() == (10, 2)
    child(children, tmp_path)
    until(lambda: counted() == (15, 3))
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["stream-0.0.json", "stream-0.1.json"]


def test_whoever_reads_while_threads_write_finds_it_whole(tmp_path: Path) -> None:
    """The web process writes every few seconds, and whenever somebody asks."""
    metrics.counter("atrium_x_total", "X").inc(7)
    for number in range(50):
        metrics.histogram(f"atrium_x{'x' * number}_seconds", "X")
    place, failed = shelf.Place(tmp_path, "web"), []
    place.write()

    def write() -> None:
        try:
            for _ in range(100):
                place.write()
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert told(tmp_path)["atrium_x_total", (("process", "web"),)] == 7
    assert not failed


def test_what_lies_damaged_on_the_shelf_stops_nobody(tmp_path: Path) -> None:
    for number, content in enumerate(["", "{", "[]", '{"a": 1}', '{"a": {"kind": "counter"}}']):
        (tmp_path / f"web.{number}.json").write_text(content)
    (tmp_path / "../strange.json").write_text("{}")
    assert shelf.read(tmp_path) == {}
    assert shelf.Place(tmp_path, "web").left_behind() == {}


def test_names_that_nobody_has_any_more_are_forgotten_after_a_week(tmp_path: Path) -> None:
    metrics.counter("atrium_x_total", "X").inc()
    for name in ("stream-7", "web"):
        shelf.Place(tmp_path, name).write()
    os.utime(tmp_path / "stream-7.0.json", (0, 0))
    shelf.tidy(tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == ["web.0.json"]


def test_a_shelf_that_cannot_be_written_keeps_nobody_from_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(telling, "_teller", None)
    (tmp_path / "file").touch()
    metrics.begin("web", folder=tmp_path / "file" / "metrics")
    assert "cannot tell" in caplog.text
    assert telling._teller is None


# --- CloudWatch -----------------------------------------------------------------------------------------------------------

UNITS = {"Seconds", "Count", "Bytes", "None"}


def check_object(line: str) -> dict[str, Any]:
    """The format's own rules: what is named is there, and within its limits."""
    assert "\n" not in line
    assert len(line.encode()) <= 256 * 1024
    said: dict[str, Any] = json.loads(line)
    assert said["_aws"].keys() == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(said["_aws"]["Timestamp"], int)
    assert said["_aws"]["Timestamp"] > 1e12
    [directive] = said["_aws"]["CloudWatchMetrics"]
    assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
    assert directive["Namespace"] == "Atrium"
    assert 1 <= len(directive["Metrics"]) <= 100
    for dimensions in directive["Dimensions"]:
        assert len(dimensions) <= 30
        assert all(isinstance(said[name], str) and 1 <= len(said[name]) <= 1024 for name in dimensions)
    for metric in directive["Metrics"]:
        assert metric.keys() == {"Name", "Unit"}
        assert metric["Unit"] in UNITS
        assert isinstance(said[metric["Name"]], int | float)
    names = [metric["Name"] for metric in directive["Metrics"]]
    assert len(set(names)) == len(names)
    return said


def test_cloudwatch_is_told_what_came_since_the_last_time() -> None:
    counted = metrics.counters("atrium_refused_total", "X", "code")
    seconds = metrics.histogram("atrium_work_seconds", "X")
    differences = emf.Differences()
    counted.of("unknown_key").inc(3)
    seconds.observe(0.5)
    seconds.observe(2)
    lines = [check_object(line) for line in emf.lines(differences.take(), process="web", now_ms=1_760_000_000_000)]
    assert [(line.get("code"), line.get("atrium_refused_total")) for line in lines] == [("unknown_key", 3), (None, None)]
    assert (lines[1]["atrium_work_seconds_count"], lines[1]["atrium_work_seconds_sum"], lines[1]["atrium_work_seconds_max"]) == (2, 2.5, 2)
    assert not list(differences.take())
    counted.of("unknown_key").inc()
    seconds.observe(1)
    again = {name: value for _, name, _, value in differences.take()}
    assert again == {"atrium_refused_total": 1, "atrium_work_seconds_count": 1, "atrium_work_seconds_sum": 1, "atrium_work_seconds_max": 1}


def test_cloudwatch_is_told_no_label_that_would_be_dear() -> None:
    asked = metrics.counters("atrium_http_requests_total", "X", "method", "route", "status")
    took = metrics.histograms("atrium_http_request_seconds", "X", "route")
    for route in ("a", "b"):
        asked.of("GET", route, "200").inc(2)
        took.of(route).observe(3 if route == "a" else 1)
    first, second = (check_object(line) for line in emf.lines(emf.Differences().take(), process="web", now_ms=1_760_000_000_000))
    assert (first["_aws"]["CloudWatchMetrics"][0]["Dimensions"], first["atrium_http_requests_total"]) == ([["status"]], 4)
    assert (second["_aws"]["CloudWatchMetrics"][0]["Dimensions"], second["atrium_http_request_seconds_sum"]) == ([[]], 4)
    assert second["atrium_http_request_seconds_max"] == 3


def test_no_object_has_more_than_cloudwatch_takes() -> None:
    points = [((), f"atrium_{number}_total", "Count", float(number)) for number in range(250)]
    deep = tuple((f"label{number}", "v" * 2000) for number in range(40))
    lines = emf.lines([*points, (deep, "atrium_x_total", "Count", 1.0)], process="web", now_ms=1_760_000_000_000)
    assert [len(check_object(line)["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for line in lines] == [100, 100, 50, 1]


def test_a_process_tells_cloudwatch_on_its_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(telling, "MODE", metrics.EMF)
    metrics.counter("atrium_x_total", "X").inc()
    asked = iter([[metrics.Gauge("atrium_lag_seconds", "Lag", 4)], RuntimeError("the database is away")])

    def gauges() -> list[metrics.Gauge]:
        found = next(asked)
        if isinstance(found, Exception):
            raise found
        return found

    teller = telling.Teller("watch", folder=tmp_path / "none", gauges=gauges)
    teller.tell()
    [line] = [check_object(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["process"], line["atrium_x_total"], line["atrium_lag_seconds"]) == ("watch", 1, 4)
    metrics.counter("atrium_y_total", "Y").inc()
    teller.tell()
    [line] = [check_object(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert line["atrium_y_total"] == 1
    assert not (tmp_path / "none").exists()


def test_with_metrics_off_nothing_is_counted_and_nothing_told(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from engagement import metrics; c = metrics.counter('atrium_x_total', 'X'); h = metrics.histogram('atrium_x_seconds', 'X')\n"
    )
    program += "metrics.begin('web', folder=Path('none')); c.inc(); h.observe(1); print(c.value, h.sum, Path('none').exists())"
    environment = {**os.environ, "METRICS": "off", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "0 0.0 False\n"


# --- Stages ---------------------------------------------------------------------------------------------------------------


def test_laps_tell_where_the_time_went(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 4.0])
    monkeypatch.setattr(measures.time, "perf_counter", lambda: next(clock))
    family = metrics.histograms("atrium_stage_seconds", "X", "stage")
    laps = metrics.Laps(family)
    laps.begin()
    for stage in ("fold", "write", "fold"):
        laps.lap(stage)
    laps.tell()
    assert (family.of("fold").sum, family.of("write").sum) == (2.0, 2.0)
