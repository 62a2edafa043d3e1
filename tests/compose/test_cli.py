"""The verbs answer people and programs, with the exit codes they promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

MAIN = "from fleetbox.cli.root import main; main()"


def fleetbox(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def test_where() -> None:
    """`servers where` names each server's version and origin."""
    answer = json.loads(fleetbox("servers", "where", "--json").stdout)
    store = next(server for server in answer["servers"] if server["server"] == "ReductStore")
    assert answer["schema_version"] == 1
    assert store["version"].startswith("1.")
    assert Path(store["at"]).exists() or store["from"] == "docker"


def test_nothing_found(tmp_path: Path) -> None:
    """On a machine without servers and tools, `where` shows the gap, `install` and `up` name the ways, all exit 1."""
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "FLEETBOX_REDUCTSTORE": ""}
    verbs = [("servers", "where"), ("servers", "install"), ("up", "--dir", str(tmp_path / "fleet"), "--no-influx")]
    for verb in verbs:
        answer = fleetbox(*verb, **bare)
        assert answer.returncode == 1, verb
        assert "FLEETBOX_REDUCTSTORE=" in answer.stderr, verb
        assert "Docker" in answer.stderr, verb
    assert fleetbox("servers", "where", **bare).stdout.startswith("server")


def test_explicit_path_that_is_wrong(tmp_path: Path) -> None:
    """A path named by the user and wrong is said, not passed over."""
    answer = fleetbox("servers", "where", FLEETBOX_REDUCTSTORE=str(tmp_path / "gone"))
    assert answer.returncode == 1
    assert f"no ReductStore program at {tmp_path}/gone" in answer.stderr


def test_bad_robots(tmp_path: Path) -> None:
    """A robot id that cannot be is a usage error before anything starts."""
    answer = fleetbox("up", "--dir", str(tmp_path / "fleet"), "--robots", "a--b", "--no-influx")
    assert answer.returncode == 2
    assert "a--b" in answer.stderr
    assert not (tmp_path / "fleet/r1").exists()


def test_down_of_nothing(tmp_path: Path) -> None:
    """`down` where nothing runs says so and succeeds."""
    answer = fleetbox("down", "--dir", str(tmp_path))
    assert (answer.returncode, answer.stdout) == (0, f"nothing runs in {tmp_path}\n")
