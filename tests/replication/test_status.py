"""What `replicate status` says of stores that hang: in bounded time, with the rest still told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import StoreServer, hang

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_replication.status import PlaceStatus, status_of

LIMIT_S = {"source": 3.0, "destination": 15.0}  # s; beside a hung destination the source must answer in it


def fleet_of(folder: Path, edge: StoreServer, cloud: StoreServer) -> FleetSettings:
    """Return a fleet whose edge passes on to the cloud."""
    for name, server in (("edge", edge), ("cloud", cloud)):
        (folder / f"{name}.token").write_text(server.token)
    (folder / "fleet.toml").write_text(
        f'[site.edge]\nstore = "{edge.url}"\ntoken = {{ file = "edge.token" }}\nnext = "cloud"\n'
        f'relay = "http://127.0.0.1:9"\n'
        f'[site.cloud]\nstore = "{cloud.url}"\ntoken = {{ file = "cloud.token" }}\n'
    )
    return load_fleet(folder / "fleet.toml")


async def ask(fleet: FleetSettings, edge: StoreServer, hung: StoreServer, limit_s: float) -> PlaceStatus:
    """Give the edge a task, hang a store, and ask how the edge's hops stand."""
    async with Store(edge.url, edge.token) as store:
        await store.ensure_bucket("r1--log", BucketSpec("NONE", 0))
        await store.put_task(TaskSpec("r1--log-to-cloud", "r1--log", "r1--log", "http://127.0.0.1:9", ""))
    pid = hung.process.pid
    assert pid is not None
    hang(pid)
    try:
        (found,) = await status_of(fleet, [fleet.site_place("edge")], 0, limit_s)
    finally:
        os.kill(pid, signal.SIGCONT)
    return found


@pytest.mark.parametrize("which", ["source", "destination"])
def test_a_hung_store_is_named_in_time(
    which: str, new_store_server: Callable[..., StoreServer], tmp_path: Path
) -> None:
    """A hung source is out of reach; with a hung destination the hops are listed, each with why its lag is unknown."""
    edge, cloud = new_store_server(), new_store_server()
    fleet = fleet_of(tmp_path, edge, cloud)
    started = time.monotonic()
    found = asyncio.run(ask(fleet, edge, edge if which == "source" else cloud, LIMIT_S[which]))
    assert time.monotonic() - started < 50, "not the minute that a store may take to answer"
    if which == "source":
        assert found.hops == ()
        assert "edge" in str(found.error)
        return
    (hop,) = found.hops
    assert hop.lag.waiting is None
    assert hop.error is not None
    assert cloud.url in hop.error
