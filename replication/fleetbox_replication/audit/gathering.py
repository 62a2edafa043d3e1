"""Gather what the places of a fleet tell of their robots, from the nearest that answers, and close the books."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

from fleetbox.errors import FleetboxError, NotFound, StoreRefused
from fleetbox.selectors import Selector, is_glob, matches_glob
from fleetbox.settings import FleetSettings, Tier
from fleetbox_replication.audit.matching import none_chosen, streams_beside
from fleetbox_replication.audit.one_robot import Question, RobotBooks, asked_of
from fleetbox_replication.audit.reaching import Reached
from fleetbox_replication.audit.rows import Books, Row, Unreached, worst_first

ROBOTS_AT_ONCE = 2  # one is read while another is closed; a day of 31 streams takes 150 MB of memory
ROBOTS_A_PROCESS = 4  # fewer are done before another process has started

_Found = tuple[str, list[Row], dict[str, int]]  # robot, its rows, how far each place's pages reach in µs


async def audit(
    fleet: FleetSettings,
    selector: Selector,
    start_us: int,
    stop_us: int,
    now_us: int,
    *,
    tier: Tier | None = None,
    site: str | None = None,
    live: bool = True,
    processes: int = 1,
) -> Books:
    """Close the books of the selected streams for the minutes of [start_us, stop_us).

    Every entry of pages is read where it was written if that place answers, else at the next site on the way. With
    `tier` or `site` only that place is asked, which sees the hops up to itself. Many robots are shared out among
    `processes`: a robot's day takes a second of one core. Raises NotFound for a selector that names no robot of the
    fleet or no stream that is held or told of, Unreachable or AccessDenied when no place answered at all.
    """
    question = Question(selector, start_us, stop_us, now_us, tier, site, live)
    async with Reached() as reached:
        robots = await robots_of(fleet, question, reached)
        reached.require_any()
        beside = await streams_beside(fleet, question, reached, robots)
        shares = min(processes, len(robots) // ROBOTS_A_PROCESS)
        if shares <= 1:
            found = await _closed(fleet, question, reached, robots)
            reached.require_any()
            books = _bound(question, found, reached.unreached)
    if shares > 1:
        books = await _shared_out(fleet, question, [robots[at::shares] for at in range(shares)])
    if beside and not books.rows:
        raise none_chosen(selector, beside)
    return books


async def _closed(fleet: FleetSettings, question: Question, reached: Reached, robots: Sequence[str]) -> list[_Found]:
    turns = asyncio.Semaphore(ROBOTS_AT_ONCE)

    async def one(robot: str) -> _Found:
        async with turns:
            return robot, *await RobotBooks(fleet, question, reached, robot).closed()

    return await asyncio.gather(*(one(robot) for robot in robots))


async def _shared_out(fleet: FleetSettings, question: Question, shares: Sequence[Sequence[str]]) -> Books:
    """Close each share of the robots in a process of its own; none outlives us, however we end."""
    loop, fresh = asyncio.get_running_loop(), get_context("spawn")
    until, ours = fresh.Pipe(duplex=False)
    with until, ProcessPoolExecutor(len(shares), mp_context=fresh, initializer=_begin, initargs=(until,)) as pool, ours:
        work = [loop.run_in_executor(pool, _close_share, fleet, question, share) for share in shares]
        done = await asyncio.gather(*work)
        pool.shutdown()  # before our end of the pipe is closed, which ends what still works
    unreached = {one.place: one for _, missed in done for one in missed}
    return _bound(question, [found for share, _ in done for found in share], list(unreached.values()))


def _begin(until: Connection) -> None:
    """Prepare a process that closes books: it ends when the other end of a pipe is closed, or whoever held it died."""
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches all; who began it ends it
    threading.Thread(target=_end, args=(until,), daemon=True).start()


def _end(until: Connection) -> None:
    with suppress(EOFError, OSError):
        until.recv_bytes()
    os._exit(1)


def _close_share(
    fleet: FleetSettings, question: Question, robots: Sequence[str]
) -> tuple[list[_Found], list[Unreached]]:
    return asyncio.run(_close_some(fleet, question, robots))


async def _close_some(
    fleet: FleetSettings, question: Question, robots: Sequence[str]
) -> tuple[list[_Found], list[Unreached]]:
    async with Reached() as reached:
        await reached.reach(place for robot in robots for place in asked_of(fleet, question, robot))
        found = await _closed(fleet, question, reached, robots)
    return found, [Unreached(one.place, _portable(one.error)) for one in reached.unreached]


def _portable(error: FleetboxError) -> FleetboxError:
    """Return an error that another process can unpack: one with a status of its own cannot be made from its words."""
    return FleetboxError(error.message, error.next_step) if isinstance(error, StoreRefused) else error


def _bound(question: Question, found: Sequence[_Found], unreached: Sequence[Unreached]) -> Books:
    rows = worst_first(row for _, rows, _ in found for row in rows)
    until_us = {robot: until for robot, _, until in sorted(found, key=lambda item: item[0])}
    return Books(rows, question.start_us, question.stop_us, until_us, tuple(unreached), question.now_us)


async def robots_of(fleet: FleetSettings, question: Question, reached: Reached) -> list[str]:
    """Return the selected robots: those the settings name, and those behind a glob that a site has heard of."""
    glob = question.selector.robot
    sites = [fleet.site_place(name) for name in fleet.site]
    if question.site is not None:
        sites = [fleet.site_place(question.site)]
    if not is_glob(glob):
        fleet.rule(glob)
        places = asked_of(fleet, question, glob)
        await reached.reach(places)
        return [glob]
    await reached.reach(place for place in sites if question.tier in (None, place.tier))
    known = {robot for robot in {*fleet.known_robots, *reached.robots()} if matches_glob(glob, robot)}
    robots = sorted(robot for robot in known if asked_of(fleet, question, robot))
    if not robots and not reached.unreached:
        raise NotFound(f"no robot is known that {question.selector} chooses", "fleetbox ls shows the robots")
    await reached.reach(place for robot in robots for place in asked_of(fleet, question, robot))
    return robots
