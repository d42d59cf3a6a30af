"""`manage.py demo` as people run it: from nothing to figures that move, and to a clean end."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import ROOT, STOP_WITHIN_S, Answer, Server, answers, free_port, until

FIGURES_WITHIN_S = 120  # on a machine that runs other tests beside it; alone it takes a tenth of that


def test_the_demonstration_starts_from_nothing_moves_and_stops_cleanly(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    known = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "ATRIUM_POSTGRES"}}
    with log.open("wb") as out:
        command = [sys.executable, "manage.py", "demo"]
        process = subprocess.Popen(command, cwd=ROOT, env={**known, "ATRIUM_VAR": str(tmp_path / "var"), "PORT": str(port)}, stdout=out, stderr=out)
    server = Server(process, port, log)
    try:
        until(lambda: process.poll() is not None or processed(server, tmp_path) > 1000, within_s=FIGURES_WITHIN_S, every_s=0.5)
        assert process.poll() is None, log.read_text()
        said = log.read_text()
        assert f"Atrium is at http://127.0.0.1:{port}/admin/" in said
        assert re.search(r"User demo, password \S{8,}", said)
        until(lambda: "phones are about" in log.read_text(), within_s=FIGURES_WITHIN_S)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(STOP_WITHIN_S)
    assert code == 0
    assert log.read_text().rstrip().endswith("Everything has stopped.")
    assert not answers(server)


def processed(server: Server, folder: Path) -> int:
    """How many events have become stays or nothing, by the public status; 0 while nobody can be asked."""
    kept = folder / "var" / "demo.json"
    if not kept.exists() or not answers(server):
        return 0
    key = json.loads(kept.read_text())["keys"]["demo watch"]
    answer: Answer = server.request("GET", "/api/v1/status", headers={"authorization": f"Bearer {key}"})
    said: dict[str, Any] = answer.json
    return int(said["processed_events"])
