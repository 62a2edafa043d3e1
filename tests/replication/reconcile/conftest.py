"""An edge site and a cloud on real stores: one robot's records at both, and the pages that tell of them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import xxhash

from fleetbox.blobs import BucketSpec, Store, TaskSpec, TokenSpec
from fleetbox.errors import StoreRefused
from fleetbox.ledger import MINUTE_US, Line, Page, Standing, count_of, minute_of, read_ledger, write_page
from fleetbox.naming import CLASSES, RING_CLASSES, Class
from fleetbox.records import Draft, Head
from fleetbox_replication.dead_letters import DeadLetter
from fleetbox_replication.filters import hop_filter
from fleetbox_replication.reconcile import Options, Reconciler, Rhythm, Route
from tests.conftest import StoreServer
from tests.replication.conftest import until

BASE_US = 1_700_000_040_000_000  # the start of a minute
NOWHERE = "http://127.0.0.1:9"  # a task that sends nothing: what it has not sent is the reconciler's alone
AT_ONCE = Rhythm(
    grace_s=0, again_s=0, longest_s=0, far_s=0, waiting_far_s=0, whole_s=0, letters_s=0, ledger_s=0, sample_s=1e9,
    waiting_s=1e9, sweep_s=0, stalled_s=-1,
)  # fmt: skip


async def no_wait(_seconds: float) -> None:
    """Go on at once: nothing is on its way beside the test."""


class Passage:
    """Stand where the relay stands: it tells of cuts, counts what was brought and says what is refused."""

    def __init__(self) -> None:
        self.cuts = 0
        self.total = 0
        self.refused: dict[str, DeadLetter] = {}

    def brought(self, records: int) -> None:
        """Count."""
        self.total += records

    def turn(self, bucket: str, entry: str) -> AbstractAsyncContextManager[None]:
        """No task writes beside these."""
        return nullcontext()

    def refusing(self, bucket: str) -> DeadLetter | None:
        """Tell what the destination answers just now."""
        return self.refused.get(bucket)


@dataclass
class Pair:
    """One robot's records at an edge site (`here`) and in the cloud (`there`)."""

    here: Store
    there: Store
    far: StoreServer
    token: str = ""  # a hop's own, for this robot's buckets alone
    robot: str = field(default_factory=lambda: f"r{uuid.uuid4().hex[:8]}")
    passage: Passage = field(default_factory=Passage)
    now_us: int = BASE_US + 100 * MINUTE_US
    reconcilers: list[Reconciler] = field(default_factory=list)

    def bucket(self, cls: Class = "sensor") -> str:
        """Name the bucket of a class, the same at both ends."""
        return f"{self.robot}--{cls}"

    async def provision(self) -> None:
        """Create a bucket per class at both ends."""
        for store in (self.here, self.there):
            for cls in CLASSES:
                await store.ensure_bucket(self.bucket(cls), BucketSpec("NONE", 0))
        own = (f"{self.robot}--*",)
        self.token = await self.there.ensure_token(TokenSpec(self.robot, own, own)) or ""

    async def remake(self) -> None:
        """Remove a bucket at the destination and make it anew, as soon as the engine is done removing it."""
        await self.there.remove_bucket(self.bucket())
        await self.vanished()
        await self.there.ensure_bucket(self.bucket(), BucketSpec("NONE", 0))

    async def vanished(self, cls: Class = "sensor") -> None:
        """Return once the bucket is gone at the destination: the engine removes it behind its answer."""

        async def gone() -> bool:
            try:
                return await self.there.bucket_spec(self.bucket(cls)) is None
            except StoreRefused:
                return False

        await until(gone)

    async def make_tasks(self, classes: Sequence[Class] = ("sensor",)) -> None:
        """Create the tasks of some classes; call it after writing: to the engine nothing is pending then."""
        for cls in classes:
            name = f"{self.robot}--{cls}-to-cloud"
            when = hop_filter(cls, from_robot=False)
            await self.here.put_task(TaskSpec(name, self.bucket(cls), self.bucket(cls), NOWHERE, "", ("**",), when))

    def reconciler(self, options: Options | None = None, state: Path | None = None) -> Reconciler:
        """Return a reconciler from the edge to the cloud."""
        chosen = replace(options or Options(rhythm=AT_ONCE, now_us=self.tick), sleep=no_wait)
        made = Reconciler(
            lambda: self.here,
            lambda: Store(self.far.url, self.token),
            self.passage,
            Route("edge-1", "cloud", state),
            chosen,
        )
        self.reconcilers.append(made)
        return made

    def tick(self) -> int:
        """Return a time in µs that moves on."""
        self.now_us += 1
        return self.now_us

    async def tell(self, store: Store, *, partial: bool = False) -> None:
        """Write what a store holds of every class as a page, as its census would."""
        lines = [line for cls in CLASSES for line in await self._lines(store, cls, partial)]
        place = "edge-1" if store is self.here else "cloud"
        await write_page(store, self.bucket("meta"), Page(place, self.robot, self.tick(), tuple(lines)))

    async def tell_both(self) -> None:
        """Write the pages of both ends."""
        await self.tell(self.here)
        await self.tell(self.there)

    async def _lines(self, store: Store, cls: Class, partial: bool) -> list[Line]:
        minutes: dict[tuple[str, int], list[Head]] = {}
        async for head in store.query(self.bucket(cls), head=True):
            if not head.entry.startswith("ledger"):
                minutes.setdefault((head.entry, minute_of(head.time_us)), []).append(head)
        return [line_of(cls, stream, minute_us, heads, partial) for (stream, minute_us), heads in minutes.items()]

    async def held(self, store: Store, cls: Class = "sensor") -> dict[tuple[str, int], tuple[bytes, dict[str, str]]]:
        """Return what a store holds of a class, whole."""
        return {(r.entry, r.time_us): (r.data, dict(r.labels)) async for r in store.query(self.bucket(cls))}

    async def standings(self) -> dict[tuple[str, int], Standing]:
        """Return what the edge last said of each stream's minute."""
        ledger = await read_ledger(self.here, self.bucket("meta"), self.robot)
        return {key[1:]: standing for key, standing in ledger.standings.get("cloud", {}).items()}


def line_of(cls: Class, stream: str, minute_us: int, heads: Sequence[Head], partial: bool = False) -> Line:
    """Count one stream's minute as a census would."""
    held = count_of(heads)
    keep = count_of(head for head in heads if "keep" in head.labels)
    cloud = count_of(head for head in heads if head.labels.get("keep") == "1")
    if cls not in RING_CLASSES:
        keep = cloud = held
    times = [head.time_us for head in heads]
    return Line(
        cls, stream, minute_us, held, keep, cloud, len(heads), min(times), max(times), partial=partial
    )  # fmt: skip


def draft(number: int, stream: str = "imu", keep: str = "1", body: str = "") -> Draft:
    """Return a record: one a second from BASE_US on."""
    data = f"{stream} {number} {body}".encode()
    labels = {"session": "s1", "seq": str(number), "xxh": xxhash.xxh3_64_hexdigest(data)}
    return Draft(
        stream, BASE_US + number * 1_000_000, data, {**labels, **({"keep": keep} if keep else {})}, "text/plain"
    )


def drafts(count: int, stream: str = "imu", keep: str = "1") -> list[Draft]:
    """Return so many records."""
    return [draft(number, stream, keep) for number in range(count)]


@pytest.fixture(scope="session")
def far_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """A second store for tests that only need names of their own; never stop or fill it."""
    server = StoreServer(tmp_path_factory.mktemp("far") / "data")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def pair(store_server: StoreServer, far_server: StoreServer) -> Callable[[], AbstractAsyncContextManager[Pair]]:
    """Give two provisioned ends; tasks and reconcilers are gone afterwards."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Pair]:
        async with (
            Store(store_server.url, store_server.token) as here,
            Store(far_server.url, far_server.token) as there,
        ):
            made = Pair(here, there, far_server)
            await made.provision()
            try:
                yield made
            finally:
                for reconciler in made.reconcilers:
                    await reconciler.close()
                for task in await here.tasks():
                    if task.spec.name.startswith(f"{made.robot}--"):
                        await here.remove_task(task.spec.name)

    return make
