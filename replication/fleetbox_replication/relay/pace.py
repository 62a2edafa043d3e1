"""Pace what leaves for a destination: a cap in bytes per second, shared out piece by piece, higher classes first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from fleetbox.naming import CLASSES, split_bucket
from fleetbox.settings.uplink import ORDER
from fleetbox_replication.relay.turns import Waiting, next_turn

LARGEST_PIECE = 256 * 1024  # bytes; at 100 MB/s it is 400 turns a second, which costs next to nothing
SMALLEST_PIECE = 4 * 1024  # bytes; below it headers outweigh bodies
PIECE_S = 0.05  # of the cap in one piece: what goes out of turn holds up a higher class no longer than this
CATCH_UP_S = 0.5  # of the cap that may be made good after a busy moment: 5 % of any ten seconds


@dataclass(eq=False, slots=True)
class _Taker:
    rank: int
    size: int
    since_s: float
    granted: asyncio.Future[None] = field(repr=False)


class Pace:
    """Share a cap among everybody who sends; both cap and order may be changed at any time.

    `max_bytes_s` is None for no cap: then nobody waits. `order` names classes, the first to be served first; those
    it leaves out follow in the usual order, and buckets of no class come last. A lower class is never starved: every
    fourth piece goes to who has waited longest, once that is too long (`turns`).

    Example:
        pace = Pace(1_000_000)
        await pace.take(len(data), "r7--sensor")
    """

    def __init__(self, max_bytes_s: int | None = None, order: Sequence[str] = ORDER) -> None:
        self._max_bytes_s = max_bytes_s
        self._ranks: dict[str, int] = {}
        self.order = tuple(order)
        self._waiting: deque[_Taker] = deque()
        self._free_s = 0.0  # when the bytes granted so far have left at the cap
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None
        self.sent_bytes = 0

    @property
    def max_bytes_s(self) -> int | None:
        """Return the cap in bytes per second, None for none."""
        return self._max_bytes_s

    @max_bytes_s.setter
    def max_bytes_s(self, value: int | None) -> None:
        self._max_bytes_s = value
        if self._waiting:
            self._free_s = 0.0  # what was granted under the old cap is behind us
            self._serve()

    @property
    def order(self) -> tuple[str, ...]:
        """Return all classes, the first to be served first."""
        return tuple(self._ranks)

    @order.setter
    def order(self, order: Sequence[str]) -> None:
        self._ranks = {cls: rank for rank, cls in enumerate(dict.fromkeys([*order, *ORDER]))}

    @property
    def piece_bytes(self) -> int:
        """Return how many bytes to send at once."""
        if self._max_bytes_s is None:
            return LARGEST_PIECE
        return max(SMALLEST_PIECE, min(LARGEST_PIECE, int(self._max_bytes_s * PIECE_S)))

    @property
    def waiting(self) -> int:
        """Count who waits for a turn."""
        return len(self._waiting)

    def rank(self, bucket: str) -> int:
        """Return the place of a bucket's class in the order, 0 for the first."""
        split = split_bucket(bucket)
        cls = split[1] if split else bucket if bucket in CLASSES else ""
        return self._ranks.get(cls, len(self._ranks))

    async def take(self, size: int, bucket: str) -> None:
        """Wait until `size` bytes for a bucket may leave; returns at once without a cap."""
        self.sent_bytes += size
        if self._max_bytes_s is None or size <= 0:
            return
        loop = asyncio.get_running_loop()
        taker = _Taker(self.rank(bucket), size, loop.time(), loop.create_future())
        self._waiting.append(taker)
        if self._timer is None:
            self._serve()
        try:
            await taker.granted
        finally:
            if not taker.granted.done() or taker.granted.cancelled():
                self._give_up(taker)

    async def pieces(self, body: AsyncIterator[bytes | memoryview], bucket: str) -> AsyncIterator[bytes | memoryview]:
        """Yield a body in pieces, each when its turn has come."""
        async for chunk in body:
            view = memoryview(chunk)
            start = 0
            while start < len(view):
                piece = view[start : start + self.piece_bytes]
                if self._max_bytes_s is None:
                    self.sent_bytes += len(piece)
                else:
                    await self.take(len(piece), bucket)
                yield piece
                start += len(piece)

    def _give_up(self, taker: _Taker) -> None:
        if taker in self._waiting:
            self._waiting.remove(taker)

    def _serve(self) -> None:
        """Grant turns until the cap is used up, and come back when it is free again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if now_s - self._free_s > CATCH_UP_S:  # nobody had anything to send: what was not used is gone
            self._free_s = now_s
        while self._waiting and (self._max_bytes_s is None or self._free_s <= now_s):
            taker = self._next(now_s)
            self._waiting.remove(taker)
            if self._max_bytes_s:
                self._free_s += taker.size / self._max_bytes_s
            if not taker.granted.done():
                taker.granted.set_result(None)
        if self._waiting:
            self._timer = loop.call_at(self._free_s, self._serve)

    def _next(self, now_s: float) -> _Taker:
        self._turn += 1
        waiting = [Waiting(taker.rank, now_s - taker.since_s) for taker in self._waiting]
        return self._waiting[next_turn(waiting, self._turn)]
