"""The checks together: a hung store costs seconds, an unknown robot is said once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import StoreServer, hang

from fleetbox.checks import run_checks
from fleetbox.cli.doctor import doctor
from fleetbox.cli.status import status
from fleetbox.errors import NotFound
from fleetbox.settings import FleetSettings, load_fleet

NewStore = Callable[..., StoreServer]

ANSWER_S, LIMIT_S = 12.0, 20.0  # more than people wait: on a busy machine the stores that run must answer in it


@pytest.fixture
def hung(new_store_server: NewStore) -> Iterator[StoreServer]:
    """A store that takes connections and answers nothing."""
    server = new_store_server()
    pid = server.process.pid
    assert pid is not None
    hang(pid)
    yield server
    os.kill(pid, signal.SIGCONT)


def fleet_of(folder: Path, edge: StoreServer, robot: StoreServer) -> FleetSettings:
    """Return a fleet of one robot and one edge site that passes on to the cloud, which is the robot's own store."""
    for name, server in (("edge", edge), ("robot", robot)):
        (folder / f"{name}.token").write_text(server.token)
    (folder / "fleet.toml").write_text(
        f'[site.edge]\nstore = "{edge.url}"\ntoken = {{ file = "edge.token" }}\nnext = "cloud"\n'
        f'[site.cloud]\nstore = "{robot.url}"\ntoken = {{ file = "robot.token" }}\n'
        f'[[robots]]\nmatch = "r1"\nsite = "edge"\nstore = "{robot.url}"\ntoken = {{ file = "robot.token" }}\n'
    )
    return load_fleet(folder / "fleet.toml")


def test_a_hung_store_costs_one_limit(
    tmp_path: Path, hung: StoreServer, new_store_server: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the edge's store stopped, all checks end within one limit; the edge fails and the others still pass."""
    fleet = fleet_of(tmp_path, hung, new_store_server())
    monkeypatch.setattr("fleetbox.checks.ANSWER_S", ANSWER_S)
    started = time.monotonic()
    checks = asyncio.run(run_checks(fleet, limit_s=LIMIT_S))
    assert time.monotonic() - started < 2 * LIMIT_S, "one limit for all, not one for each that asks"
    verdicts = {check.subject: check.verdict for check in checks if check.name == "store"}
    assert verdicts == {"edge": "FAIL", "cloud": "PASS", "r1": "PASS"}
    assert any("within" in check.text for check in checks if check.subject == "edge")


def test_a_part_that_does_not_end_is_said(tmp_path: Path, hung: StoreServer, new_store_server: NewStore) -> None:
    """What has not finished within the limit is a warning that names the part, not silence."""
    fleet = fleet_of(tmp_path, hung, new_store_server())
    checks = asyncio.run(run_checks(fleet, "r1", limit_s=0.3))
    unfinished = [check for check in checks if "not checked" in check.text]
    assert {check.verdict for check in unfinished} == {"WARN"}
    assert "places" in {check.name for check in unfinished}


def test_an_unknown_robot_is_said_once(tmp_path: Path, store_server: StoreServer) -> None:
    """`status r9` and `doctor r9` fail once with the robots that are known."""
    fleet = fleet_of(tmp_path, store_server, store_server)
    for verb in (status, doctor):
        done = CliRunner().invoke(verb, ["r9", "--fleet", str(fleet.source)])
        assert isinstance(done.exception, NotFound), done.output
        assert done.output == ""
        assert "known: r1" in str(done.exception)
        assert done.exception.exit_code == 1
