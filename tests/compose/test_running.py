"""A real local fleet of stores: up, up again, down, killed, interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetbox.errors import FleetboxError, SettingsError
from fleetbox_local import running
from fleetbox_local.fleet import LocalFleet
from fleetbox_local.identity import Process, identify, started
from fleetbox_local.processes import ask

DEADLINE_S = 120.0


def until(true: Callable[[], object]) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def wish(tmp_path: Path, robots: str | None = "r1") -> running.Wish:
    """Ask for stores alone: what `up` does with processes is the same for agents."""
    return running.Wish(tmp_path / "fleet", robots, influx=False, nodes=False)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[running.Running]:
    """A detached fleet."""
    state = running.start_detached(wish(tmp_path))
    yield state
    running.stop(state.directory)


def foreground(tmp_path: Path) -> tuple[subprocess.Popen[bytes], list[Process]]:
    """Run a fleet in the foreground of another process; return it and its processes once it is ready."""
    asked = {"directory": str(tmp_path / "fleet"), "robots": "r1", "influx": False, "nodes": False}
    keeper = subprocess.Popen(
        [sys.executable, "-m", "fleetbox_local.running", json.dumps(asked)], stderr=subprocess.DEVNULL
    )
    until(lambda: running.state_of(tmp_path / "fleet"))
    state = running.state_of(tmp_path / "fleet")
    assert state is not None
    return keeper, state.processes


def test_fleet_has_its_tokens(tmp_path: Path) -> None:
    """Stores of all tiers serve; a robot's token at the edge is its own and the file is private."""
    with LocalFleet(tmp_path / "fleet", ["r1", "r2"], influx=False, nodes=False) as fleet:
        assert set(fleet.stores) == {"r1", "r2", "edge", "cloud"}
        assert all(ask(store.port, "GET", "/api/v1/alive").status == 200 for store in fleet.stores.values())
        token = tmp_path / "fleet/secrets/r1-at-edge.token"
        assert token.stat().st_mode & 0o777 == 0o600
        assert token.read_text() not in ("", (tmp_path / "fleet/secrets/edge.token").read_text())
        assert fleet.version.startswith("1.")
    assert not any(store.alive for store in fleet.stores.values())


def test_restart_keeps_ports_and_tokens(tmp_path: Path) -> None:
    """A second start of the same folder has the same ports and tokens; a lost token file is made anew."""
    seen = []
    for _ in range(2):
        with LocalFleet(tmp_path / "fleet", ["r1"], influx=False, nodes=False) as fleet:
            assert fleet.seating is not None
            tokens = {path.name: path.read_text() for path in (tmp_path / "fleet/secrets").iterdir()}
            seen.append((fleet.seating.ports, tokens))
    assert seen[0] == seen[1]
    (tmp_path / "fleet/secrets/r1-at-edge.token").unlink()
    with LocalFleet(tmp_path / "fleet", ["r1"], influx=False, nodes=False):
        assert (tmp_path / "fleet/secrets/r1-at-edge.token").read_text() != seen[0][1]["r1-at-edge.token"]


def test_failed_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet that cannot start whole stops what it had started, and the folder is free again."""

    async def refuse(*_: object) -> None:
        raise FleetboxError("no luck")

    fleet = LocalFleet(tmp_path / "fleet", ["r1"], influx=False, nodes=False)
    with monkeypatch.context() as patched:
        patched.setattr("fleetbox_local.fleet.provision_sites", refuse)
        with pytest.raises(FleetboxError, match="no luck"):
            fleet.start()
    assert len(fleet.stores) == 3
    assert not any(store.alive for store in fleet.stores.values())
    fleet.start()
    fleet.stop()


def test_up_twice_and_down_twice(up: running.Running) -> None:
    """The second start is refused in words; the first down ends exactly what runs, the second finds nothing."""
    assert running.state_of(up.directory) == up
    with pytest.raises(FleetboxError, match="already runs"):
        LocalFleet(up.directory, ["r1"], influx=False, nodes=False).start()
    assert dict(running.stop(up.directory)) == {
        "r1 store": "stopped",
        "edge store": "stopped",
        "cloud store": "stopped",
        "up": "stopped",
    }
    assert not any(process.alive for process in up.processes)
    assert running.state_of(up.directory) is None
    assert running.stop(up.directory) == []


def test_robots_are_remembered(tmp_path: Path, up: running.Running) -> None:
    """Without a word about robots, the fleet comes back with those it had."""
    running.stop(up.directory)
    assert wish(tmp_path, None).fleet().robots == ("r1",)
    assert running.Wish(tmp_path / "other").fleet().robots == ("r1", "r2")
    with LocalFleet(up.directory, ["r2", "r3"], influx=False, nodes=False):
        pass
    assert wish(tmp_path, None).fleet().robots == ("r2", "r3")


def test_dead_store_comes_back(up: running.Running) -> None:
    """A store that is killed runs again, with another process id, and down ends that one too."""
    victim = next(process for process in up.processes if process.name == "edge store")
    victim.send(signal.SIGKILL)

    def revived() -> Process | None:
        state = running.state_of(up.directory)
        assert state is not None
        found = [process for process in state.processes if process.name == "edge store" and process != victim]
        return found[0] if found and found[0].alive else None

    until(revived)
    again = revived()
    assert again is not None
    assert "edge store ended with code -9" in (up.directory / "run/up.log").read_text()
    running.stop(up.directory)
    assert not again.alive


def test_keeper_killed(up: running.Running) -> None:
    """Kill -9 of the keeping process leaves no store, and down afterwards is a quiet clean-up."""
    up.keeper.send(signal.SIGKILL)
    until(lambda: not any(process.alive for process in up.processes))
    assert running.state_of(up.directory) is None
    assert running.stop(up.directory) == []


def test_down_spares_a_reused_process_id(up: running.Running) -> None:
    """Down never signals a process that merely has the id of one of ours."""
    bystander = subprocess.Popen(["sleep", "600"])
    file = up.directory / "run/up.json"
    state = json.loads(file.read_text())
    state["processes"].append({"name": "r9 store", "pid": bystander.pid, "started": "1"})
    file.write_text(json.dumps(state))
    assert "r9 store" not in dict(running.stop(up.directory))
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)])
def test_foreground_ends_everything(tmp_path: Path, how: signal.Signals, code: int) -> None:
    """Ctrl-C, TERM and a closed terminal end every process gracefully; only Ctrl-C is an interruption."""
    keeper, processes = foreground(tmp_path)
    keeper.send_signal(how)
    assert keeper.wait(DEADLINE_S) == code
    assert len(processes) == 3
    assert not any(process.alive for process in processes)
    assert running.state_of(tmp_path / "fleet") is None


def test_second_interruption_ends_at_once(tmp_path: Path) -> None:
    """A store that does not end holds up the first Ctrl-C; the second one ends everything at once."""
    keeper, processes = foreground(tmp_path)
    stuck = next(process for process in processes if process.name == "edge store")
    stuck.send(signal.SIGSTOP)
    keeper.send_signal(signal.SIGINT)
    until(lambda: not any(process.alive for process in processes if process != stuck))
    assert stuck.alive
    keeper.send_signal(signal.SIGINT)
    assert keeper.wait(DEADLINE_S) == 130
    assert not stuck.alive


def test_broken_policy_starts_nothing(tmp_path: Path) -> None:
    """A fault in the user's policy.toml is told before any server starts."""
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet/policy.toml").write_text('[stream."**"]\nship = "sometimes"\n')
    fleet = LocalFleet(tmp_path / "fleet", ["r1"], influx=False, nodes=False)
    with pytest.raises(SettingsError, match="sometimes"):
        fleet.start()
    assert fleet.stores == {}


def test_start_that_fails_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detached start that fails shows what the kept process said."""
    monkeypatch.setenv("FLEETBOX_REDUCTSTORE", str(tmp_path / "nothing"))
    with pytest.raises(FleetboxError, match="no ReductStore program at"):
        running.start_detached(wish(tmp_path))


def test_identity() -> None:
    """A process is itself by id and start time, and gone once it has ended."""
    own = identify("us", os.getpid())
    assert own is not None
    assert own.alive
    assert not Process("us", own.pid, own.started + "0").alive
    child = subprocess.Popen(["sleep", "600"])
    it = identify("child", child.pid)
    assert it is not None
    it.send(signal.SIGKILL)
    assert it.wait(DEADLINE_S)
    child.wait()
    assert started(child.pid) is None
