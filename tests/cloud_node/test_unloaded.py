"""The ledger's word: a chunk that a site's page tells of is loaded, whatever the engine forgot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fleetbox.ledger import Count, Line, Page, minute_of, write_page
from fleetbox.naming import Class
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox_cloud.counting import scalar_rows
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.sweeping import Sweep
from fleetbox_cloud.unloaded import Unloaded

SECOND_US = 1_000_000
MINUTE = minute_of(int(time.time()) * SECOND_US) - 300 * SECOND_US


def imu(make_chunk: Callable[..., Draft], at_s: int) -> Draft:
    """Pack a second of a stream."""
    times = [MINUTE + at_s * SECOND_US + row for row in range(10)]
    return make_chunk("imu", times, {"v": [float(row) for row in range(10)]})


def page(number: int, held: int, cls: Class = "sensor", minute_us: int = MINUTE) -> Page:
    """Return the page that tells of so many records in a minute."""
    count = Count(held, 0, 0)
    line = Line(cls, "imu", minute_us, count, count, count, held * 10, minute_us, minute_us)
    return Page("edge-1", "r1", MINUTE + number, (line,))


def test_a_page_leads_to_the_chunks_that_were_not_loaded(rig: Any, make_chunk: Any) -> None:
    """Each page is compared once: what it tells of is loaded, a page that tells of more later is looked at again."""

    async def main() -> None:
        await rig.make_buckets("sensor", "kept", "meta")
        cursor = Cursor(rig.state / "loader.sqlite")
        async with rig.store() as store, ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
            loader = Loader(store, scalars, cursor, "edge-1")
            look = Unloaded(loader, Sweep(loader)).look

            async def write(drafts: Sequence[Draft], told: Page) -> None:
                await rig.write(drafts)
                await write_page(store, "r1--meta", told)

            await write([imu(make_chunk, at_s) for at_s in range(20)], page(1, 20))
            assert (await look(), await look()) == (20, 0)
            await write([imu(make_chunk, at_s) for at_s in range(20, 25)], page(2, 25))
            await rig.write([imu(make_chunk, 70)])  # of a minute that no page tells of yet
            assert (await look(), await look()) == (5, 0)
            blob = replace(imu(make_chunk, 1), labels={"type": "file"}, data=b"blob")
            await rig.write([blob], "r1--kept")
            await write_page(store, "r1--meta", page(3, 1, "kept"))
            await write_page(store, "r1--meta", replace(page(4, 99), place="edge-2"))
            assert await look() == 0
            (row,) = await scalar_rows(loader, MINUTE, MINUTE + 60 * SECOND_US, MINUTE)
            assert (row.chunks, row.loaded, row.rows, row.held, row.short) == (25, 25, 250, 250, {})
        cursor.close()

    asyncio.run(main())
