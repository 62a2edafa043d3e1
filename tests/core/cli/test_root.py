"""The command line's root: light, complete, honest exit codes."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest


def _fleetbox(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fleetbox", *arguments], capture_output=True, text=True, cwd=cwd)


def test_help_names_every_verb() -> None:
    """`fleetbox --help` lists each registered verb with a sentence."""
    answer = _fleetbox("--help")

    assert answer.returncode == 0
    for entry in entry_points(group="fleetbox.commands"):
        assert f"\n  {entry.name} " in answer.stdout


def test_help_loads_nothing_heavy() -> None:
    """Asking for help imports no array, table, picture or store library."""
    heavy = {"numpy", "pyarrow", "pandas", "cv2", "reduct", "aiohttp", "influxdb_client", "mcap", "nanoarrow"}
    code = (
        "import sys; sys.argv = ['fleetbox', '--help']\n"
        "from fleetbox.cli.root import main\n"
        "try: main()\n"
        f"except SystemExit: print('LOADED', sorted({heavy!r} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "LOADED []" in answer.stdout, answer.stdout + answer.stderr


@pytest.mark.parametrize("verb", sorted(entry.name for entry in entry_points(group="fleetbox.commands")))
def test_every_verb_explains_itself(verb: str) -> None:
    """Each verb has a help text and exits 0 for it."""
    answer = _fleetbox(verb, "--help")

    assert answer.returncode == 0, answer.stderr
    assert "Usage: fleetbox" in answer.stdout


def test_an_unknown_verb_is_a_usage_error() -> None:
    """A verb that does not exist exits 2 and says so on stderr."""
    answer = _fleetbox("frobnicate")

    assert answer.returncode == 2
    assert "frobnicate" in answer.stderr


def test_no_fleet_says_how_to_start(tmp_path: Path) -> None:
    """Without any settings a reading verb exits 2 and names the next step."""
    answer = _fleetbox("whoami", cwd=tmp_path)

    assert answer.returncode == 2
    assert "fleetbox up" in answer.stderr


def test_config_check_shows_every_fault(tmp_path: Path) -> None:
    """`config check` exits 2 with all faults of a broken file at once."""
    path = tmp_path / "fleet.toml"
    path.write_text('bogus = 1\n[site.edge]\nstore = "x"\n')
    answer = _fleetbox("config", "check", str(path))

    assert answer.returncode == 2
    assert "bogus" in answer.stderr
    assert "site.edge.store" in answer.stderr
    assert "site.edge.token" in answer.stderr


@pytest.mark.parametrize("which", ["fleet", "robot", "policy"])
def test_samples_are_printed_and_pass_their_own_check(which: str, tmp_path: Path) -> None:
    """What `config sample` prints, `config check` accepts."""
    for name in ("fleet", "robot", "policy"):
        (tmp_path / f"{name}.toml").write_text(_fleetbox("config", "sample", name).stdout)
    answer = _fleetbox("config", "check", str(tmp_path / f"{which}.toml"), "--json")

    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) | {"schema_version": 1, "kind": which, "ok": True} == json.loads(answer.stdout)


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    """`fleetbox ... | head` ends with 0 and without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "fleetbox", "config", "sample", "policy"]
        answer = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert (answer.returncode, answer.stderr) == (0, "")
