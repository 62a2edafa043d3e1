"""What passes a site and how its machine stands, on the panels that have no rows while all is well, or no sensor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx, Place, Uplink
from fleetbox_cloud.feeds.passing import RelayRates, SiteRates
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.filling import Filling, queries
from fleetbox_local.processes import free_port
from fleetbox_replication.onward import Flow, Onward
from fleetbox_replication.relay_secret import relay_secret

ALL = {"site": ".*", "robots": ""}


def panel(board: str, title: str) -> str:
    """Return a panel's query over the last hour."""
    asked = next(one for one in queries(boards()[board]) if one.place == title)
    now_ms = time.time_ns() // 1_000_000
    return Filling(now_ms - 3_600_000, now_ms + 60_000, ALL).fill(asked.influxql, asked.least_interval)


async def shown(influx: Influx, lines: list[str], board: str, title: str) -> list[dict[str, Any]]:
    """Write points and return the rows of a panel."""
    async with ScalarStore(influx) as scalars:
        await scalars.ensure_bucket()
        assert not (await scalars.write_lines(lines)).refused
        found = await scalars.query(panel(board, title))
    return [{**one.tags, **dict(zip(one.columns, row, strict=True))} for one in found for row in one.rows]


@asynccontextmanager
async def passing(edge: StoreServer, cloud: StoreServer, state: Path) -> AsyncIterator[Onward]:
    """Run the hop from an edge to a cloud where the bucket of r1 is full, with a line of r1 to send."""
    relay = f"http://127.0.0.1:{free_port()}"
    place, ahead = (Place("edge", "edge", edge.url, edge.token, relay), Place("cloud", "cloud", cloud.url, cloud.token))
    async with Store.at(place) as store, Store.at(ahead) as there:
        await there.ensure_bucket("r1--log", BucketSpec("HARD", 1))
        await store.ensure_bucket("r1--log", BucketSpec("NONE", 0))
        secret = relay_secret(edge.token)
        await store.put_task(TaskSpec("r1--log-to-cloud", "r1--log", "r1--log", relay, secret, ("**",)))
        await store.write("r1--log", [Draft("app", 1, b"a line", {"type": "log"}, "text/plain")])
        hop = Onward(place, ahead, lambda: store, state, Uplink())
        task = asyncio.create_task(hop.run())
        try:
            yield hop
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(hop: Onward, is_so: Callable[[Mapping[str, Flow]], bool]) -> dict[str, Flow]:
    """Look at the flows of a hop until they are so."""
    async with asyncio.timeout(120):
        while not is_so(found := hop.flows()):  # noqa: ASYNC110 - what happens in servers sets no event here
            await asyncio.sleep(0.05)
    return found


@pytest.mark.slow
def test_a_relay_that_is_refused_shows_as_held(
    new_store_server: Callable[..., StoreServer], influx: Influx, tmp_path: Path
) -> None:
    """The robot's bucket in the cloud is full: the hop is held although nothing has passed; with room it is not."""
    edge, cloud = new_store_server(), new_store_server()

    async def told() -> None:
        rates = RelayRates("edge")
        async with passing(edge, cloud, tmp_path) as hop:
            held = await until(hop, lambda flows: "r1" in flows and flows["r1"].held)
            assert rates.lines(held, 0.0, time.time_ns() // 1000)
            lines = rates.lines(held, 30.0, time.time_ns() // 1000)
            (row,) = await shown(influx, lines, "fleetbox-books", "Relay: held")
            assert (row["site"], row["held"]) == ("edge", 1)
            async with Store(cloud.url, cloud.token) as there:
                await there.ensure_bucket("r1--log", BucketSpec("NONE", 0))
            passed = await until(hop, lambda flows: flows["r1"].sent == 1)
            assert not passed["r1"].held
            assert "held=false" in rates.lines(passed, 60.0, time.time_ns() // 1000)[0]

    asyncio.run(told())


def test_a_site_with_a_sensor_shows_its_temperature(
    influx: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor's hottest sensor, as the system tells it, is what the panel shows; without one it is empty."""
    sensors: dict[str, list[Any]] = {}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors, raising=False)
    rates = SiteRates("edge", tmp_path)

    def line() -> str:
        return rates.line({}, 0, 0.0, time.time_ns() // 1000) or ""

    without = asyncio.run(shown(influx, [line()], "fleetbox-host", "Sites: temperature"))
    sensors["coretemp"] = [SimpleNamespace(current=48.0), SimpleNamespace(current=61.5)]
    sensors["nvme"] = [SimpleNamespace(current=80.0)]
    found = asyncio.run(shown(influx, [line()], "fleetbox-host", "Sites: temperature"))
    assert [row["max"] for row in without if row["max"] is not None] == []
    assert [(row["site"], row["max"]) for row in found if row["max"] is not None] == [("edge", 61.5)]
