"""A real fleet fills the boards: robots, sites, loader and feeds as `fleetbox up` starts them, compared with chunks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetbox.errors import MissingServer
from fleetbox.scalars import ScalarStore, Series
from fleetbox.settings import load_fleet
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.filling import Filling, queries
from fleetbox_local.processes import find_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(500)]
FAULTS_ONLY = {  # panels that stay empty while nothing of the kind has happened
    "Silent",
    "Silent robots",
    "Dead letters",
    "Dead letters by reason",
    "Dead letters over time",
    "Relay: held",
    "Where",  # the simulated robot does not say where it was
    "Sites: temperature",  # a virtual machine has no sensor
    "Robots: temperature",
    "Stream below what is expected",
    "The 20 streams furthest below what is expected",  # the sample policy expects nothing
    "Rate of ${stream:raw}",  # the first stream with numbers is the agent's own
}


def fleetbox(*words: str, partial: bool = False) -> str:
    """Run a command and return what it says."""
    done = subprocess.run([sys.executable, "-m", "fleetbox", *words], capture_output=True, text=True, timeout=240)
    assert done.returncode in ((0, 3) if partial else (0,)), done.stderr
    return done.stdout


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Path]:
    """Two robots, an edge and a cloud, with an InfluxDB; r1 has recorded half a minute and marked a moment."""
    try:
        find_server("influxdb")
    except MissingServer as missing:
        pytest.skip(f"{missing.message}; install it: fleetbox servers install --influx")
    fleetbox("up", "--dir", str(tmp_path), "--robots", "2", "--influx", "--detach")
    where = ("--fleet", str(tmp_path / "fleet.toml"))
    try:
        for robot in ("r1", "r2"):
            fleetbox("simulate", "--robot", robot, "--seconds", "15", "--brake-at", "5", *where)
        fleetbox("mark", "look", "--robot", "r1", "--note", "for the boards", *where)
        yield tmp_path / "fleet.toml"
    finally:
        fleetbox("down", "--dir", str(tmp_path), partial=True)


def test_a_real_fleet_fills_the_boards(fleet: Path) -> None:
    """Within minutes every panel has rows but those for faults; events and a field are as the chunks say."""
    deadline_s, empty = time.monotonic() + 240, {"not asked yet"}
    while empty and time.monotonic() < deadline_s:
        time.sleep(5)
        told = json.loads(fleetbox("dashboards", "check", "--fleet", str(fleet), "--robot", "r1", "--json"))["queries"]
        assert [one for one in told if one["fault"]] == []
        empty = {one["place"] for one in told if not one["rows"]} - FAULTS_ONLY
    assert not empty
    assert newest(fleet, "fleet", "Robots")["value"] == 2
    assert newest(fleet, "events", "Every event")["note"] == "for the boards"
    rows = [
        json.loads(line)["fields"]
        for line in fleetbox("query", "r1/health", "--fleet", str(fleet), "--format", "ndjson").splitlines()
    ]
    name = next(name for name, value in rows[0].items() if isinstance(value, float))
    values = [row[name] for row in rows if row.get(name) is not None]
    found = ask(
        fleet, f'SELECT sum("{name}.count"), min("{name}.min"), max("{name}.max") FROM health WHERE robot=\'r1\''
    )
    assert found[0].rows[0][1:] == pytest.approx([len(values), min(values), max(values)])


def newest(fleet: Path, board: str, title: str) -> dict[str, Any]:
    """Return the first row of a panel's first query, over the last hour."""
    asked = next(one for one in queries(boards()["fleetbox-" + board]) if one.place == title)
    now_ms = time.time_ns() // 1_000_000
    chosen = {"site": ".*", "kind": ".*", "robots": ""}
    series = ask(fleet, Filling(now_ms - 3_600_000, now_ms, chosen).fill(asked.influxql, asked.least_interval))
    return dict(zip(series[0].columns, series[0].rows[0], strict=True))


def ask(fleet: Path, influxql: str) -> list[Series]:
    """Ask the InfluxDB of the fleet's edge."""

    async def go() -> list[Series]:
        settings = load_fleet(fleet)
        influx = next(place.influx for name in settings.site if (place := settings.site_place(name)).influx)
        assert influx is not None
        async with ScalarStore(influx) as scalars:
            return await scalars.query(influxql)

    return asyncio.run(go())
