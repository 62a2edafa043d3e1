"""A rollout begun in the cloud reaches robots behind an edge site whose processes are killed on the way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError
from fleetbox.orders import ANSWERS, POLICIES, read_orders
from fleetbox.records import Draft
from fleetbox.settings import load_fleet, parse_policy
from fleetbox_cloud.desk import applying
from fleetbox_cloud.desk.planning import Wish
from fleetbox_cloud.provision import provision, wanted
from fleetbox_local.ports import free_port

VERB = [sys.executable, "-c", "from fleetbox.cli.root import main; main()", "site", "run"]
HOLD_US = 1_000_000
OWN = (ANSWERS, POLICIES)


@asynccontextmanager
async def site_process(fleet: Path, site: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run `fleetbox site run` inside the block; it ends by kill -9."""
    with fleet.with_name(f"{site}.log").open("ab") as log:
        argv = [*VERB, "--fleet", str(fleet), "--site", site]
        child = await asyncio.to_thread(subprocess.Popen, argv, stderr=log, stdout=log)
    try:
        yield child
    finally:
        child.kill()
        await asyncio.to_thread(child.wait)


@pytest.mark.slow
def test_an_edge_restarted_in_mid_rollout_loses_no_order(
    scene: Callable[..., Any], new_store_server: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    """Its site process and its store die between the stages, one robot is away: the cloud presses on to the end.

    Every robot has each order once, and follows the policy; the one that was away when it is back.
    """
    site = scene(6)  # its store is the edge's
    cloud = new_store_server()
    (site.folder / "cloud.token").write_text(cloud.token)
    hop = f'[site.edge]\nnext = "cloud"\nrelay = "http://127.0.0.1:{free_port()}"'
    text = site.file.read_text().replace("[site.edge]", hop)
    text += f'\n[site.cloud]\nstore = "{cloud.url}"\ntoken = {{ file = "cloud.token" }}\n'
    site.file.write_text(text)
    fleet = load_fleet(site.file)
    place = fleet.site_place("cloud")

    async def main() -> None:
        async with Store(cloud.url, cloud.token, name="cloud") as store:
            await provision(store, wanted(fleet, "cloud"))
        await site.make()
        away = sorted(site.robots)[0]

        async def move(*gone: str) -> None:
            """Let robots work, and carry what they answered to the cloud, as its task would."""
            await site.look(time.time_ns() // 1000, *gone)
            async with site.store() as edge, Store(cloud.url, cloud.token) as store:
                for name in site.robots:
                    told = [one async for one in edge.query(f"{name}--meta", OWN, start_us=0)]
                    drafts = [Draft(one.entry, one.time_us, one.data, one.labels, one.content_type) for one in told]
                    await store.write(f"{name}--meta", drafts)

        async def following(count: int, *gone: str) -> bool:
            try:
                await move(*gone)
            except FleetboxError:
                return False
            return Counter(site.following().values())["shift"] >= count

        await move(away)
        async with site_process(site.file, "cloud"):
            policy = site.policy()
            shift = Wish(
                parse_policy(policy.read_text()), policy.read_text(), 1 << 60, (site.glob,), (1, 50, 100), HOLD_US
            )
            async with site_process(site.file, "edge"):
                sent = await applying.send(place, (await applying.preview(fleet, place, shift)).rollout)
                await wait_until(lambda: following(1, away))
            await asyncio.to_thread(site.server.kill)
            await asyncio.to_thread(site.server.start)
            async with site_process(site.file, "edge"):
                await wait_until(lambda: following(5, away))
                await wait_until(lambda: following(6))
        async with site.store() as edge:
            for name in site.robots:
                assert len([order async for order in read_orders(edge, name)]) == 1
        assert {robot.followed[-1].order for robot in site.robots.values()} == {sent.id}

    asyncio.run(main())
