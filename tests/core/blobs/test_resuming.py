"""A query goes on after the store was killed, and after the engine forgot it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from fleetbox.blobs import BucketSpec, EntryInfo, Store
from fleetbox.blobs.reading import Query
from fleetbox.blobs.resuming import remaining
from fleetbox.errors import Unreachable
from fleetbox.records import Draft
from fleetbox.retry import Patience


def _drafts(make_draft: Callable[..., Draft], count: int) -> list[Draft]:
    """Three entries that share timestamps, and one that ends early."""
    shared = [make_draft(entry, 1_000 + n, bytes(40_000)) for n in range(count) for entry in ("a", "b", "c/d")]
    return shared + [make_draft("early", n) for n in range(5)]


@pytest.mark.parametrize("head", [False, True])
def test_a_killed_store_costs_a_query_no_record(
    new_store_server: Callable, bucket_name: str, make_draft: Callable[..., Draft], head: bool
) -> None:
    """The store dies twice while it is read and comes back: each record is delivered once, entries in order."""
    server = new_store_server()
    drafts = _drafts(make_draft, 400)

    async def act() -> list[tuple[str, int]]:
        got: list[tuple[str, int]] = []
        async with Store(server.url, server.token) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            assert (await store.write(bucket_name, drafts)).written == len(drafts)
            async for item in store.query(bucket_name, start_us=0, head=head):
                got.append((item.entry, item.time_us))
                if len(got) in (101, 700):
                    server.kill()
                    server.start()
        return got

    got = asyncio.run(act())
    assert sorted(got) == sorted((item.entry, item.time_us) for item in drafts)
    for entry in ("a", "b", "c/d", "early"):
        times = [time_us for name, time_us in got if name == entry]
        assert times == sorted(times)


def test_a_store_that_stays_away_ends_the_query(
    new_store_server: Callable, bucket_name: str, make_draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the patience for a restart is over, Unreachable says which store."""
    monkeypatch.setattr("fleetbox.blobs.resuming.READING", Patience(attempts=3, timeout_s=1.0, jitter_s=0.0))
    server = new_store_server()

    async def act() -> None:
        async with Store(server.url, server.token, name="r7") as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            await store.write(bucket_name, _drafts(make_draft, 200))
            answers = store.query(bucket_name)
            await anext(answers)
            server.kill()
            with pytest.raises(Unreachable, match="r7"):
                _ = [record async for record in answers]

    asyncio.run(act())


def test_a_query_the_engine_forgot_is_asked_again(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer slower than the query's time to live gets the rest, each record once."""
    monkeypatch.setattr("fleetbox.blobs.reading.TTL_S", 1)
    drafts = _drafts(make_draft, 100)

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, drafts)
            got = []
            async for record in store.query(bucket_name):
                got.append((record.entry, record.time_us))
                if len(got) == 50:
                    await asyncio.sleep(1.1)  # the engine's clock, not ours: there is no other way to let it expire
            assert sorted(got) == sorted((item.entry, item.time_us) for item in drafts)

    asyncio.run(act())


def test_an_answer_cut_off_is_never_fetched_twice(
    store_server, in_front_of: Callable, opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """When kept connections break between batches, no batch is lost: the place of a query is in the engine.

    An HTTP client that quietly sends the request again gets the batch after the lost one.
    """
    drafts = _drafts(make_draft, 200)

    async def act(url: str) -> None:
        async with opened() as store:
            await store.write(bucket_name, drafts)
        async with Store(url, store_server.token) as store:
            got = [(record.entry, record.time_us) async for record in store.query(bucket_name)]
            assert sorted(got) == sorted((item.entry, item.time_us) for item in drafts)

    with in_front_of(store_server, cut_every=7) as url:
        asyncio.run(act(url))


def test_what_remains_skips_nothing_and_repeats_little() -> None:
    """Ended entries are left out, slow ones go on alone, unseen ones from the start, the rest from the front."""
    query = Query("bucket", ("*",), start_us=5, stop_us=99_000_000)
    listing = [EntryInfo(name, 1, 1, 1, 0, latest) for name, latest in (("ended", 7), ("slow", 50_000_000))]
    parts = remaining(query, {"ended": 7, "slow": 10, "a": 80_000_000, "b": 80_000_001}, listing)
    assert [(part.entries, part.start_us, part.stop_us) for part in parts] == [
        (("slow",), 11, 99_000_000),
        (("*", "!ended", "!slow", "!a", "!b"), 5, 99_000_000),
        (("a", "b"), 80_000_001, 99_000_000),
    ]
    assert remaining(query, {}, listing) == [query]
    stopped = remaining(replace(query, stop_us=80_000_001), {"a": 80_000_000}, [])
    assert [part.entries for part in stopped] == [("*", "!a")], "the engine refuses an empty range"
