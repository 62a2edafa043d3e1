"""The audit: a day of one robot's books from its pages, and of fifty robots at one site."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from fleetbox.blobs import BucketSpec, Store
from fleetbox.ledger import MINUTE_US, Count, Line, Page, Span, draft, minute_of
from fleetbox.records import Draft
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_local.processes import StoreProcess
from fleetbox_replication.audit import audit

STREAMS = 31
MINUTES = 24 * 60
ROBOTS = 50  # what an edge site of the design holds
STOP_US = minute_of(1_790_000_040_000_000)
START_US = STOP_US - MINUTES * MINUTE_US
WORD = (1 << 64) - 1


def run() -> list[dict[str, Any]]:
    """Measure on a fresh store that holds all pages, as a cloud does, and return the rows."""
    with tempfile.TemporaryDirectory() as folder:
        server = StoreProcess(Path(folder) / "store")
        try:
            server.start()
            server.wait_ready()
            return asyncio.run(_measure(server, Path(folder)))
        finally:
            server.kill()


async def _measure(server: StoreProcess, folder: Path) -> list[dict[str, Any]]:
    fleet = _fleet(server, folder)
    await _tell(server)
    rows = []
    for selector, what in (("r0", "one robot"), ("*", f"{ROBOTS} robots")):
        took_s, lines = await _timed(fleet, selector)
        name = f"audit of 24 h, {what} of {STREAMS} streams at three places, from the cloud's own disk"
        rows.append({"name": name, "value": took_s, "unit": "s", "goal": "<= 60" if selector == "*" else "<= 5"})
        rows.append({"name": f"the same, lines of the ledger ({what})", "value": lines / took_s, "unit": "lines/s"})
    return rows


async def _timed(fleet: FleetSettings, selector: str) -> tuple[float, int]:
    gc.disable()  # as the command does
    try:
        began_s = time.perf_counter()
        books = await audit(
            fleet,
            Selector.parse(selector),
            START_US,
            STOP_US,
            STOP_US + MINUTE_US,
            site="cloud",
            processes=os.cpu_count() or 1,
        )
        took_s = time.perf_counter() - began_s
    finally:
        gc.enable()
    assert books.balanced
    assert books.exit_code == 0
    assert len(books.rows) == 2 * STREAMS * len(books.robots)
    return took_s, 3 * STREAMS * MINUTES * len(books.robots)


def _fleet(server: StoreProcess, folder: Path) -> FleetSettings:
    (folder / "token").write_text(server.token)
    robots = "".join(f'[[robots]]\nmatch = "r{at}"\nsite = "edge"\n' for at in range(ROBOTS))
    (folder / "fleet.toml").write_text(
        f'{robots}[site.edge]\nstore = "http://127.0.0.1:9"\ntoken = {{ file = "token" }}\nnext = "cloud"\n'
        f'[site.cloud]\nstore = "{server.url}"\ntoken = {{ file = "token" }}\n'
    )
    return load_fleet(folder / "fleet.toml")


async def _tell(server: StoreProcess) -> None:
    async with Store(server.url, server.token) as store:
        for at in range(ROBOTS):
            bucket = f"r{at}--meta"
            await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
            drafts = [made for minute in range(MINUTES) for made in _pages(f"r{at}", minute)]
            report = await store.write(bucket, drafts)
            assert not report.refused, report.refused[:1]


def _pages(robot: str, minute: int) -> list[Draft]:
    """Return what three places write of one minute."""
    minute_us = START_US + minute * MINUTE_US
    made = []
    for number, place in enumerate((robot, "edge", "cloud")):
        lines = tuple(_line(at, minute_us, number) for at in range(STREAMS))
        page = Page(place, robot, minute_us + 70_000_000, lines)
        made.append(draft(page, page.written_us))
    return made


def _line(stream: int, minute_us: int, place: int) -> Line:
    first = (minute_us - START_US) // MINUTE_US * 6_000
    held = [Count(number, number * 10_000, (stream * minute_us * number) & WORD) for number in (12, 3, 2)]
    span = Span("20260101t000000-3f2a", first, first + 6_000, 6_000)
    counts = (held[place], held[max(place, 1)], held[2])
    return Line("sensor", f"stream/{stream}", minute_us, *counts, 6_000, minute_us + 3, minute_us + 55_000_000, (span,))
