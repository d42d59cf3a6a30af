"""A machine of a group, as far as the boot and drain scripts can tell: a folder in place of /, `aws` and `systemctl` that are found first, and the machine's
own data on a loopback address. `systemctl` really starts what the units say, and stops it as systemd does: SIGTERM, then SIGKILL when the unit's time is over.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.servers import ROOT

INSTANCE: Final = ROOT / "deploy" / "instance"
# For releases that run nothing of Python: what makes a virtual environment takes seconds, and is tried with the real release.
HASTY: Final = """#!/bin/sh
mkdir -p "$3/bin" && printf '#!/bin/sh\\n' >"$3/bin/python" && chmod +x "$3/bin/python"
"""

AWS: Final = '''#!{python}
"""`aws s3 cp` from a folder in place of the bucket; everything else is written down, and refused while the file `refuse` holds a number."""
import pathlib, shutil, sys
home = pathlib.Path({home!r})
words = [word for word in sys.argv[1:] if word != "--only-show-errors"]
with (home / "aws.log").open("a") as out:
    print(*words, file=out)
if words[:2] == ["s3", "cp"]:
    source = home / "bucket" / words[2].removeprefix("s3://")
    sys.exit(1) if not source.exists() else shutil.copyfile(source, words[3])
else:
    refuse = home / "refuse"
    left = int(refuse.read_text()) if refuse.exists() else 0
    if left:
        refuse.write_text(str(left - 1))
        sys.exit(254)
'''

SYSTEMCTL: Final = """#!{python}
import os, pathlib, shlex, signal, subprocess, sys, time
home, root = pathlib.Path({home!r}), {root!r}
words = [word for word in sys.argv[1:] if not word.startswith("--")]
with (home / "systemctl.log").open("a") as out:
    print(*words, file=out)

def settings(unit):
    lines = (pathlib.Path(root) / "etc/systemd/system" / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

def start(unit):
    said = settings(unit)
    if "agent" in unit or "drain" in unit:
        return  # the one is AWS's own; the other is started where a test asks for it
    file = root + said["EnvironmentFile"]
    environment = dict(os.environ) | dict(line.split("=", 1) for line in open(file).read().splitlines())
    command = said["ExecStart"].replace("/opt/atrium", root + "/opt/atrium").replace("/usr/bin/python3", sys.executable).replace("%%", "%")
    for name, value in environment.items():
        command = command.replace("${{" + name + "}}", value)
    where = root + said["WorkingDirectory"] if "WorkingDirectory" in said else "/"
    log = open(home / (unit + ".log"), "ab")
    child = subprocess.Popen(shlex.split(command), env=environment, cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    (home / (unit + ".pid")).write_text(str(child.pid))

def lives(pid):
    try:
        return pathlib.Path(f"/proc/{{pid}}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

def stop(units):
    pids = {{}}
    for unit in units:
        kept = home / (unit + ".pid")
        if kept.exists():
            pids[unit] = int(kept.read_text())
            if lives(pids[unit]):
                os.kill(pids[unit], signal.SIGTERM)
    late = False
    for unit, pid in pids.items():
        deadline = time.monotonic() + float(settings(unit).get("TimeoutStopSec", 90))
        while lives(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if lives(pid):
            late = True
            os.killpg(pid, signal.SIGKILL)
        (home / (unit + ".pid")).unlink()
    return 1 if late else 0

if words[0] == "enable":
    if not (home / (words[1] + ".pid")).exists():
        start(words[1])
elif words[0] == "stop":
    sys.exit(stop(words[1:]))
"""


@dataclass
class Machine:
    """`home`: what the false commands keep. `root`: in place of /."""

    home: Path
    group: str = "atrium-test-web"
    states: list[str] = field(default_factory=lambda: ["InService"])

    def __post_init__(self) -> None:
        self.root = self.home / "root"
        commands = self.home / "commands"
        commands.mkdir(parents=True)
        for name, text in {"aws": AWS, "systemctl": SYSTEMCTL, "hasty": HASTY}.items():
            (commands / name).write_text(text.format(python=sys.executable, home=str(self.home), root=str(self.root)) if name != "hasty" else text)
            (commands / name).chmod(0o755)
        (self.home / "rds.pem").write_text("certificates\n")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("HOME", "TMPDIR", "LANG")}
        return {
            **kept,
            "PATH": f"{self.home / 'commands'}:{os.environ['PATH']}",
            "ATRIUM_ROOT": str(self.root),
            "ATRIUM_PYTHON": str(self.home / "commands" / "hasty"),
            "ATRIUM_ENVIRONMENT": "test",
            "AWS_REGION": "eu-west-1",
            "ATRIUM_RELEASE_AT": "s3://artifacts/releases/one",
            "ATRIUM_GROUP": self.group,
            "ATRIUM_HOOK": "drain",
            "ATRIUM_CERTIFICATES_AT": f"file://{self.home / 'rds.pem'}",
            **more,
        }

    def boot(self, role: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", str(INSTANCE / "boot.sh"), role], env=self.environment(**more), capture_output=True, text=True)

    def bring(self, artifact: Path, release: str = "one") -> None:
        """Put a release into the bucket."""
        place = self.home / "bucket" / "artifacts" / "releases" / release
        place.mkdir(parents=True, exist_ok=True)
        for name in ("atrium.tar.gz", "atrium.tar.gz.sha256"):
            (place / name).write_bytes((artifact / name).read_bytes())

    def said(self, command: str) -> list[str]:
        log = self.home / f"{command}.log"
        return log.read_text().splitlines() if log.exists() else []

    def stop(self) -> None:
        """Whatever still runs of it."""
        units = [path.name.removesuffix(".pid") for path in self.home.glob("*.pid")]
        if units:
            subprocess.run([str(self.home / "commands" / "systemctl"), "stop", *units], env=self.environment(), check=False)


@contextmanager
def metadata(machine: Machine) -> Iterator[str]:
    """The machine's own data by tokens, as Amazon serves it; `machine.states[0]` is what the group wants of it. Its address."""
    tokens: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if self.path != "/latest/api/token" or not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds"):
                return self._answer(400)
            tokens.add(f"token-{len(tokens)}")
            return self._answer(200, f"token-{len(tokens) - 1}")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") not in tokens:
                return self._answer(401)
            if self.path == "/latest/meta-data/instance-id":
                return self._answer(200, "i-0123456789abcdef0")
            if self.path == "/latest/meta-data/autoscaling/target-lifecycle-state":
                state = machine.states.pop(0) if len(machine.states) > 1 else machine.states[0]
                if state == "forgetful":
                    tokens.clear()
                    return self._answer(401)
                return self._answer(int(state)) if state.isdecimal() else self._answer(200, state)
            return self._answer(404)

        def _answer(self, status: int, text: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
