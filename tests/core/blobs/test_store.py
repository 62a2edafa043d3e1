"""Buckets, tasks, tokens, labels and attachments of a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from fleetbox.blobs import BucketSpec, Store, TaskSpec, TokenSpec
from fleetbox.errors import AccessDenied, NotFound, Unreachable
from fleetbox.records import Draft


def test_a_bucket_is_made_and_changed_once(opened: Callable, bucket_name: str) -> None:
    """ensure_bucket tells whether it changed anything, and the store holds what was asked for."""
    ring = BucketSpec("FIFO", 50_000_000, max_block_records=64, max_block_bytes=8_000_000)

    async def act() -> None:
        async with opened() as store:
            assert await store.bucket_spec("nowhere") is None
            assert await store.ensure_bucket(bucket_name, ring) is True
            assert await store.ensure_bucket(bucket_name, ring) is False
            assert await store.bucket_spec(bucket_name) == ring
            assert bucket_name in await store.buckets()
            assert not [name for name in await store.buckets() if name.startswith("$")]
            await store.remove_bucket(bucket_name)
            assert bucket_name not in await store.buckets()
            with pytest.raises(NotFound):
                await store.remove_bucket("nowhere")

    asyncio.run(act())


def test_buckets_made_by_two_at_once_are_right(opened: Callable, bucket_name: str) -> None:
    """Ten callers who want the same bucket at the same moment all succeed."""
    spec = BucketSpec("FIFO", 50_000_000)

    async def act() -> None:
        async with opened() as store:
            other = f"{bucket_name}-2"
            assert any(await asyncio.gather(*(store.ensure_bucket(other, spec) for _ in range(10))))
            assert await store.bucket_spec(other) == spec

    asyncio.run(act())


def test_entries_tell_their_range_and_no_folders(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Hundreds of entries are listed with count and times; the folders the engine invents are not among them."""
    drafts = [make_draft(f"cam/n{number:03d}/left", number + step) for number in range(300) for step in (0, 5)]

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, drafts)
            infos = await store.entries(bucket_name)
            assert [(info.name, info.records, info.oldest_us, info.latest_us) for info in infos] == [
                (f"cam/n{number:03d}/left", 2, number, number + 5) for number in range(300)
            ]

    asyncio.run(act())


def test_labels_are_added_to_many_records_at_once(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Existing labels and bytes stay, whatever labels the records had; what is missing is named."""
    drafts = [make_draft(f"e{n % 3}", n, **({"odd": "1"} if n % 2 else {"even": "x"})) for n in range(300)]

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, drafts)
            times = {f"e{k}": [n for n in range(300) if n % 3 == k] * 2 for k in range(3)}
            times["e0"] = [*times["e0"], 1]
            report = await store.relabel(bucket_name, times, {"keep": "1", "policy": "ab12"})
            assert report.done == 300
            assert [(item.entry, item.time_us, item.status) for item in report.refused] == [("e0", 1, 404)]
            got = {(r.entry, r.time_us): (r.data, r.labels) async for r in store.query(bucket_name)}
            assert got == {(d.entry, d.time_us): (d.data, d.labels | {"keep": "1", "policy": "ab12"}) for d in drafts}

    asyncio.run(act())


def test_deleting_counts_what_was_there(opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]) -> None:
    """Records go, their neighbours stay, absent ones do not count."""
    drafts = [make_draft("a", n) for n in range(200)]

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, drafts)
            assert await store.delete(bucket_name, "a", [*range(50, 190), 50, 999]) == 140
            left = [record.time_us async for record in store.query(bucket_name)]
            assert left == [*range(50), *range(190, 200)]
            assert (await store.write(bucket_name, drafts)).written == 140

    asyncio.run(act())


def test_attachments_are_written_once_and_replaced_by_key(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Many keys of one moment all stay; an equal value writes nothing, another one takes its place."""

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, [make_draft("a", 1)])
            assert await store.attachments(bucket_name, "a") == {}
            for number in range(20):
                await store.write_attachment(bucket_name, "a", f"key{number}", {"n": number, "text": "gr\u00fc\u00df"})
            kept = await _stamps(store, bucket_name)
            await store.write_attachment(bucket_name, "a", "key3", {"text": "gr\u00fc\u00df", "n": 3})
            assert await _stamps(store, bucket_name) == kept
            await store.write_attachment(bucket_name, "a", "key3", {"n": 33})
            found = await store.attachments(bucket_name, "a")
            assert found == {f"key{n}": {"n": n, "text": "gr\u00fc\u00df"} if n != 3 else {"n": 33} for n in range(20)}
            assert [record.entry async for record in store.query(bucket_name)] == ["a"]
            with pytest.raises(NotFound):
                await store.write_attachment("nowhere", "a", "schema", {})

    asyncio.run(act())


def test_attachments_of_many_entries_come_together(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Each of many entries has its own documents, and none where it has none."""

    async def act() -> None:
        async with opened() as store:
            names = [f"s{number}" for number in range(130)]
            await store.write(bucket_name, [make_draft(name, 1) for name in names])
            for name in (names[0], names[129]):
                await store.write_attachment(bucket_name, name, "schema", {"of": name})
            found = await store.attachments_of(bucket_name, names)
            assert list(found) == names
            documents = {name: kept for name, kept in found.items() if kept}
            assert documents == {name: {"schema": {"of": name}} for name in (names[0], names[129])}
            assert await store.attachments_of(bucket_name, []) == {}

    asyncio.run(act())


async def _stamps(store: Store, bucket: str) -> list[int]:
    return sorted([head.time_us async for head in store.query(bucket, ("a/$meta",), head=True)])


def test_two_writers_of_one_moment_keep_both_attachments(store_server, opened: Callable, bucket_name: str) -> None:
    """When another process stamped the same microsecond, the next one is taken."""

    class Standstill:
        def now_us(self) -> int:
            return 1_700_000_000_000_000

    async def act() -> None:
        async with opened(clock=Standstill()) as one, opened(clock=Standstill()) as two:
            await one.write_attachment(bucket_name, "a", "schema", {"n": 1})
            await two.write_attachment(bucket_name, "a", "units", {"n": 2})
            assert await one.attachments(bucket_name, "a") == {"schema": {"n": 1}, "units": {"n": 2}}

    asyncio.run(act())


def test_a_task_keeps_its_mode_and_token_through_a_change(opened: Callable, bucket_name: str) -> None:
    """A changed task is still paused; its token is never shown; a lone `**` reaches every entry."""
    spec = TaskSpec(
        bucket_name, bucket_name, f"{bucket_name}--there", "http://127.0.0.1:1", "secret", ("**",), {"$has": "keep"}
    )

    async def act() -> None:
        async with opened() as store:
            assert await store.task(bucket_name) is None
            await store.put_task(spec)
            await store._wire.admin.set_replication_mode(bucket_name, "paused")
            await store.put_task(replace(spec, when=None, entries=("cam/*", "!cam/raw"), dst_token=""))
            task = await store.task(bucket_name)
            assert task is not None
            assert task.spec == replace(spec, when=None, entries=("cam/*", "!cam/raw"), dst_token="")
            assert (task.mode, task.pending, task.provisioned) == ("paused", 0, False)
            assert bucket_name in [found.spec.name for found in await store.tasks()]
            assert "secret" not in repr(spec)
            await store.remove_task(bucket_name)
            assert await store.task(bucket_name) is None
            with pytest.raises(NotFound):
                await store.remove_task(bucket_name)

    asyncio.run(act())


def test_a_task_for_every_entry_ships_them_all(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], store_server
) -> None:
    """`**` in a task reaches entries with and without slashes: the engine alone would ship none of them."""
    there = f"{bucket_name}--there"
    spec = TaskSpec(bucket_name, bucket_name, there, store_server.url, store_server.token, ("**",))
    drafts = [make_draft(entry, 1) for entry in ("a", "a/b", "a/b/c")]

    async def act() -> None:
        async with opened() as store:
            await store.ensure_bucket(there, BucketSpec("NONE", 0))
            await store.put_task(spec)
            await store.write(bucket_name, drafts)
            async with asyncio.timeout(150):
                while len(await store.entries(there)) < 3:
                    pass  # each look is a request
            await store.remove_task(bucket_name)

    asyncio.run(act())


def test_a_token_opens_its_own_buckets_only(
    store_server, opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """A token made once stays; with other permissions it is replaced; a removed one is turned away."""
    mine = TokenSpec(f"t-{bucket_name}", (f"{bucket_name}*",), (f"{bucket_name}*",))

    async def act() -> None:
        async with opened() as store:
            value = await store.ensure_token(mine)
            assert value
            assert await store.ensure_token(mine) is None
            assert mine.name in await store.tokens()
            async with Store(store_server.url, value) as limited:
                assert await limited.whoami() == mine
                assert (await limited.write(bucket_name, [make_draft("a", 1)])).written == 1
                await store.ensure_bucket(f"x{bucket_name}", BucketSpec("NONE", 0))
                with pytest.raises(AccessDenied):
                    await limited.write(f"x{bucket_name}", [make_draft("a", 1)])
                with pytest.raises(AccessDenied):
                    await limited.tokens()
                wider = await store.ensure_token(replace(mine, full=True))
                assert wider not in (None, value)
                await store.remove_token(mine.name)
                with pytest.raises(AccessDenied):
                    await limited.whoami()
            assert (await store.whoami()).full

    asyncio.run(act())


def test_a_store_is_ready_or_says_why_not(store_server, opened: Callable) -> None:
    """wait_ready returns at once on a running store and gives the reason when the time is over."""

    async def act() -> None:
        async with opened() as store:
            await store.wait_ready(60)
            assert (await store.info()).version.startswith("1.")
        async with Store("http://127.0.0.1:1", None, name="r7") as away:
            with pytest.raises(Unreachable, match="r7"):
                await away.wait_ready(0.2)

    asyncio.run(act())
