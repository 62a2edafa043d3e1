"""Let one stream circle in memory: its last seconds in cells, of which a window may be claimed for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from fleetbox_edge.bulk import Piece
from fleetbox_edge.lanes import NEVER, Lane
from fleetbox_edge.packing import Shape
from fleetbox_edge.parcels import Address

CELL_ITEMS = 128  # a minute of a 1 kHz stream is 470 cells: a window is claimed without looking at every row
CELL_US = 250_000  # µs; how exactly the oldest end is cut
ITEM_BYTES = 240  # what Python keeps beside the bytes of a row or blob (measured: tuple, stamp, header)
SLACK_US = 2_000_000  # µs kept beyond the ring's span: an event of another process takes up to a second to get here


class Item(NamedTuple):
    """Hold one row, blob or piece of columns with its final stamps in µs, and no number yet."""

    time_us: int
    stop_us: int
    address: Address
    shape: Shape | None  # of a row; None for blobs and pieces
    data: bytes | Piece

    @property
    def rows(self) -> int:
        """Return the rows or blobs in it."""
        return self.data.rows if isinstance(self.data, Piece) else 1

    @property
    def size(self) -> int:
        """Return the bytes of memory it is charged for."""
        return ITEM_BYTES + len(self.data.data if isinstance(self.data, Piece) else self.data)


@dataclass(frozen=True, slots=True)
class Window:
    """Say which time an event wants on the disk, in µs, both ends included."""

    event: str
    start_us: int
    stop_us: int

    def holds(self, item: Item) -> bool:
        """Tell whether an item reaches into it."""
        return item.time_us <= self.stop_us and item.stop_us >= self.start_us


@dataclass(eq=False, slots=True)
class Cell:
    """Hold items that came one after the other, and between which stamps in µs they lie; `came_us` is monotonic."""

    came_us: int
    items: list[Item] = field(default_factory=list)
    size: int = 0
    rows: int = 0
    first_us: int = 1 << 62
    last_us: int = -1
    torn: bool = False  # what came right before its first item went to the disk by itself: another chunk holds it

    def add(self, item: Item) -> int:
        """Append an item; return its bytes."""
        size = item.size
        self.items.append(item)
        self.size += size
        self.rows += item.rows
        if item.time_us < self.first_us:
            self.first_us = item.time_us
        if item.stop_us > self.last_us:
            self.last_us = item.stop_us
        return size

    def runs(self, wanted: Callable[[Item], bool]) -> Iterator[tuple[bool, Cell]]:
        """Yield its stretches of items that are wanted, and of those that are not, in their order."""
        for yes, items in groupby(self.items, wanted):
            run = Cell(self.came_us)
            for item in items:
                run.add(item)
            yield yes, run


@dataclass(slots=True)
class Memory:
    """Count the bytes that all rings of a process hold."""

    bytes: int = 0


@dataclass(eq=False, slots=True)
class RamRing:
    """Hold what circles of one stream, and what of it waits for the disk because an event claimed it.

    Items enter in the order in which they came and leave in it, each once: to the disk, or by growing old. `back` is
    the lane by which they reach the disk. Not thread-safe: the session's lock guards it.
    """

    stream: str
    span_us: int
    back: Lane
    memory: Memory
    cells: deque[Cell] = field(default_factory=deque)  # what circles, the oldest first
    claimed: deque[Cell] = field(default_factory=deque)  # what waits for the disk
    windows: list[Window] = field(default_factory=list)
    leaving: bool = False  # the policy wants it on the disk from now on: everything is claimed
    gone_us: int = NEVER  # the newest stamp in µs of what is not here any more, NEVER until something came at all
    rows: int = 0  # rows and blobs in memory, claimed ones included

    def wants(self, item: Item) -> bool:
        """Tell whether an item belongs on the disk."""
        return self.leaving or (bool(self.windows) and any(window.holds(item) for window in self.windows))

    def add(self, item: Item, now_us: int, *, claimed: bool) -> None:
        """Take an item in; now_us: monotonic."""
        cells = self.claimed if claimed else self.cells
        last = cells[-1] if cells else None
        if last is None or len(last.items) >= CELL_ITEMS or now_us - last.came_us >= CELL_US:
            last = Cell(now_us)
            cells.append(last)
        self.memory.bytes += last.add(item)
        self.rows += item.rows

    def claim(self, window: Window) -> None:
        """Have what an event wants of the past go to the disk, and what comes until its window ends."""
        self.windows.append(window)
        stay: deque[Cell] = deque()
        torn = False
        for cell in self.cells:
            for wanted, run in self._runs(cell, window):
                run.torn = run.torn or (torn and not wanted)
                torn = wanted
                (self.claimed if wanted else stay).append(run)
        self.cells = stay

    def claim_all(self) -> None:
        """Have all of it go to the disk, and what comes from now on."""
        self.leaving = True
        self.claimed.extend(self.cells)
        self.cells.clear()

    def oldest_claimed_us(self) -> int | None:
        """Return the oldest stamp in µs that waits for the disk."""
        return min((cell.first_us for cell in self.claimed), default=None)

    def take(self) -> tuple[Item, bool] | None:
        """Take out the next item that waits for the disk, and tell whether a chunk has to begin with it."""
        if not self.claimed:
            return None
        cell = self.claimed[0]
        item, torn = cell.items.pop(0), cell.torn
        cell.torn = False
        self.memory.bytes -= item.size
        self.rows -= item.rows
        if not cell.items:
            self.claimed.popleft()
        return item, torn

    def drop_oldest(self) -> int:
        """Forget the oldest cell that circles; return its rows and blobs."""
        cell = self.cells.popleft()
        self.memory.bytes -= cell.size
        self.rows -= cell.rows
        self.gone_us = max(self.gone_us, cell.last_us)
        return cell.rows

    def expire(self, now_us: int) -> int:
        """Forget what has circled longer than the span; return how many rows and blobs. now_us: monotonic."""
        gone = 0
        while self.cells and now_us - self.cells[0].came_us > self.span_us + SLACK_US + CELL_US:
            gone += self.drop_oldest()
        return gone

    def close_windows(self, before_us: int) -> None:
        """Forget windows that ended before a stamp in µs."""
        self.windows = [window for window in self.windows if window.stop_us >= before_us]

    def _runs(self, cell: Cell, window: Window) -> Iterable[tuple[bool, Cell]]:
        if window.start_us <= cell.first_us and cell.last_us <= window.stop_us:
            return [(True, cell)]
        if cell.last_us < window.start_us or cell.first_us > window.stop_us:
            return [(False, cell)]
        runs = list(cell.runs(window.holds))
        runs[0][1].torn = cell.torn
        return runs
