"""Starts and ends a local fleet for `up` and `down`, in this process or in one that stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from fleetbox.disk import write_whole
from fleetbox.errors import FleetboxError
from fleetbox_local.child import GRACE_S, TAIL_LINES
from fleetbox_local.fleet import LocalFleet
from fleetbox_local.identity import Process, identify
from fleetbox_local.keeper import Keeper
from fleetbox_local.seating import parse_robots

LOOK_EVERY_S = 0.25  # how soon a dead process is noticed
START_S = 300.0  # fifty robots on two cores
STOP_S = 3 * GRACE_S  # agents, sites and stores one after the other, each with its own grace
INTERRUPTED = 130
DEFAULT_ROBOTS = "2"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """Hold what the user asked `up` for."""

    directory: Path
    robots: str | None = None
    influx: bool | None = None
    nodes: bool = True

    def fleet(self) -> LocalFleet:
        """Return the fleet, not started; without a word about robots, those of the last start."""
        robots = parse_robots(self.robots or ",".join(_robots_before(self.directory)) or DEFAULT_ROBOTS)
        return LocalFleet(self.directory, robots, self.influx, self.nodes)


@dataclass(frozen=True, slots=True)
class Running:
    """Describe a running fleet: who keeps it, its processes, its places."""

    directory: Path
    robots: list[str]
    keeper: Process
    processes: list[Process]
    places: list[dict[str, str]]
    influx: str | None = None

    @property
    def fleet_file(self) -> Path:
        """Return its fleet.toml."""
        return self.directory / "fleet.toml"


def state_of(directory: Path) -> Running | None:
    """Return the fleet that runs in a folder, or None."""
    state = _read(directory)
    return state if state and state.keeper.alive else None


def run_here(wish: Wish, ready: Callable[[Running], object], say: Say) -> int:
    """Run a fleet in this process until a signal; return 130 after Ctrl-C, 0 after `down`."""
    fleet = wish.fleet()
    with _signals() as ended:
        try:
            fleet.start()
            ready(_write(fleet))
            say("running; Ctrl-C ends all of it and keeps the data")
            keeper = Keeper(fleet, say)
            while True:
                if keeper.step():
                    _write(fleet)
                time.sleep(LOOK_EVERY_S)
        except _Ended:
            say(f"stopping {fleet.directory}; once more to end it at once")
        finally:
            _stop_here(fleet)
    return INTERRUPTED if ended() is signal.SIGINT else 0


def start_detached(wish: Wish) -> Running:
    """Start a process that keeps the fleet after we have gone; return once all is ready."""
    log = wish.directory / "run" / "up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    wishes = json.dumps({**asdict(wish), "directory": str(wish.directory)})
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", __name__, wishes],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    try:
        while (state := state_of(wish.directory)) is None or state.keeper.pid != keeper.pid:
            if keeper.poll() is not None:
                raise FleetboxError(_last_words(log), f"its whole log: {log}")
            if time.monotonic() > deadline:
                raise FleetboxError(f"the fleet in {wish.directory} was not ready after {START_S:.0f} s", f"see {log}")
            time.sleep(LOOK_EVERY_S / 5)
    except BaseException:
        keeper.terminate()
        keeper.wait()
        raise
    keeper.returncode = 0  # it is meant to outlive us: nothing to wait for, and nothing to warn about
    return state


def stop(directory: Path) -> list[tuple[str, str]]:
    """End the fleet that `up` started in a folder, by process id and start time; return what ended and how.

    Safe to repeat: returns nothing when nothing runs.
    """
    state = _read(directory)
    if state is None:
        return []
    mine = [process for process in (*state.processes, state.keeper) if process.alive]
    state.keeper.send(signal.SIGTERM)
    if not state.keeper.wait(STOP_S):
        state.keeper.send(signal.SIGKILL)
    ended = [(process.name, _end(process)) for process in mine]
    _file(directory).unlink(missing_ok=True)
    return ended


def _end(process: Process) -> str:
    """End one process that its keeper left behind; most are gone already."""
    if process.alive:
        process.send(signal.SIGTERM)
        if not process.wait(GRACE_S):
            process.send(signal.SIGKILL)
            process.wait(GRACE_S)
            return "killed"
    return "stopped"


class _Ended(BaseException):
    """Carry a signal out of wherever we are."""


@contextmanager
def _signals() -> Iterator[Callable[[], signal.Signals | None]]:
    """Turn Ctrl-C, TERM and HUP into one exception; tell afterwards which came first."""
    first: list[signal.Signals] = []

    def raise_ended(number: int, frame: FrameType | None) -> None:
        first.append(signal.Signals(number))
        raise _Ended

    before = {which: signal.signal(which, raise_ended) for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: first[0] if first else None
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def _stop_here(fleet: LocalFleet) -> None:
    try:
        fleet.stop()
    except _Ended:
        fleet.kill()
    state = _read(fleet.directory)
    if state and state.keeper.pid == os.getpid():
        _file(fleet.directory).unlink(missing_ok=True)


def _write(fleet: LocalFleet) -> Running:
    keeper = identify("up", os.getpid())
    assert keeper is not None
    assert fleet.seating is not None
    places = [
        {
            "place": seat.name,
            "tier": seat.tier,
            "store": seat.store_url,
            "relay": seat.relay_url if seat.tier != "cloud" else "-",
            "data": str(seat.directory / "data"),
        }
        for seat in fleet.seating.seats
    ]
    influx = fleet.influx.url if fleet.influx else None
    state = Running(fleet.directory, list(fleet.robots), keeper, fleet.processes, places, influx)
    told = {**asdict(state), "directory": str(state.directory)}
    write_whole(_file(fleet.directory), json.dumps(told, indent=1))
    return state


def _read(directory: Path) -> Running | None:
    try:
        held = json.loads(_file(directory).read_text())
        processes = [Process(**process) for process in held.pop("processes")]
        return Running(Path(held.pop("directory")), keeper=Process(**held.pop("keeper")), processes=processes, **held)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise FleetboxError(
            f"{_file(directory)} cannot be understood: {error}",
            "end the fleet's processes by hand, then remove this file",
        ) from error


def _file(directory: Path) -> Path:
    return directory / "run" / "up.json"


def _robots_before(directory: Path) -> list[str]:
    try:
        fleet = tomllib.loads((directory / "fleet.toml").read_text(encoding="utf-8"))
        return [rule["match"] for rule in fleet["robots"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []  # the file is ours and written anew


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return "the fleet did not start; it said last:\n" + "\n".join(f"    {line}" for line in lines)


def _main() -> int:
    wishes = json.loads(sys.argv[1])
    wish = Wish(**{**wishes, "directory": Path(wishes["directory"])})

    def say(text: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stderr.flush()

    try:
        return run_here(wish, lambda state: say(f"ready: {state.fleet_file}"), say)
    except FleetboxError as error:
        say(str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(_main())
