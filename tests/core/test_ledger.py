"""The ledger's pages: packed small, read back the same, folded so that nothing once told is taken back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import InputError
from fleetbox.ledger import (
    MINUTE_US,
    Count,
    Drop,
    Ledger,
    Line,
    Page,
    Span,
    Standing,
    Tombstone,
    count_of,
    decode,
    encode,
    fold,
    minute_of,
    read_ledger,
    write_page,
)
from fleetbox.records import Head

NOW_US = 1_790_000_040_000_000
WIRE_BYTES = 64  # per stream-minute: what the issue of an audit may cost on a thin link


class Server(Protocol):
    """A real store."""

    url: str
    token: str


def _heads(*times_us: int) -> list[Head]:
    return [Head("b", "s", at, 100, {"xxh": f"{at:016x}"}, "x/y") for at in times_us]


def _line(stream: str = "imu", minute: int = 0, records: int = 12, **changes: object) -> Line:
    minute_us = minute_of(NOW_US) + minute * MINUTE_US
    held = count_of(_heads(*(minute_us + at for at in range(records))))
    span = Span("20261121t055117-3f2a", minute * 6_000, minute * 6_000 + 6_000, 6_000)
    line = Line("sensor", stream, minute_us, held, held, held, 6_000, minute_us + 3, minute_us + 55_000_000, (span,))
    return replace(line, **changes)  # type: ignore[arg-type]


@given(st.permutations(range(20)), st.integers(0, 20))
def test_a_count_is_the_sum_of_its_parts_in_any_order(order: list[int], cut: int) -> None:
    """Counting a set in two parts and any order gives the count of the whole."""
    heads = _heads(*order)
    assert count_of(heads[:cut]) + count_of(heads[cut:]) == count_of(_heads(*range(20)))


def test_counts_of_different_records_differ() -> None:
    """Another time, another size or another hash is another digest."""
    (head,) = _heads(7)
    others = (
        replace(head, time_us=8),
        replace(head, size=99),
        replace(head, labels={"xxh": "0"}),
    )
    assert len({count_of([head]).digest, *(count_of([other]).digest for other in others)}) == 4


def test_a_page_is_read_back_as_it_was_written() -> None:
    """Every field of lines, drops, standings and tombstones survives."""
    page = Page(
        "edge", "r1", NOW_US,
        (_line(), _line("cam/front", 1, 3, keep=Count(2, 200, 5), cloud=Count(1, 100, 4), partial=True, missing=7)),
        (Drop("media", "cam/front", "s", 5, 2, "spool full", NOW_US),),
        (Standing("edge", "sensor", "imu", NOW_US, 1, {"400 quota": 2}, {"evicted": 3}, 4),),
        (Tombstone("edge", "media", "cam/front", 1, 2, "ann"),),
    )  # fmt: skip
    assert decode(encode(page)) == page


def test_a_robot_of_31_streams_costs_little_on_the_wire() -> None:
    """A minute of 31 streams packs below the bound per stream-minute, digests included."""
    lines = tuple(_line(f"stream/{at}", records=at + 1) for at in range(31))
    assert len(encode(Page("edge", "r1", NOW_US, lines))) / 31 < WIRE_BYTES


@pytest.mark.parametrize("data", [b"", b"no page", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    """What is no page raises InputError."""
    with pytest.raises(InputError):
        decode(data)


def test_folding_keeps_the_last_word_and_the_most_ever_held() -> None:
    """A ring that turned over records takes nothing back of what was told."""
    full, later = _line(records=12), _line(records=4, partial=True)
    pages = [Page("r1", "r1", NOW_US + 5, (later,)), Page("r1", "r1", NOW_US, (full,))]
    folded = fold("r1", pages).of("r1")[full.key]
    assert (folded.line, folded.held) == (later, full.held)


def test_what_comes_to_a_minute_the_ring_has_turned_into_adds_to_what_was_told() -> None:
    """Selected, evicted in part, selected again: all that was ever selected is counted, digests included."""
    first, rest, late = (count_of(_heads(*times)) for times in ((1, 2, 3), (3,), (3, 4, 5)))
    steps = [_line(keep=first), _line(keep=rest, partial=True), _line(keep=late, partial=True)]
    pages = [Page("r1", "r1", NOW_US + at, (line,)) for at, line in enumerate(steps)]
    folded = fold("r1", [*pages, pages[-1]]).of("r1")[steps[0].key]
    assert folded.keep == count_of(_heads(1, 2, 3, 4, 5))
    assert folded.told_us == NOW_US + 2


def test_a_record_written_anew_is_counted_once() -> None:
    """Where no ring turned, a count that shrinks and grows again is a wrong record removed and brought again."""
    both, one = count_of(_heads(1, 2)), count_of(_heads(1))
    pages = [Page("edge", "r1", NOW_US + at, (_line(held=held),)) for at, held in enumerate((both, one, both))]
    assert fold("r1", pages).of("edge")[_line().key].held == both


def test_a_drop_told_twice_is_one_drop() -> None:
    """A recorder that repeats its drops after a restart adds nothing."""
    drop = Drop("media", "cam/front", "s", 5, 2, "spool full", NOW_US)
    pages = [Page("r1", "r1", NOW_US + at, drops=(drop,)) for at in range(2)]
    assert fold("r1", pages).drops == [drop]


def test_pages_of_one_moment_stand_beside_each_other(store_server: Server, bucket_name: str) -> None:
    """Two pages written in the same microsecond are both read back."""
    ledger = asyncio.run(_written_and_read(store_server, bucket_name))
    assert {key[1] for key in ledger.of("r1")} == {"a", "b"}
    assert {key[1] for key in ledger.of("edge")} == {"a"}


async def _written_and_read(server: Server, bucket_name: str) -> Ledger:
    async with Store(server.url, server.token) as store:
        await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
        for stream in ("a", "b"):
            await write_page(store, bucket_name, Page("r1", "r1", NOW_US, (_line(stream),)))
        await write_page(store, bucket_name, Page("edge", "r1", NOW_US, (_line("a"),)))
        return await read_ledger(store, bucket_name, "r1")
