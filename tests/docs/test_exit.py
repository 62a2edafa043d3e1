"""What docs/exit.md shows runs as it stands, on real stores and without fleetbox."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.ipc
import pytest

import fleetbox as fb

from ..query.conftest import Tiers
from ..query.test_cli import run

VENDORS = "reduct-cli"
PAGE = Path(__file__).parents[2] / "docs" / "exit.md"


def blocks(language: str) -> list[str]:
    """The page's blocks of code in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def taken_home(at_home: Path, code: str) -> Path:
    """A folder with the exports or the lake that a block opens."""
    if "lake" in code:
        done = run(Path(os.environ["FLEETBOX_FLEET"]), "lake", "sync", "--to", "lake")
        assert done.returncode == 0, done.stderr
    if "http" in code or "lake" in code:
        return at_home
    with fb.connect() as fleet:
        imu = fleet.select("r1/imu").last("1h")
        imu.export("parquet", "imu")
        imu.export("hdf5", "run.h5")
        fleet.select("r1/imu", "r1/log/robot").last("1h").export("mcap", "brake.mcap")
    return at_home


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0])
def test_the_pages_code_reads_the_data(small_fleet: Tiers, taken_home: Path, code: str) -> None:
    """Each block runs with the site's address and token put in, imports nothing of ours, and shows data."""
    edge = small_fleet.stores["edge"]
    assert "fleetbox" not in code
    assert len([line for line in code.splitlines() if line.strip()]) <= 9
    script = taken_home / "script.py"
    script.write_text(code.replace("http://127.0.0.1:8383", edge.url).replace("TOKEN", edge.token))
    done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\d\.\d", done.stdout), done.stdout


@pytest.mark.parametrize("code", blocks("sh"), ids=lambda code: code.splitlines()[0][:20])
def test_the_pages_commands_read_the_data(small_fleet: Tiers, at_home: Path, code: str) -> None:
    """curl gets a picture and a line of log as they were recorded."""
    edge = small_fleet.stores["edge"]
    text = code.replace("http://127.0.0.1:8383", edge.url)
    commands = "\n".join(line for line in text.splitlines() if not line.startswith(VENDORS))
    environment = {**os.environ, "TOKEN": edge.token}
    done = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert (at_home / "front.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert "m driven" in done.stdout


@pytest.mark.skipif(shutil.which(VENDORS) is None, reason=f"needs {VENDORS} on PATH: cargo install {VENDORS}")
def test_the_vendors_own_tool_copies_a_bucket(small_fleet: Tiers, at_home: Path) -> None:
    """Every chunk becomes a file that Arrow opens, with its labels beside it."""
    edge = small_fleet.stores["edge"]
    lines = [line for code in blocks("sh") for line in code.splitlines() if line.startswith(VENDORS)]
    commands = "\n".join(lines).replace("http://127.0.0.1:8383", edge.url)
    environment = {**os.environ, "TOKEN": edge.token, "HOME": str(at_home)}  # it keeps what it knows of places there
    done = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    chunks = [path for path in (at_home / "r1--sensor").rglob("imu/*") if path.suffix != ".json"]
    rows = 0
    for path in chunks:
        labels = json.loads(path.with_name(f"{path.stem}-meta.json").read_text())["labels"]
        held = pyarrow.ipc.open_stream(path.read_bytes()).read_all().num_rows
        assert held == int(labels["rows"])
        rows += held
    assert rows >= 1000
