"""Checks that parts contribute to `doctor` and `status`: what is judged, how it stands, what to do next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Literal

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, Unreachable
from fleetbox.settings import FleetSettings, Place
from fleetbox.time import show_duration

Verdict = Literal["PASS", "WARN", "FAIL"]
ORDER: tuple[Verdict, ...] = ("FAIL", "WARN", "PASS")
ANSWER_S = 5.0  # a healthy store answers in milliseconds, one over a bad link within two
AT_ONCE = 8  # robots asked side by side
LIMIT_S = 8.0  # for each part's checks, all at once: nobody stays on the phone for a hung store's every timeout


@dataclass(frozen=True, slots=True)
class Check:
    """Judge one thing about a robot or a site.

    `subject` is the robot or site it is about, `text` the finding as `doctor` shows it, `phrase` the few words
    of it that `status` says over the phone, `next_step` the command that helps.
    """

    verdict: Verdict
    name: str
    subject: str
    text: str
    phrase: str | None = None
    next_step: str | None = None


Checker = Callable[[FleetSettings, str | None], Awaitable[list[Check]]]


async def run_checks(fleet: FleetSettings, robot: str | None = None, limit_s: float = LIMIT_S) -> list[Check]:
    """Run the checks of every installed part, about one robot and its sites or about the whole fleet.

    All run at once; what has not finished after `limit_s` is said to be so. Raises NotFound for an unknown robot.
    """
    if robot:
        fleet.rule(robot)
    parts = [(entry.name, checker) for entry in entry_points(group="fleetbox.checks") if (checker := _loaded(entry))]
    found = await asyncio.gather(*(_run(name, checker, fleet, robot, limit_s) for name, checker in parts))
    return [check for checks in found for check in checks]


async def each_robot(
    fleet: FleetSettings, robot: str | None, check: Callable[[str], Awaitable[list[Check]]]
) -> list[Check]:
    """Run a check about one robot, or about each that is known, some side by side."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def checked(name: str) -> list[Check]:
        async with turns:
            return await check(name)

    found = await asyncio.gather(*(checked(name) for name in ([robot] if robot else fleet.known_robots)))
    return [one for checks in found for one in checks]


async def places(fleet: FleetSettings, robot: str | None) -> list[Check]:
    """Check that every store answers, takes its token and says its version."""
    chosen = fleet.route(robot) if robot else fleet.places()
    return list(await asyncio.gather(*(_place(place) for place in chosen)))


async def _place(place: Place) -> Check:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with (
            asyncio.timeout(ANSWER_S),
            Store.at(place, timeout_s=ANSWER_S) as store,
        ):
            info = await store.info()
    except TimeoutError:
        text = f"{place.name} ({place.url}) did not answer within {ANSWER_S:g} s"
        step = f"is the store at {place.url} running, or does it hang?"
        return Check("FAIL", "store", place.name, text, f"{place.name} does not answer", step)
    except Unreachable as error:
        step = error.next_step or f"is the store at {place.url} running?"
        return Check("FAIL", "store", place.name, error.message, f"{place.name} unreachable", step)
    except AccessDenied as error:
        return Check("FAIL", "store", place.name, error.message, f"{place.name} denies access", error.next_step)
    took = show_duration(int((loop.time() - started) * 1e6))
    text = (
        f"reductstore {info.version} at {place.url} answered in {took}, up {show_duration(info.uptime_s * 1_000_000)}"
    )
    return Check("PASS", "store", place.name, text)


def _loaded(entry: EntryPoint) -> Checker | None:
    """Load a part's checks: all of them before any runs, for what is imported meanwhile keeps others from answering."""
    try:
        checker: Checker = entry.load()
    except ModuleNotFoundError:
        return None  # that part's extra is not installed here: nothing of it runs here either
    return checker


async def _run(name: str, checker: Checker, fleet: FleetSettings, robot: str | None, limit_s: float) -> list[Check]:
    try:
        async with asyncio.timeout(limit_s):
            return await checker(fleet, robot)
    except TimeoutError:
        text = f"{name} not checked: a store did not answer within {limit_s:g} s"
        return [Check("WARN", name, robot or fleet.fleet, text, f"{name} not checked")]
    except FleetboxError as error:
        return [Check("FAIL", name, robot or fleet.fleet, error.message, next_step=error.next_step)]
