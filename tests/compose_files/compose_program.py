"""Finds the program that reads compose files, or builds it with Go, once per user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fleetbox_local.programs import cache_dir

VERSION = "v2.40.3"  # Debian 12 has 1.29 alone, which knows neither `include` nor `!override`
GO = "1.24.9"  # what that release asks for; Go fetches it by itself
MODULE = "github.com/docker/compose/v2"


def find_compose() -> list[str] | None:
    """Return the command: Docker's own plugin, one that is kept from before, or None."""
    if shutil.which("docker") and _answers(["docker", "compose"]):
        return ["docker", "compose"]
    kept = _kept()
    return [str(kept)] if kept.exists() else None


def get_compose() -> list[str]:
    """Return the command, built first where there is none."""
    found = find_compose()
    if found is not None:
        return found
    sys.stderr.write(f"building docker compose {VERSION} with go; once per user, about 5 minutes on two cores\n")
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "go.mod").write_text(f"module scratch\n\ngo {GO}\n\nrequire {MODULE} {VERSION}\n")
        fresh = Path(name) / "docker-compose"
        flags = ["-trimpath", "-ldflags", f"-s -w -X {MODULE}/internal.Version={VERSION}"]
        argv = ["go", "build", "-mod=mod", *flags, "-o", str(fresh), f"{MODULE}/cmd"]
        subprocess.run(argv, cwd=name, check=True)
        _kept().parent.mkdir(parents=True, exist_ok=True)
        shutil.move(fresh, f"{_kept()}.new")
        Path(f"{_kept()}.new").replace(_kept())
    return [str(_kept())]


def main() -> int:
    """Say which program it is; without one and without Go, tests that need it are skipped, saying so."""
    if find_compose() is None and not shutil.which("go"):
        sys.stderr.write("no `docker compose` and no Go to build it with: its tests are skipped\n")
        return 0
    sys.stdout.write(f"{' '.join(get_compose())}\n")
    return 0


def _kept() -> Path:
    return cache_dir(os.environ) / f"docker-compose-{VERSION}" / "bin" / "docker-compose"


def _answers(argv: list[str]) -> bool:
    """Tell whether this is a compose of the second generation or later."""
    said = subprocess.run([*argv, "version", "--short"], capture_output=True, text=True, check=False)
    return said.returncode == 0 and said.stdout.strip().lstrip("v")[:2] not in ("1.", "")


if __name__ == "__main__":
    sys.exit(main())
