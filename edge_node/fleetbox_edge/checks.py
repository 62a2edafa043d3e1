"""Check a robot's agent for `doctor` and `status`: does it run, and what still waits in its spool."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import aiohttp

from fleetbox.checks import Check
from fleetbox.settings import FleetSettings, RobotSettings, load_robot
from fleetbox_edge.duty_lock import lock_path, try_lock
from fleetbox_edge.spool.spool import lock_folder, spool_folders

ANSWER_S = 2.0  # the agent is on this machine: it answers in milliseconds, or it hangs
LARGE_BYTES = 256 << 20  # a dozen segments: more than a running agent needs while its store answers


async def agent(fleet: FleetSettings, robot: str | None) -> list[Check]:
    """Check the agents whose robot.toml is on this machine; others are seen by what reaches their sites."""
    names = [robot] if robot else fleet.known_robots
    found = [(name, path) for name in names if (path := settings_file(fleet, name))]
    judged = await asyncio.gather(*(_checks(name, path) for name, path in found))
    return [check for checks in judged for check in checks]


def settings_file(fleet: FleetSettings, robot: str) -> Path | None:
    """Return the robot's settings: the file we were given, or the one that `fleetbox up` wrote beside it."""
    beside = fleet.source.parent / robot / "robot.toml"
    if beside.is_file():
        return beside
    return fleet.source if fleet.source.name == "robot.toml" and robot in fleet.known_robots else None


async def _checks(robot: str, path: Path) -> list[Check]:
    settings = load_robot(path)
    try:
        return [await _running(robot, path, settings), _spool(robot, path, settings)]
    except PermissionError as error:
        text = f"{error.filename} of {robot}'s agent cannot be opened: {error.strerror}"
        return [Check("WARN", "agent", robot, text, "agent not seen", f"sudo fleetbox doctor {robot}")]


async def _running(robot: str, path: Path, settings: RobotSettings) -> Check:
    lock = lock_path(settings.state)
    if lock.is_file():
        fd = try_lock(lock, note=False)
        if fd is None:
            return await _holder(robot, lock.read_text().strip(), settings)
        os.close(fd)
    step = f"fleetbox agent run --config {path}"
    return Check("FAIL", "agent", robot, f"no process does {robot}'s duties: nothing is shipped", "no agent", step)


async def _holder(robot: str, pid: str, settings: RobotSettings) -> Check:
    """Judge the process that holds the lock: a lock is held by a hung process too, so its relay is asked."""
    text = f"process {pid} holds {robot}'s duties"
    if _is_stopped(pid):
        step = f"kill -CONT {pid}, or end it with kill -KILL {pid} and start the agent again"
        return Check(
            "FAIL", "agent", robot, f"{text}, but is stopped: nothing is labelled or shipped", "agent hangs", step
        )
    if settings.site_place() is None:
        return Check("PASS", "agent", robot, f"{text}; without a site it has no relay that could be asked")
    try:
        limit = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=limit) as http, http.get(f"{settings.relay}/relay/status"):
            return Check("PASS", "agent", robot, f"{text}; its relay answers")
    except TimeoutError:
        text, step = f"{text}, but does not answer within {ANSWER_S:g} s", f"look into process {pid}, or start it again"
        return Check("FAIL", "agent", robot, text, "agent hangs", step)
    except aiohttp.ClientError as error:
        text = f"{text}, but its relay at {settings.relay} cannot be asked ({type(error).__name__})"
        step = f"it may just be starting: fleetbox doctor {robot}; else look into its log"
        return Check("WARN", "agent", robot, text, "agent not answering", step)


def _is_stopped(pid: str) -> bool:
    """Tell whether the kernel has the process stopped, by a signal or a debugger; False where it cannot be told."""
    try:
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return state[:1] in (["T"], ["t"])


def _spool(robot: str, path: Path, settings: RobotSettings) -> Check:
    folders = spool_folders(settings.state / "spool" / robot)
    size = sum(_segment_bytes(folder) for folder in folders)
    dead = [folder for folder in folders if _is_dead(folder)]
    if dead:
        text = f"{len(dead)} stopped recorders left {size / 1e6:.0f} MB that are not in the store yet"
        return Check("WARN", "spool", robot, text, "spool waiting", f"fleetbox agent run --config {path}")
    if size > LARGE_BYTES:
        text = f"{size / 1e6:.0f} MB wait for the store"
        return Check("WARN", "spool", robot, text, "spool filling", f"fleetbox doctor {robot}")
    return Check("PASS", "spool", robot, f"{len(folders)} recorders, nothing waits for long")


def _is_dead(folder: Path) -> bool:
    fd = lock_folder(folder)
    if fd is None:
        return False
    os.close(fd)
    return _segment_bytes(folder) > 0


def _segment_bytes(folder: Path) -> int:
    size = 0
    for segment in folder.glob("*.seg"):
        with suppress(FileNotFoundError):  # removed meanwhile: the store has it
            size += segment.stat().st_size
    return size
