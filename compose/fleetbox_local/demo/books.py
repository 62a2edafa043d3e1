"""Act 6, Books: every record of the demo accounted for, from what each place's own ledger tells."""

from __future__ import annotations

import asyncio
import time

from fleetbox.selectors import Selector
from fleetbox_local.demo.stage import Stage
from fleetbox_replication.audit import Books, audit
from fleetbox_replication.audit.telling import summary

LOOK_S = 1.0  # an audit of two robots takes a fraction of it
PATIENCE_S = 120.0  # a place tells of what came late at its next look, every 10 s; there are two, and a busy machine


async def report(stage: Stage, start_us: int) -> None:
    """Close the books of everything since a time in µs, wait until nothing is outstanding, and print the balance."""
    deadline = time.monotonic() + PATIENCE_S
    books = await _close(stage, start_us)
    while _open(books) and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_S)
        books = await _close(stage, start_us)
    stage.facts["books"] = books.as_dict()
    stage.say("6 BOOKS   fleetbox audit: every record accounted for, by what each place tells of itself")
    for robot in sorted(books.robots):
        stage.say(f"          {summary(books, robot)}")


async def _close(stage: Stage, start_us: int) -> Books:
    now_us = time.time_ns() // 1000
    return await audit(stage.fleet, Selector.parse("*"), start_us, now_us, now_us)


def _open(books: Books) -> bool:
    """Tell whether something is outstanding, or a site tells of other records than have arrived there.

    It tells of fewer until its next look, and of more when one came between the look at the robot and that at the site:
    an agent writes one a minute, and no site of the demo has records of its own.
    """
    hops = [hop for robot in books.robots for hop in books.hops(robot)]
    outstanding = any(hop.waiting or hop.refused or hop.unexplained or hop.gaps for hop in hops)
    told_otherwise = any(
        before.arrived != after.recorded
        for robot in books.robots
        for before, after in zip(books.hops(robot), books.hops(robot)[1:], strict=False)
    )
    return outstanding or told_otherwise
