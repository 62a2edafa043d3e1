"""Check a robot's triggers for `doctor` and `status`: do they work, and what became of what they judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from fleetbox.blobs import Store
from fleetbox.checks import ANSWER_S, Check, each_robot
from fleetbox.errors import FleetboxError
from fleetbox.settings import FleetSettings, load_robot
from fleetbox.time import show_duration, show_time
from fleetbox_edge.checks import settings_file
from fleetbox_edge.triggers.memory import Memory, read_memory
from fleetbox_edge.triggers.report import last_told
from fleetbox_edge.triggers.voice import Counts

NAMED = 5  # rules in one line; more are counted
PATIENCE_US = 600_000_000  # a stream that has not come after ten minutes is worth a word


async def triggers(
    fleet: FleetSettings, robot: str | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> list[Check]:
    """Check the triggers of one robot or of all; robots without any are not spoken of.

    Where robot.toml is on this machine its state folder tells, else what the robot told its stores last.
    """
    return await each_robot(fleet, robot, lambda name: _checked(fleet, name, now_us()))


async def _checked(fleet: FleetSettings, robot: str, now_us: int) -> list[Check]:
    path = settings_file(fleet, robot)
    if path is not None:
        memory = read_memory(load_robot(path).state)
        return [] if memory is None else judged(robot, memory, now_us)
    for place in fleet.route(robot):
        try:
            async with asyncio.timeout(ANSWER_S), Store.at(place, timeout_s=ANSWER_S) as store:
                memory = await last_told(store, place.bucket(robot, "meta"))
        except (FleetboxError, TimeoutError):
            continue  # the check of places says so
        if memory is not None:
            return [_aged(check, memory, now_us) for check in judged(robot, memory, now_us)]
    return []


def _aged(check: Check, memory: Memory, now_us: int) -> Check:
    """Say how old a robot's word is."""
    return replace(check, text=f"{check.text} (as its agent told {show_duration(max(0, now_us - memory.at_us))} ago)")


def judged(robot: str, memory: Memory, now_us: int) -> list[Check]:
    """Return what is to be said of a robot's triggers, the worst first, and of those that work in one line."""
    lint = f"fleetbox policy lint FILE --robot {robot}"
    checks = [
        Check("FAIL", "triggers", robot, f"trigger {name} cannot work: {why}", f"trigger {name} broken", lint)
        for name, why in memory.faults.items()
    ]
    if memory.muted is not None:
        text = f"no trigger raises anything: {memory.muted}"
        checks.append(
            Check("WARN", "triggers", robot, text, "triggers muted", f"fleetbox policy plan FILE --robot {robot}")
        )
    for name, counts in memory.counts.items():
        for text, phrase, step in _troubles(counts, memory, now_us):
            checks.append(
                Check("WARN", "triggers", robot, f"trigger {name} {text}", f"trigger {name} {phrase}", step or lint)
            )
    return [*checks, Check("PASS", "triggers", robot, summary(memory, now_us))] if memory.counts else checks


def _troubles(counts: Counts, memory: Memory, now_us: int) -> list[tuple[str, str, str | None]]:
    """Return what is wrong with one rule, as (text, phrase, next step)."""
    told: list[tuple[str, str, str | None]] = []
    if counts.errors:
        of = f"{counts.errors:,} of {counts.judged:,} records"
        told.append((f"raised on {of}: {counts.last_error}", "raises", None))
    if counts.muted_until_us > now_us:
        until = show_time(counts.muted_until_us)
        step = "narrow it, or let per_hour or cooldown in its table be larger"
        told.append((f"is muted until {until}: {counts.why_muted}", "muted", step))
    if counts.unjudged:
        text = f"could not judge {counts.unjudged:,} records in time, and judged {counts.judged:,}"
        told.append((text, "too slow", "use fewer rules on that stream, or log it slower"))
    if counts.waited and not counts.judged and memory.at_us - memory.since_us > PATIENCE_US:
        text = f"has judged none of {counts.waited:,} records: a stream it is `using` has not come"
        told.append((text, "waits for a stream", None))
    return told


def summary(memory: Memory, now_us: int) -> str:
    """Say in one line what was judged and raised, and which rules never were true or never had a record."""
    counts = memory.counts
    fired = sum(one.fired for one in counts.values())
    judged_rows = sum(one.judged for one in counts.values())
    text = f"{len(counts)} judged {judged_rows:,} records in {show_duration(memory.at_us - memory.since_us)}"
    text = f"{text} and raised {fired:,} events"
    never = [f"{name} (0 of {one.judged:,})" for name, one in counts.items() if one.judged and not one.fired]
    silent = [f"{name} (on {memory.on.get(name, '?')})" for name, one in counts.items() if not one.judged]
    for what, names in (("never true", never), ("without a record", silent)):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            text = f"{text}; {what}: {', '.join(names[:NAMED])}{more}"
    return text
