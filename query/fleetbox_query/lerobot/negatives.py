"""Hold pictures as they were recorded, read by blocks ahead of those asked for; decide what to read as a block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleetbox_query.items import Item

Spot = tuple[str, int, int]  # feature, interval, µs stamp
BLOCK_BYTES = 4_000_000  # a query of so much takes some 20 ms; its first record would take 5 ms alone
MOST_FRAMES = 64  # of a block: a batch, as people train
FILM_FRAMES = 256  # of a block of videos: the 10 s that one spans at 30 Hz, as it decodes from its beginning only
AHEAD = 16  # blocks: with so many workers, each one's batches lie so far apart


@dataclass(frozen=True, slots=True)
class Block:
    """Name the frames [first, first + length) of a feature; `spots` are the pictures wanted of them."""

    feature: str
    first: int
    length: int
    spots: frozenset[Spot]


def block_length(size_bytes: int, film: bool) -> int:
    """Return how many frames a block has, a power of two, by the size of one picture."""
    if film:
        return FILM_FRAMES
    fitting = max(1, min(MOST_FRAMES, BLOCK_BYTES // max(1, size_bytes)))
    return 1 << (fitting.bit_length() - 1)


def reads_block(first: int, length: int, size_bytes: int, last: int | None, room_bytes: int) -> bool:
    """Tell whether to read a whole block: where it stays until it is asked for, or is the next one on the way.

    last: the first frame of the block read before. A block that has no room would be read for one picture of it.
    """
    if length * size_bytes <= room_bytes:
        return True
    return last is not None and 0 < first - last <= AHEAD * length


class Negatives:
    """Hold undecoded pictures up to `most_bytes`; the block read longest ago goes first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._items: dict[Spot, Item] = {}
        self._blocks: dict[tuple[Spot, ...], None] = {}
        self._bytes = 0

    @property
    def room_bytes(self) -> int:
        """Return how much more fits."""
        return self._most_bytes - self._bytes

    def get(self, spot: Spot) -> Item | None:
        """Return a picture that was read, or None."""
        return self._items.get(spot)

    def put(self, blocks: Iterable[Mapping[Spot, Item]]) -> None:
        """Take blocks that were read together: they stay, however much they are, until the next ones come."""
        came = list(blocks)
        coming = sum(_size(item) for found in came for item in found.values())
        while self._blocks and self._bytes + coming > self._most_bytes:
            for spot in (oldest := next(iter(self._blocks))):
                self.drop(spot)
            del self._blocks[oldest]
        for found in came:
            for spot, item in found.items():
                self.drop(spot)
                self._items[spot] = item
                self._bytes += _size(item)
            self._blocks[tuple(found)] = None

    def drop(self, spot: Spot) -> None:
        """Let a picture go: it is held decoded."""
        if (item := self._items.pop(spot, None)) is not None:
            self._bytes -= _size(item)


def _size(item: Item) -> int:
    return len(item.data or b"")
