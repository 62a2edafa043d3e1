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


async def run_checks(fleet: FleetSettings, robot: str | None = None) -> list[Check]:
    """Run the checks of every installed part, about one robot and its sites or about the whole fleet."""
    found = await asyncio.gather(*(_run(entry, fleet, robot) for entry in entry_points(group="fleetbox.checks")))
    return [check for checks in found for check in checks]


async def places(fleet: FleetSettings, robot: str | None) -> list[Check]:
    """Check that every store answers, takes its token and says its version."""
    chosen = fleet.route(robot) if robot else fleet.places()
    return list(await asyncio.gather(*(_place(place) for place in chosen)))


async def _place(place: Place) -> Check:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with Store(place.url, place.current_token(), name=place.name, timeout_s=5.0) as store:
            info = await store.info()
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


async def _run(entry: EntryPoint, fleet: FleetSettings, robot: str | None) -> list[Check]:
    try:
        checker: Checker = entry.load()
    except ModuleNotFoundError:
        return []  # that part's extra is not installed here: nothing of it runs here either
    try:
        return await checker(fleet, robot)
    except FleetboxError as error:
        return [Check("FAIL", entry.name, robot or fleet.fleet, error.message, next_step=error.next_step)]
