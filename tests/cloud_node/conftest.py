"""A site's store, its InfluxDB and its loader, on real servers."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.errors import NotFound, Unreachable
from fleetbox.labels import Labels
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.door import open_door
from fleetbox_cloud.loading import Loading, Rhythm

DEADLINE_S = 120.0  # the engine asks again 5 to 10 s after a 503; two busy cores do the rest
QUICK = Rhythm(look_s=0.2)

Values = dict[str, dict[int, dict[str, float]]]  # stream -> time in µs -> field -> value


async def until(what: Callable[[], Awaitable[bool]], deadline_s: float = DEADLINE_S) -> None:
    """Wait for something to come true; fail when it does not in time."""
    async with asyncio.timeout(deadline_s):
        while not await what():  # noqa: ASYNC110 - what happens in servers sets no event here
            await asyncio.sleep(0.05)


def chunk(entry: str, times_us: Sequence[int], columns: dict[str, Any], labels: Labels | None = None) -> Draft:
    """Pack rows into the record an agent would write."""
    times = list(times_us)
    own = {"rows": str(len(times)), "t_end": str(times[-1]), "type": "time_series"}
    return Draft(entry, times[0], chunks.encode(times, columns), {**own, **(labels or {})}, chunks.CONTENT_TYPE)


def values_of(drafts: Sequence[Draft]) -> Values:
    """Read the numbers of chunks without pyarrow; a time that two chunks have counts once."""
    found: Values = {}
    for draft in drafts:
        for row in chunks.rows(draft.data):
            numbers = {
                name: float(value)
                for name, value in row.items()
                if name not in chunks.RESERVED_COLUMNS and isinstance(value, int | float) and math.isfinite(value)
            }
            if numbers:
                found.setdefault(draft.entry, {})[row["time_us"]] = numbers
    return found


def rollups_of(drafts: Sequence[Draft]) -> Values:
    """Roll the numbers of chunks up in plain Python: what InfluxDB must hold in the end."""
    found: Values = {}
    for stream, rows in values_of(drafts).items():
        seconds: dict[int, dict[str, list[float]]] = {}
        for time_us in sorted(rows):
            for name, value in rows[time_us].items():
                seconds.setdefault(time_us // 1_000_000 * 1_000_000, {}).setdefault(name, []).append(value)
        found[stream] = {at: _rollup(fields) for at, fields in seconds.items()}
    return found


def _rollup(fields: dict[str, list[float]]) -> dict[str, float]:
    made = {}
    for name, some in fields.items():
        mean = pytest.approx(math.fsum(some) / len(some), rel=1e-9, abs=1e-12)
        parts = {"min": min(some), "mean": mean, "max": max(some), "last": some[-1], "count": len(some)}
        made |= {f"{name}.{kind}": value for kind, value in parts.items()}
    return made


class Rig:
    """One site: a store and an InfluxDB bucket, with a loader that can be started and stopped."""

    robot = "r1"
    bucket = "r1--sensor"
    token = "one"  # of the site's store, as its file has it

    def __init__(self, store: Any, influx: Influx, state: Path) -> None:
        self.server, self.influx, self.state = store, influx, state
        self._wanted: dict[tuple[tuple[str, int, bytes], ...], Values] = {}

    def store(self) -> Store:
        """Reach the site's store with full access."""
        return Store(self.server.url, self.server.token, name="site")

    async def make_buckets(self, *classes: str) -> None:
        """Make the robot's buckets as provisioning would."""
        async with self.store() as store:
            for cls in classes or ("sensor",):
                await store.ensure_bucket(f"{self.robot}--{cls}", bucket_spec(cls, 1_000_000_000))

    async def write(self, drafts: Sequence[Draft], bucket: str | None = None) -> None:
        """Write records as they would arrive."""
        async with self.store() as store:
            report = await store.write(bucket or self.bucket, drafts)
        assert report.written == len(drafts), report

    @asynccontextmanager
    async def loading(self, **changed: Any) -> AsyncIterator[Loading]:
        """Run the loader inside the block, started again when it fails as the site process would."""
        loader = Loading(self.store, changed.get("influx", self.influx), "edge-1", self.state, lambda: self.token)
        async with open_door(self.state, loader.sink.routes()) as url:
            task = asyncio.create_task(self._keep(loader, url, changed.get("rhythm", QUICK)))
            try:
                yield loader
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def values(self, stream: str) -> dict[int, dict[str, float]]:
        """Read everything that InfluxDB holds of a stream."""
        async with ScalarStore(self.influx) as scalars:
            try:
                found = await scalars.query(f'SELECT * FROM "{stream}"')
            except (NotFound, Unreachable):
                return {}
        rows: dict[int, dict[str, float]] = {}
        for series in found:
            for row in series.rows:
                named = dict(zip(series.columns, row, strict=True))
                assert (named.pop("robot"), named.pop("site")) == (self.robot, "edge-1")
                time_us = named.pop("time")
                rows[time_us] = {name: value for name, value in named.items() if value is not None}
        return rows

    async def holds(self, drafts: Sequence[Draft]) -> bool:
        """Tell whether InfluxDB holds the roll-ups of every number of the chunks and nothing else."""
        key = tuple((draft.entry, draft.time_us, draft.data) for draft in drafts)
        if key not in self._wanted:  # polled: opening thousands of chunks each time would keep the loop from loading
            self._wanted[key] = rollups_of(drafts)
        wanted = self._wanted[key]
        return {stream: await self.values(stream) for stream in wanted} == wanted

    async def delete(self, start_us: int, stop_us: int, stream: str) -> None:
        """Delete what InfluxDB holds of a stream from one whole second to another, as a person would."""
        start, stop = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 1_000_000)) for at in (start_us, stop_us))
        body = {"start": start, "stop": stop, "predicate": f'_measurement="{stream}"'}
        query = {"org": self.influx.org, "bucket": self.influx.bucket}
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Token {self.influx.token}"}) as session,
            session.post(f"{self.influx.url}/api/v2/delete", params=query, json=body) as answer,
        ):
            assert answer.status == 204, await answer.text()

    def counts(self, loader: Loading) -> dict[str, int]:
        """Return the robot's books."""
        return loader.report()["robots"].get(self.robot, {})

    async def _keep(self, loader: Loading, url: str, rhythm: Rhythm) -> None:
        while True:
            try:
                await loader.run(url, rhythm)
            except Exception as error:
                loader.failed = error  # type: ignore[attr-defined]
                await asyncio.sleep(0.2)


@pytest.fixture
def influx(influx_server: Any) -> Influx:
    """A bucket of its own in the shared InfluxDB; whoever uses it makes it."""
    return Influx(influx_server.url, influx_server.token, influx_server.org, f"b-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def rig(new_store_server: Callable[..., Any], influx: Influx, tmp_path: Path) -> Rig:
    """A site with a store of its own."""
    return Rig(new_store_server(), influx, tmp_path / "state")


@pytest.fixture
def make_chunk() -> Callable[..., Draft]:
    """Give tests `chunk`."""
    return chunk


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    """Give tests `until`."""
    return until
