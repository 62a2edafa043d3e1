"""Looks at a real store's entries: what has arrived is found, and an entry is listed whole only for what came late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox.ledger import MINUTE_US
from fleetbox.records import Draft
from fleetbox_cloud.feeds.arrivals import Arrivals
from fleetbox_cloud.feeds.sent import Sent

from .conftest import NOW_US, Rig

BUCKET = "r1--log"
SINCE_US = NOW_US - 120 * MINUTE_US


def line(entry: str, at_us: int) -> Draft:
    """Return a line of a log."""
    return Draft(entry, at_us, b"line", {"type": "log"}, "text/plain")


@asynccontextmanager
async def arrivals(rig: Rig) -> AsyncIterator[tuple[Arrivals, Sent]]:
    """Give looks at the rig's store, and what they remember."""
    sent = Sent(rig.state / "fed.sqlite")
    try:
        async with rig.store() as store:
            yield Arrivals(store, sent, SINCE_US), sent
    finally:
        sent.close()


async def take(arrivals: Arrivals, sent: Sent, most: int = 1_000) -> list[tuple[str, int]]:
    """Look once, take so many records at most, and return them."""
    taken: list[tuple[str, int]] = []
    async with aclosing(arrivals.look(BUCKET, lambda entry: True)) as looking:
        async for entry, heads in looking:
            times = [head.time_us for head in heads][: most - len(taken)]
            sent.see(BUCKET, {entry: times})
            taken += [(entry, at_us) for at_us in times]
            if len(taken) >= most:
                break
    return taken


def test_what_is_late_is_found_after_looks_that_were_broken_off(rig: Rig) -> None:
    """A flood is taken in parts: what is listed again counts once, and a line that came late beside it shows."""

    async def told() -> list[tuple[str, int]]:
        await rig.write(BUCKET, line("log/app", NOW_US))
        async with arrivals(rig) as (looks, sent):
            await take(looks, sent)
            flood = [line("log/app", NOW_US + at_us) for at_us in range(1, 10)]
            await rig.write(BUCKET, line("log/app", NOW_US - 60 * MINUTE_US), *flood)
            return [one for _ in range(6) for one in await take(looks, sent, 2)]

    found = asyncio.run(told())

    assert sorted(at_us - NOW_US for _, at_us in found) == [-60 * MINUTE_US, *range(1, 10)]


def test_what_came_after_the_count_is_not_looked_for_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are counted first and listed then: what came in between is seen, and nothing late is suspected."""
    starts: list[int | None] = []
    query = Store.query

    def noted(self: Store, *args: Any, **more: Any) -> Any:
        starts.append(more.get("start_us"))
        return query(self, *args, **more)

    async def told() -> int:
        await rig.write(BUCKET, line("log/a", NOW_US), line("log/b", NOW_US))
        async with arrivals(rig) as (looks, sent):
            async for entry, heads in looks.look(BUCKET, lambda entry: True):
                sent.see(BUCKET, {entry: [head.time_us for head in heads]})
                if entry == "log/a":
                    await rig.write(BUCKET, line("log/b", NOW_US + 1))
            await rig.write(BUCKET, line("log/b", NOW_US + 2))
            await take(looks, sent)
            return sent.newer(BUCKET, "log/b", 0)

    monkeypatch.setattr(Store, "query", noted)

    assert asyncio.run(told()) == 3
    assert starts.count(SINCE_US) == 2  # of each entry at the first look
