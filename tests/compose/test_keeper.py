"""Processes that die are started again, within bounds, and the user sees why they died."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fleetbox_local.child import Child, Command
from fleetbox_local.keeper import Keeper
from fleetbox_local.reviving import FIRST_WAIT_S, LONGEST_WAIT_S, MOST_IN_WINDOW, WINDOW_S, Deaths


def test_deaths_wait_longer() -> None:
    """Each death in a row waits longer, up to a bound; after too many it stays down."""
    deaths, waits = Deaths(), []
    while not deaths.hopeless:
        deaths = deaths.add(10.0)
        waits.append(deaths.start_again_s - 10.0)
    assert len(waits) == MOST_IN_WINDOW + 1
    assert waits[0] == FIRST_WAIT_S
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S


def test_old_deaths_are_forgiven() -> None:
    """A process that lived through the window starts afresh."""
    deaths = Deaths()
    for death in range(50):
        deaths = deaths.add(death * (WINDOW_S + 1))
    assert deaths.at_s == (49 * (WINDOW_S + 1),)


def dying(tmp_path: Path, code: str) -> tuple[Any, Child]:
    """Make a fleet of one process that runs this shell code."""
    child = Child(Command("r1 agent", ("sh", "-c", code), tmp_path / "agent.log"))
    return SimpleNamespace(members={"r1 agent": child}), child


def test_dead_process_is_shown_and_revived(tmp_path: Path) -> None:
    """One death: its code and last words are told, and it runs again after the wait, not before."""
    fleet, child = dying(tmp_path, f"[ -e {tmp_path}/again ] && exec sleep 600; echo out of oil; exit 3")
    child.start()
    assert child.wait(60)
    (tmp_path / "again").touch()
    said: list[str] = []
    now = [0.0]
    keeper = Keeper(fleet, said.append, lambda: now[0])
    assert not keeper.step()
    assert "r1 agent ended with code 3" in said[0]
    assert "out of oil" in said[0]
    now[0] = FIRST_WAIT_S
    assert keeper.step()
    assert child.alive
    assert not keeper.step()
    assert len(said) == 2
    child.kill()


def test_hopeless_process_stays_down(tmp_path: Path) -> None:
    """A process that dies at once each time is given up after the bound, and said so once."""
    fleet, child = dying(tmp_path, "exit 1")
    said: list[str] = []
    now = [0.0]
    keeper = Keeper(fleet, said.append, lambda: now[0])
    child.start()
    for _ in range(MOST_IN_WINDOW + 3):
        assert child.wait(60)
        keeper.step()
        now[0] += LONGEST_WAIT_S
        keeper.step()
    assert sum("stays down" in line for line in said) == 1
    assert sum("runs again" in line for line in said) == MOST_IN_WINDOW
    assert not child.alive
