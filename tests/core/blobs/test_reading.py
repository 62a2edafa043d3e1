"""What is read is what was written, entry by entry and byte by byte."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

import pytest

from fleetbox.blobs import Store
from fleetbox.blobs.reading import cut
from fleetbox.errors import AccessDenied, InputError, NotFound, StoreRefused, Unreachable
from fleetbox.records import Draft


@pytest.mark.parametrize("size", [6, 30_000, 200_000])
def test_interleaved_entries_keep_their_own_payloads(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], size: int
) -> None:
    """Records of entries that take turns come back, each entry in time order, with their own bytes, labels and type."""
    drafts = [make_draft(f"s{n % 3}", 1_000 + n // 2, f"{n:06d}".encode() * (size // 6), n=str(n)) for n in range(120)]
    drafts = list({(item.time_us, item.entry): item for item in drafts}.values())
    random.shuffle(drafts)

    async def act() -> None:
        async with opened() as store:
            assert (await store.write(bucket_name, drafts)).written == len(drafts)
            got = [record async for record in store.query(bucket_name)]
            for entry in ("s0", "s1", "s2"):
                wanted = sorted((d for d in drafts if d.entry == entry), key=lambda item: item.time_us)
                assert [(r.time_us, r.data, r.labels, r.content_type) for r in got if r.entry == entry] == [
                    (d.time_us, d.data, d.labels, d.content_type) for d in wanted
                ]

    asyncio.run(act())


def test_a_range_begins_at_zero_and_ends_before_its_stop(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Zero is a time like any other, the stop is not included, and a condition on labels narrows it further."""
    drafts = [make_draft("a", n, keep=str(n % 2)) for n in range(10)]

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, drafts)

            async def times(**range_: object) -> list[int]:
                return [head.time_us async for head in store.query(bucket_name, ("a",), head=True, **range_)]

            assert await times(start_us=0) == list(range(10))
            assert await times(start_us=0, stop_us=3) == [0, 1, 2]
            assert await times(start_us=4, stop_us=0) == []
            assert await times(start_us=4, when={"$has": "keep", "&keep": {"$eq": 1}}) == [5, 7, 9]
            assert (await store.read(bucket_name, "a", 0)).data == drafts[0].data
            assert (await store.head(bucket_name, "a", 0)).size == 40

    asyncio.run(act())


def test_entries_outside_the_range_do_not_spoil_it(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Open ranges over many entries work when some of them, or the engine's empty folders, have nothing there."""
    drafts = [make_draft("a", 100), make_draft("a", 200), make_draft("b", 900), make_draft("c/d", 5)]

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, drafts)

            async def times(**range_: object) -> list[int]:
                return [head.time_us async for head in store.query(bucket_name, head=True, **range_)]

            assert await times() == [5, 100, 200, 900]
            assert await times(stop_us=50) == [5]
            assert await times(start_us=300) == [900]
            assert await times(start_us=5_000) == []

    asyncio.run(act())


def test_what_is_not_there_is_said(opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]) -> None:
    """A missing bucket, entry or record is NotFound; an entry without records reads as empty."""

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, [make_draft("a", 1)])
            for bucket, entry, time_us in [("nowhere", "a", 1), (bucket_name, "b", 1), (bucket_name, "a", 2)]:
                with pytest.raises(NotFound):
                    await store.head(bucket, entry, time_us)
                with pytest.raises(NotFound):
                    await store.read(bucket, entry, time_us)
            assert [record async for record in store.query(bucket_name, ("b",))] == []
            with pytest.raises(NotFound, match="nowhere"):
                _ = [record async for record in store.query("nowhere")]
            with pytest.raises(NotFound, match="nowhere"):
                await store.entries("nowhere")

    asyncio.run(act())


def test_a_half_written_record_is_no_answer(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable
) -> None:
    """HEAD says 425 for it and a query leaves it out."""
    drafts = [make_draft("a", n, bytes(1000)) for n in range(4)]

    async def act() -> None:
        async with opened() as store:
            tear(drafts, 2_500)
            with pytest.raises(StoreRefused) as refusal:
                await store.head(bucket_name, "a", 3)
            assert refusal.value.status == 425
            assert 3 not in [head.time_us async for head in store.query(bucket_name, head=True)]

    asyncio.run(act())


def test_leaving_a_query_early_frees_its_connection(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a single connection allowed, an abandoned and an unfinished query stand in nobody's way."""
    monkeypatch.setattr("fleetbox.blobs.wire.POOL", 1)

    async def act() -> None:
        async with opened(timeout_s=90.0) as store:
            await store.write(bucket_name, [make_draft("a", n, bytes(200_000)) for n in range(200)])
            left = store.query(bucket_name)
            await anext(left)
            await left.aclose()
            paused = store.query(bucket_name)
            first = await anext(paused)
            assert len(await store.entries(bucket_name)) == 1
            assert [first.time_us, *[record.time_us async for record in paused]] == list(range(200))

    asyncio.run(act())


def test_a_wrong_token_is_turned_away(store_server, bucket_name: str) -> None:
    """AccessDenied comes from every kind of call, and never shows the token."""

    async def act() -> None:
        async with Store(store_server.url, "wrong-secret", name="r7") as store:
            for call in (store.buckets(), store.entries(bucket_name), store.head(bucket_name, "a", 1), store.tasks()):
                with pytest.raises(AccessDenied, match="r7") as denied:
                    await call
                assert "wrong-secret" not in str(denied.value)

    asyncio.run(act())


def test_silence_ends_in_time() -> None:
    """A server that takes the connection and never answers is Unreachable after the timeout, for every call."""

    async def act(port: int) -> None:
        big = [Draft("a", 1, bytes(10_000), {}, "")]
        async with Store(f"http://127.0.0.1:{port}", None, timeout_s=0.2, name="r7") as store, asyncio.timeout(60):
            for call in (store.info(), store.entries("b"), store.write("b", big), store.read("b", "a", 1)):
                with pytest.raises(Unreachable, match=f"r7.*{port}"):
                    await call

    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts, nobody reads
        asyncio.run(act(silent.getsockname()[1]))


def test_a_payload_of_any_size_streams_both_ways(opened: Callable, bucket_name: str) -> None:
    """70 MB written from parts are read back in parts, equal; the second time they are there already."""
    part = random.randbytes(1_000_000)
    labels = {"xxh": "0123456789abcdef"}

    async def parts(count: int):
        for number in range(count):
            yield number.to_bytes(4, "big") + part[4:]

    async def act() -> None:
        async with opened() as store:
            for written in (True, False):
                told = await store.write_stream(
                    bucket_name, "big", 7, parts(70), 70_000_000, labels, "application/mcap"
                )
                assert told is written
            head = await store.head(bucket_name, "big", 7)
            assert (head.size, head.labels, head.content_type) == (70_000_000, labels, "application/mcap")
            position = 0
            expected = b"".join([item async for item in parts(70)])
            async for piece in store.read_stream(bucket_name, "big", 7):
                assert piece == expected[position : position + len(piece)]
                assert len(piece) <= 1 << 20
                position += len(piece)
            assert position == 70_000_000

    asyncio.run(act())


@pytest.mark.parametrize("announced", [2_500_000, 3_500_000])
def test_a_stream_of_the_wrong_length_leaves_nothing_behind(opened: Callable, bucket_name: str, announced: int) -> None:
    """More or fewer bytes than announced are the caller's error, and the right write works afterwards."""

    async def parts():
        for _ in range(3):
            yield bytes(1_000_000)

    async def act() -> None:
        async with opened() as store:
            with pytest.raises(InputError, match="announced"):
                await store.write_stream(bucket_name, "big", 7, parts(), announced, {}, "")
            assert await store.write_stream(bucket_name, "big", 7, parts(), 3_000_000, {}, "")
            assert (await store.head(bucket_name, "big", 7)).size == 3_000_000

    asyncio.run(act())


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100])
def test_payloads_are_cut_out_of_pieces(piece: int) -> None:
    """However a body comes, each payload is its own bytes; one that ends early is an error."""
    wanted = [b"abc", b"", b"defghij", b"k", b"lmnop", b""]
    body = b"".join(wanted)
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    assert list(cut(pieces, [len(one) for one in wanted])) == wanted
    with pytest.raises(asyncio.IncompleteReadError):
        list(cut(pieces, [*map(len, wanted), 1]))
