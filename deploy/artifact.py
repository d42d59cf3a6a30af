"""The artefact of a release: everything that a machine needs but Python, the system and its settings. Two builds of one commit are the same, byte for byte.

    python deploy/artifact.py [--release NAME]     (make artifact)

writes under var/artifact: atrium.tar.gz (the application, the wheels of what it runs on with their digests, pages' files under names that hold their
digest, the units and scripts of the machines), its sha256, release.json, and boot.sh, which a machine runs first.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
OUT: Final = ROOT / "var" / "artifact"
APPLICATION: Final = ("manage.py", "pyproject.toml", "RUNBOOK.md", "LICENSE", "engagement", "analytics", "notifications", "operations")
REQUIREMENTS: Final = ROOT / "requirements.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the artefact of a release.")
    parser.add_argument("--release", default=release_name(), help="its name: letters, digits, points and hyphens")
    release = parser.parse_args().release
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", release):
        sys.exit(f"{release!r} is no name of a release. Give letters, digits, points and hyphens.")
    OUT.mkdir(parents=True, exist_ok=True)
    wheels, static = kept_wheels(), collected()
    packed = pack(release, wheels, static)
    (OUT / "atrium.tar.gz").write_bytes(packed)
    digest = hashlib.sha256(packed).hexdigest()
    (OUT / "atrium.tar.gz.sha256").write_text(f"{digest}  atrium.tar.gz\n")
    (OUT / "release.json").write_text(json.dumps({**described(release), "sha256": digest}, indent=1) + "\n")
    shutil.copyfile(ROOT / "deploy" / "instance" / "boot.sh", OUT / "boot.sh")
    print(f"{OUT.relative_to(ROOT)}/atrium.tar.gz: release {release}, {len(packed) / 1e6:.0f} MB, sha256 {digest[:12]}…")


def release_name() -> str:
    """The version and the commit."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    asked = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return f"{version}-{asked.stdout.strip()}" if asked.returncode == 0 else str(version)


def described(release: str) -> dict[str, str]:
    return {"release": release, "python": f"{sys.version_info.major}.{sys.version_info.minor}", "machine": platform.machine(), "system": platform.system()}


def kept_wheels() -> list[Path]:
    """Wheels of what requirements.txt names, fetched anew where it has changed."""
    folder, wanted = OUT / "wheels", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = folder / "of"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps", "--requirement", REQUIREMENTS, "--wheel-dir", folder],
            check=True,
        )
        stamp.write_text(wanted)
    return sorted(folder.glob("*.whl"))


def collected() -> Path:
    """Pages' files as they are now."""
    folder = OUT / "static"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    environment = {**os.environ, "ATRIUM_STATIC": str(folder), "ATRIUM_VAR": str(OUT / "collecting"), "DEBUG": "1"}
    command = [sys.executable, "-W", "ignore", "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(OUT / "collecting", ignore_errors=True)
    return folder


def pack(release: str, wheels: list[Path], static: Path) -> bytes:
    content: dict[str, bytes] = {f"app/{path.relative_to(ROOT)}": path.read_bytes() for path in application()}
    content |= {f"wheels/{path.name}": path.read_bytes() for path in wheels}
    content |= {f"static/{path.relative_to(static)}": path.read_bytes() for path in static.rglob("*") if path.is_file()}
    instance = ROOT / "deploy" / "instance"
    content |= {f"instance/{path.relative_to(instance)}": path.read_bytes() for path in instance.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    content["requirements.lock"] = lock(wheels).encode()
    content["release.json"] = json.dumps(described(release)).encode()
    return _archive(content)


def application() -> Iterator[Path]:
    for name in APPLICATION:
        path = ROOT / name
        yield from ([path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts))


def lock(wheels: list[Path]) -> str:
    """What is to be installed, each by its digest: a machine takes nothing else."""
    lines = []
    for path in wheels:
        name, version = path.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    return "".join(lines)


def _archive(content: dict[str, bytes]) -> bytes:
    """Without times and owners, and in order: so that the same content is the same archive."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=6) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name in sorted(content):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content[name]), 0o755 if name in EXECUTABLE else 0o644
            archive.addfile(entry, io.BytesIO(content[name]))
    return out.getvalue()


EXECUTABLE: Final = {"instance/boot.sh", "instance/migrate", "instance/drain.py", "app/manage.py"}

if __name__ == "__main__":
    main()
