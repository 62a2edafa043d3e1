"""The sweep: what a task has forgotten is brought, and nothing else is touched."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import replace

import xxhash

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.errors import Unreachable
from fleetbox.records import Draft
from fleetbox_replication.filters import hop_filter
from fleetbox_replication.reconcile import Copier, Ends, Options, Reconciler, Route, sweep

BASE_US = 1_700_000_000_000_000
ROUTE = Route("edge-0", "edge")


def _draft(entry: str, number: int, keep: bool = True) -> Draft:
    data = f"{entry} {number}".encode()
    labels = {"robot": "r1", "xxh": xxhash.xxh3_64_hexdigest(data), **({"keep": "1"} if keep else {})}
    return Draft(entry, BASE_US + number, data, labels, "text/plain")


def _spec() -> TaskSpec:
    robot = f"r{uuid.uuid4().hex[:8]}"
    return TaskSpec(
        "log-to-edge", f"log-{robot}", f"{robot}--log", "http://127.0.0.1:9", "", ("**",), hop_filter("log", True)
    )


@asynccontextmanager
async def _hop(server: object, spec: TaskSpec) -> AsyncIterator[Store]:
    """Give one store with both buckets: a sweep does not care whether its ends are the same server."""
    async with Store(server.url, server.token) as store:  # type: ignore[attr-defined]
        for bucket in (spec.src_bucket, spec.dst_bucket):
            await store.ensure_bucket(bucket, BucketSpec("FIFO", 10_000_000))
        yield store


async def _no_wait(_seconds: float) -> None:
    await asyncio.sleep(0)


def _alone(_bucket: str, _entry: str) -> AbstractAsyncContextManager[object]:
    """No relay writes beside these sweeps."""
    return nullcontext()


async def _held(store: Store, bucket: str) -> dict[tuple[str, int], tuple[bytes, dict[str, str]]]:
    return {(r.entry, r.time_us): (r.data, dict(r.labels)) async for r in store.query(bucket)}


def test_missing_selected_records_are_brought_whole(store_server: object) -> None:
    """Selected records that are not there are copied with payload and labels; unselected ones stay."""
    spec = _spec()

    async def scene() -> None:
        async with _hop(store_server, spec) as store:
            drafts = [_draft(entry, number) for entry in ("a", "b/c") for number in range(100)]
            await store.write(
                spec.src_bucket, [*drafts, *(_draft("a", 200 + number, keep=False) for number in range(20))]
            )
            await store.write(spec.dst_bucket, drafts[:50])
            swept = await sweep(Copier(Ends(spec, store, store), _alone), _no_wait)

            assert (swept.forgotten, swept.brought, swept.mended.gone, swept.mended.refused) == (150, 150, [], [])
            assert await _held(store, spec.dst_bucket) == {(d.entry, d.time_us): (d.data, d.labels) for d in drafts}
            assert (await sweep(Copier(Ends(spec, store, store), _alone), _no_wait)).forgotten == 0

    asyncio.run(scene())


def test_skipped_streams_are_not_brought(store_server: object) -> None:
    """Streams the hop's rule skips stay where they are."""
    spec = replace(_spec(), entries=("**", "!b/*"))

    async def scene() -> None:
        async with _hop(store_server, spec) as store:
            await store.write(spec.src_bucket, [_draft("a", 1), _draft("b/c", 1)])
            await sweep(Copier(Ends(spec, store, store), _alone), _no_wait)

            assert [key[0] for key in await _held(store, spec.dst_bucket)] == ["a"]

    asyncio.run(scene())


def test_what_arrives_meanwhile_is_not_forgotten(store_server: object) -> None:
    """A record that was on its way at the first look and is there at the second counts as arrived."""
    spec = _spec()

    async def scene() -> None:
        async with _hop(store_server, spec) as store:
            await store.write(spec.src_bucket, [_draft("a", 1), _draft("a", 2)])

            async def arrive(_seconds: float) -> None:
                await store.write(spec.dst_bucket, [_draft("a", 1)])

            assert (await sweep(Copier(Ends(spec, store, store), _alone), arrive)).brought == 1

    asyncio.run(scene())


def test_beyond_the_horizon_of_a_full_destination_nothing_is_brought(store_server: object) -> None:
    """What a full ring at the destination has let go of is not brought again: that would never end."""
    spec = _spec()

    async def scene() -> None:
        async with _hop(store_server, spec) as store:
            await store.write(spec.src_bucket, [_draft("a", number) for number in range(10)])
            await store.write(spec.dst_bucket, [_draft("a", number) for number in range(5, 10)])
            size = sum(info.size_bytes for info in await store.entries(spec.dst_bucket))
            await store.ensure_bucket(spec.dst_bucket, BucketSpec("FIFO", size))
            full = await sweep(Copier(Ends(spec, store, store), _alone), _no_wait)
            await store.ensure_bucket(spec.dst_bucket, BucketSpec("FIFO", 10_000_000))

            assert full.forgotten == 0
            assert (await sweep(Copier(Ends(spec, store, store), _alone), _no_wait)).brought == 5

    asyncio.run(scene())


def test_attachments_come_along(store_server: object) -> None:
    """Schemas that were written before their task existed are brought for streams that have arrived."""
    spec = _spec()

    async def scene() -> None:
        async with _hop(store_server, spec) as store:
            await store.write(spec.src_bucket, [_draft("a", 1)])
            await store.write_attachment(spec.src_bucket, "a", "schema", {"type": "log"})
            await sweep(Copier(Ends(spec, store, store), _alone), _no_wait)

            assert await store.attachments(spec.dst_bucket, "a") == {"schema": {"type": "log"}}

    asyncio.run(scene())


class _Relay:
    """Stand where the relay stands: it tells of cuts and counts what was brought."""

    def __init__(self) -> None:
        self.cuts = 0
        self.total = 0

        self.turns: list[tuple[str, str]] = []

    def brought(self, records: int) -> None:
        self.total += records

    def turn(self, bucket: str, entry: str) -> AbstractAsyncContextManager[object]:
        self.turns.append((bucket, entry))
        return nullcontext()


def test_it_sweeps_at_start_and_after_a_cut(store_server: object, new_store_server: Callable[[], object]) -> None:
    """The first look sweeps what an earlier relay lost; after that only a cut makes it look again."""
    spec = _spec()
    spec = replace(spec, name=f"{spec.dst_bucket}-to-edge", src_bucket=spec.dst_bucket)
    relay, edge = _Relay(), new_store_server()

    def there() -> Store:
        return Store(edge.url, edge.token)  # type: ignore[attr-defined]

    async def scene() -> list[int]:
        async with Store(store_server.url, store_server.token) as store, there() as far:  # type: ignore[attr-defined]
            for end in (store, far):
                await end.ensure_bucket(spec.src_bucket, BucketSpec("FIFO", 10_000_000))
            await store.write(spec.src_bucket, [_draft("a", number) for number in range(10)])
            await store.put_task(spec)  # after the records: to the engine nothing is pending
            reconciler = Reconciler(lambda: store, there, relay, ROUTE, Options(sleep=_no_wait))
            totals = []
            for cuts in (0, 0, 1):
                relay.cuts = cuts
                await reconciler.step()
                totals.append(relay.total)
                await far.delete(spec.dst_bucket, "a", [BASE_US, BASE_US + 1])
            await reconciler.close()
            await store.remove_task(spec.name)
            return totals

    assert asyncio.run(scene()) == [10, 10, 12]
    assert relay.turns == [(spec.dst_bucket, "a")] * 2


def test_it_sweeps_after_its_store_was_restarted(new_store_server: Callable[[], object]) -> None:
    """A store that was killed may have forgotten what it had just taken: its tasks are swept again."""
    spec = _spec()
    spec = replace(spec, name=f"{spec.dst_bucket}-to-edge", src_bucket=spec.dst_bucket)
    relay, own, edge = _Relay(), new_store_server(), new_store_server()
    later = [0.0]

    def there() -> Store:
        return Store(edge.url, edge.token)  # type: ignore[attr-defined]

    async def scene() -> int:
        async with Store(own.url, own.token) as store, there() as far:  # type: ignore[attr-defined]
            for end in (store, far):
                await end.ensure_bucket(spec.src_bucket, BucketSpec("FIFO", 10_000_000))
            await store.write(spec.src_bucket, [_draft("a", 1)])
            await store.put_task(spec)
            options = Options(sleep=_no_wait, monotonic_s=lambda: time.monotonic() + later[0])
            reconciler = Reconciler(lambda: store, there, relay, ROUTE, options)
            await reconciler.step()
            await far.delete(spec.dst_bucket, "a", [BASE_US + 1])
            own.kill()  # type: ignore[attr-defined]
            own.start()  # type: ignore[attr-defined]
            later[0] = 10.0  # as if it had run ten seconds before it was killed
            with suppress(Unreachable):
                await reconciler.step()  # meets the connection that died with the store
            await reconciler.step()
            await reconciler.close()
            return relay.total

    assert asyncio.run(scene()) == 2
