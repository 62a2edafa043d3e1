"""The spoiler passes a store's requests on whole, except those it is told to refuse."""

from __future__ import annotations

import asyncio

from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft, Record
from fleetbox_local.spoiler import Asked, Spoiler

SIZES = (0, 1, 20_000, 300_000)  # bytes; empty, small, beyond one packet, beyond one piece of a body


def _drafts() -> list[Draft]:
    return [Draft("s", 1_000 + size, b"\x5a" * size, {"n": str(size)}, "application/x-drill") for size in SIZES]


def test_everything_passes_unchanged(store_server: StoreServer, bucket_name: str) -> None:
    """Records written and read through it keep bytes, labels and content type; a HEAD keeps its size."""

    async def run(url: str) -> tuple[list[Record], int]:
        async with Store(url, store_server.token) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            assert not (await store.write(bucket_name, _drafts())).refused
            records = [record async for record in store.query(bucket_name) if isinstance(record, Record)]
            return records, (await store.head(bucket_name, "s", 21_000)).size

    with Spoiler(store_server.url) as spoiler:
        records, size = asyncio.run(run(spoiler.url))

    assert [len(record.data) for record in records] == list(SIZES)
    assert [record.labels["n"] for record in records] == [str(size) for size in SIZES]
    assert {record.content_type for record in records} == {"application/x-drill"}
    assert size == 20_000
    assert spoiler.refused == 0


def test_chosen_requests_are_refused_until_it_behaves(store_server: StoreServer, bucket_name: str) -> None:
    """A write is answered with the status and the words it was given, reading goes on, and then writes pass again."""

    async def run(spoiler: Spoiler) -> int:
        async with Store(spoiler.url, store_server.token) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            spoiler.answer(500, "a bad day", lambda asked: asked.writes and bucket_name in asked.path)
            refused = (await store.write(bucket_name, _drafts())).refused
            assert len(refused) == len(SIZES)
            assert all(status == 500 and "a bad day" in message for _, status, message in refused)
            assert await store.entries(bucket_name) == []
            spoiler.behave()
            return (await store.write(bucket_name, _drafts())).written

    with Spoiler(store_server.url) as spoiler:
        assert asyncio.run(run(spoiler)) == len(SIZES)
    assert spoiler.refused > 0


def test_only_what_brings_records_counts_as_a_write() -> None:
    """Batches and label patches are writes; queries, listings and looks are not."""
    assert Asked("POST", "/api/v1/b/r1--log/s/batch", 10).writes
    assert Asked("PATCH", "/api/v1/b/r1--log/s/batch", 0).writes
    assert Asked("POST", "/api/v1/io/r1--log/write", 10).writes
    assert Asked("PATCH", "/api/v1/io/r1--log/update", 0).writes
    assert not Asked("POST", "/api/v1/io/r1--log/q", 10).writes
    assert not Asked("POST", "/api/v1/b/r1--log/s/q", 10).writes
    assert not Asked("GET", "/api/v1/b/r1--log", 0).writes
    assert not Asked("HEAD", "/api/v1/b/r1--log/s", 0).writes
