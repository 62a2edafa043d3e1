"""Check for `doctor` and `status` what leaves a robot's disk, why, and how much room it lacks."""

from __future__ import annotations

import time
from collections.abc import Callable

from fleetbox.checks import Check
from fleetbox.settings import FleetSettings, load_robot
from fleetbox.time import show_duration
from fleetbox_edge.checks import settings_file
from fleetbox_edge.retention.memory import AGAIN_US, Memory, read_memory
from fleetbox_edge.retention.value import REASONS, Rank

OLD_US = 3 * AGAIN_US  # the agent writes it each minute: older, it has stopped


async def retention(
    fleet: FleetSettings, robot: str | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> list[Check]:
    """Check the disks of the robots whose robot.toml is on this machine; nothing is said of one that never looked."""
    found = []
    for name in [robot] if robot else fleet.known_robots:
        path = settings_file(fleet, name)
        memory = read_memory(load_robot(path).state) if path else None
        if memory is not None:
            found.append(judged(name, memory, now_us()))
    return found


def judged(robot: str, memory: Memory, now_us: int) -> Check:
    """Return how a robot's disk stands: FAIL once it gave up what its site does not have."""
    text, given_up = _told(memory, now_us), memory.records.get(REASONS[Rank.UNDELIVERED], 0)
    step = f"bring its link back, or fleetbox carry DIR --robot {robot}; then a larger disk"
    if memory.below_bytes:
        lacks = f"the disk is {_mb(memory.below_bytes)} below its floor, and what may go does not make up for it yet"
        return Check("FAIL", "retention", robot, f"{lacks}; {text}", "disk below its floor", step)
    if given_up:
        lost = f"{given_up:,} records were given up that the site is not proven to hold"
        audit = f"fleetbox audit '{robot}'; {step}"
        return Check("FAIL", "retention", robot, f"{lost}; {text}", f"{given_up:,} given up for the disk", audit)
    if memory.short_bytes:
        near = f"the disk nears its floor: {_mb(memory.short_bytes)} short of the room above it"
        step = "a shorter `retention` in the policy, a larger disk, or `ring.leave_free` in robot.toml"
        return Check("WARN", "retention", robot, f"{near}; {text}", "disk nears its floor", step)
    return Check("PASS", "retention", robot, f"the disk has room; {text}")


def _told(memory: Memory, now_us: int) -> str:
    """Say what went and why, and how old that word is when it is not of now."""
    span = show_duration(max(0, memory.at_us - memory.since_us))
    reasons = sorted(memory.records.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{count:,} ({why}, {_mb(memory.sizes.get(why, 0))})" for why, count in reasons]
    text = f"removed in {span}: {', '.join(parts)}" if parts else f"nothing was removed in {span}"
    age_us = now_us - memory.at_us
    return text if age_us < OLD_US else f"{text} (as its agent told {show_duration(age_us)} ago)"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
