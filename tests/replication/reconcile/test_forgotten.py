"""What the engine itself forgets: its log deleted, damaged or run over, its store killed; all of it is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import FleetboxError
from fleetbox.naming import CLASSES, site_bucket
from fleetbox.records import Draft
from fleetbox.settings import HopRule, Place
from fleetbox_local.ports import free_port
from fleetbox_replication.census import Census, CensusScope
from fleetbox_replication.reconcile import Options, Reconciler, Rhythm, Route
from fleetbox_replication.relay import Relay, RelayOptions
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.tasks import wanted_tasks
from tests.conftest import StoreServer
from tests.replication.conftest import until
from tests.replication.reconcile.conftest import drafts

QUICK = Rhythm(
    look_s=0.1, grace_s=0.5, again_s=0.5, longest_s=0.5, waiting_far_s=0.2, stalled_s=2, whole_s=1, sweep_s=1
)
ROBOT = "r7"
Servers = Callable[..., StoreServer]


@dataclass
class Scene:
    """A robot and its edge site with relay, census and reconciler, all in this process."""

    own: StoreServer
    edge: StoreServer
    folder: Path
    here: Store = field(init=False)
    there: Store = field(init=False)
    relay: Relay = field(init=False)
    reconciler: Reconciler = field(init=False)
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self) -> None:
        """Make buckets and tasks, with the relay's address but without a relay."""
        self.here, self.there = Store(self.own.url, self.own.token), Store(self.edge.url, self.edge.token)
        listen = f"http://127.0.0.1:{free_port()}"
        self.relay = Relay(listen, self.edge.url, self.edge.token, relay_secret(self.own.token))
        for cls in CLASSES:
            await self.here.ensure_bucket(cls, BucketSpec("NONE", 0))
            await self.there.ensure_bucket(site_bucket(ROBOT, cls), BucketSpec("NONE", 0))
        place = Place(ROBOT, "robot", self.own.url, self.own.token, self.relay.url, "edge-1")
        for spec in wanted_tasks(place, [ROBOT], HopRule(), relay_secret(self.own.token)):
            await self.here.put_task(spec)

    async def start(self) -> None:
        """Start relay, census and reconciler."""
        options = RelayOptions(on_stored=lambda *told: self.reconciler.vouched(*told))
        self.relay = Relay(self.relay.url, self.edge.url, self.edge.token, relay_secret(self.own.token), options)
        await self.relay.start()
        self.resume()

    def resume(self) -> None:
        """Start census and reconciler as a new process would."""
        route = Route(ROBOT, "edge-1", self.folder)
        there = lambda: Store(self.edge.url, self.edge.token)  # noqa: E731
        self.reconciler = Reconciler(lambda: self.here, there, self.relay, route, Options(rhythm=QUICK))
        self._running = [asyncio.create_task(self.reconciler.run()), asyncio.create_task(self._count())]

    async def pause(self) -> None:
        """Stop census and reconciler."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self) -> None:
        """Stop everything and let go of the stores."""
        await self.pause()
        self.own.kill()  # before the relay, so that no task of it is just calling there
        await self.relay.stop()
        await self.here.close()
        await self.there.close()

    async def arrived(self, some: Sequence[Draft]) -> None:
        """Return once the edge holds exactly these records, and every minute is proven."""
        wanted = {(item.entry, item.time_us): item.data for item in some}

        async def all_there() -> bool:
            with suppress(FleetboxError):
                found = {(r.entry, r.time_us): r.data async for r in self.there.query(site_bucket(ROBOT, "sensor"))}
                proven = self.reconciler.report()
                return found == wanted and proven["open"] == 0 and proven["hops"] == len(CLASSES)
            return False

        await until(all_there, 240)  # half-written records are healed after a minute, the engine waits after trouble

    async def _count(self) -> None:
        """Write the pages of both ends, open minutes too."""

        async def robots() -> list[str]:
            return [ROBOT]

        def edge() -> Store:
            return self.there

        own = CensusScope(ROBOT, robots, lambda _, cls: cls)
        site = CensusScope("edge-1", robots, site_bucket)
        places = [
            Census(lambda: self.here, own, self.folder / "own"),
            Census(edge, site, self.folder / "site"),
        ]
        while True:
            for census in places:
                with suppress(FleetboxError):
                    await census.flush()
            await asyncio.sleep(0.3)


@asynccontextmanager
async def _scene(own: StoreServer, edge: StoreServer, folder: Path) -> AsyncIterator[Scene]:
    scene = Scene(own, edge, folder)
    await scene.open()
    try:
        yield scene
    finally:
        await scene.close()


def _logs(server: StoreServer) -> list[Path]:
    """Find the engine's lists of what its tasks have still to send."""
    found = sorted(server.data_dir.rglob("*.log"))
    assert found, "the engine keeps its lists elsewhere"
    return found


def _damage(server: StoreServer, rubbish: bytes | None) -> None:
    for file in _logs(server):
        if rubbish is None:
            file.unlink()
        else:
            file.write_bytes(rubbish)


@pytest.mark.parametrize("rubbish", [None, b"\xff" * 500], ids=["deleted", "damaged"])
def test_a_log_that_is_gone_costs_nothing(new_store_server: Servers, tmp_path: Path, rubbish: bytes | None) -> None:
    """Records that a task had still to send when its log was deleted or damaged are brought."""
    own, edge = new_store_server(), new_store_server()

    async def run() -> None:
        async with _scene(own, edge, tmp_path / "state") as scene:
            some = [*drafts(300), *drafts(200, "odom")]
            await scene.here.write("sensor", some)
            own.stop()
            _damage(own, rubbish)
            own.start()
            await scene.start()
            await scene.arrived(some)

    asyncio.run(run())


def test_a_log_that_ran_over_costs_nothing(new_store_server: Servers, tmp_path: Path) -> None:
    """When the engine's list is too short for an outage, what fell out of it is brought."""
    own, edge = new_store_server(RS_REPLICATION_LOG_SIZE="50"), new_store_server()

    async def run() -> None:
        async with _scene(own, edge, tmp_path / "state") as scene:
            some = drafts(500)
            for first in range(0, 500, 50):
                await scene.here.write("sensor", some[first : first + 50])
            await scene.start()
            await scene.arrived(some)
            assert scene.reconciler.report()["brought"] > 100  # it did run over

    asyncio.run(run())


def test_stores_killed_twice_among_flowing_records(new_store_server: Servers, tmp_path: Path) -> None:
    """Source and destination killed in turn while records flow, and a new process after each: all of them arrive."""
    own, edge = new_store_server(), new_store_server()

    async def run() -> None:
        async with _scene(own, edge, tmp_path / "state") as scene:
            await scene.start()
            some = drafts(600)
            for part, victim in enumerate((own, edge, own, edge, None, None)):
                batch = some[part * 100 : part * 100 + 100]
                await _insist(scene.here, batch)
                if victim is not None:
                    victim.kill()
                    victim.start()
                if part == 2:
                    await scene.pause()
                    scene.resume()
            for _ in range(3):  # what a killed store had only said to have taken is written again, as an agent would
                await _insist(scene.here, some)
            await scene.arrived(some)

    asyncio.run(run())


async def _insist(store: Store, some: Sequence[Draft]) -> None:
    async def written() -> bool:
        with suppress(FleetboxError):
            return not (await store.write("sensor", some)).refused
        return False

    await until(written)
