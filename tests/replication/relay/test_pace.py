"""Pacing: a cap that is kept, an order of classes that is kept, nobody left waiting for ever."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox_replication.relay import Pace
from fleetbox_replication.relay.turns import EVERY, LONG_S, Waiting, next_turn

RATE = 2_000_000  # bytes/s


async def _send(pace: Pace, bucket: str, size: int, sent: list[tuple[float, str, int]]) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * size

    async for piece in pace.pieces(body(), bucket):
        sent.append((time.monotonic(), bucket, len(piece)))


def test_the_cap_is_kept_within_a_tenth() -> None:
    """Four senders together get the cap, neither less nor more, in every second of the run."""

    async def rate() -> float:
        pace, sent = Pace(RATE), []
        started = time.monotonic()
        await asyncio.gather(*(_send(pace, f"r{n}--sensor", RATE // 2, sent) for n in range(4)))
        took_s = time.monotonic() - started
        assert sum(size for _, _, size in sent) == 2 * RATE
        for start, *_ in sent:
            within = sum(size for at, _, size in sent if start <= at < start + 1.0)
            assert within <= 1.6 * RATE  # a second: the cap, a piece, and what a busy loop may make good
        return 2 * RATE / took_s

    rates = [asyncio.run(rate())]
    while rates[-1] < 0.9 * RATE and len(rates) < 20:  # others had the processor meanwhile
        rates.append(asyncio.run(rate()))
    assert rates[-1] == pytest.approx(RATE, rel=0.1)
    assert max(rates) <= 1.1 * RATE


def test_a_higher_class_overtakes_in_mid_batch() -> None:
    """While pictures fill the uplink, an event passes at once, though the pictures came first."""

    async def run() -> None:
        pace, sent = Pace(RATE), []
        pictures = [asyncio.create_task(_send(pace, "r1--media", RATE, sent)) for _ in range(8)]
        await asyncio.sleep(0.2)
        before = len(sent)
        await _send(pace, "r1--meta", RATE // 10, sent)
        assert sum(size for *_, size in sent[before:]) < RATE, "its own, and a piece of another's that was on its way"
        while pace.waiting < 8:  # noqa: ASYNC110 - one was granted a piece together with the event's last
            await asyncio.sleep(0)
        for picture in pictures:
            picture.cancel()
        await asyncio.gather(*pictures, return_exceptions=True)
        assert pace.waiting == 0

    asyncio.run(run())


def test_cap_and_order_change_while_somebody_waits() -> None:
    """A new cap and a new order count from the next piece on; without a cap nobody waits."""

    async def run() -> None:
        pace, sent = Pace(1_000), []
        slow = asyncio.create_task(_send(pace, "r1--media", 100_000, sent))
        await asyncio.sleep(0.1)
        pace.max_bytes_s = None
        async with asyncio.timeout(60):  # with its cap it would take a hundred
            await slow
        pace.max_bytes_s = RATE
        pace.order = ("media",)
        assert pace.order == ("media", "meta", "log", "sensor", "small", "kept")
        assert pace.rank("r1--media") == 0
        assert pace.rank("foreign") == len(pace.order)

    asyncio.run(run())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 200))
def test_the_highest_class_is_served_and_nobody_starves(ranks: list[int], seed: int) -> None:
    """Whoever waits, in whatever order: the first of the best class goes, and who waits long goes every fourth time."""
    waiting = [Waiting(rank, LONG_S - 1) for rank in ranks]
    assert ranks[next_turn(waiting, seed)] == min(ranks)
    assert next_turn(waiting, seed) == ranks.index(min(ranks))
    waited = [Waiting(rank, LONG_S + len(ranks) - index) for index, rank in enumerate(ranks)]
    assert next_turn(waited, EVERY) == 0
    assert ranks[next_turn(waited, EVERY + 1)] == min(ranks)


def test_a_flood_of_events_leaves_a_quarter_to_pictures() -> None:
    """With the uplink full of a higher class for ever, a lower one still moves."""

    async def run() -> None:
        pace, sent = Pace(RATE), []
        events = [asyncio.create_task(_send(pace, "r1--meta", 10 * RATE, sent)) for _ in range(3)]
        pictures = asyncio.create_task(_send(pace, "r1--media", 10 * RATE, sent))
        late = Counter[str]()
        while late.total() < 2 * RATE:  # by what has left, not by the clock: others may have the processor
            await asyncio.sleep(0.1)
            late = Counter[str]()
            for at, bucket, size in sent:
                late[bucket] += size if at > sent[0][0] + LONG_S else 0
        for task in (*events, pictures):
            task.cancel()
        await asyncio.gather(*events, pictures, return_exceptions=True)
        assert 0 < late["r1--media"] < late["r1--meta"] / 2

    asyncio.run(run())
