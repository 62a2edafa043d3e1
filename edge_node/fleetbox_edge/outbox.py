"""Hold what is accepted and not yet acknowledged, per class, bounded in memory."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import cast

from fleetbox.ledger import Drop
from fleetbox.naming import Class
from fleetbox_edge.drops import DropBook
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.spool import LEAST_VALUABLE_FIRST

BATCH_RECORDS = 80  # the engine's own limit of one batch
BATCH_BYTES = 8_000_000  # the engine's own limit of one batch


class Outbox:
    """Queue parcels for the writer and account for every one of them.

    Not thread-safe: the session's lock guards it. `on_full(cls)` is told when a batch is complete.
    """

    def __init__(self, memory_bytes: int, on_full: Callable[[str], None]) -> None:
        self.memory_bytes = memory_bytes
        self.held_bytes = 0
        self.heavy: deque[Parcel] = deque()  # rows beyond the bound: to be packed into the spool, out of memory
        self.drops = DropBook()
        self.acknowledged = 0
        self._on_full = on_full
        self._queues: dict[str, deque[Parcel]] = {cls: deque() for cls in LEAST_VALUABLE_FIRST}
        self._waiting_bytes: Counter[str] = Counter()
        self._outstanding: dict[int, Parcel] = {}
        self._told: set[str] = set()
        self._numbers = 0

    @property
    def last_number(self) -> int:
        """Return the number of the newest parcel."""
        return self._numbers

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel; beyond the memory bound its payload is read back from the spool later."""
        self._numbers += 1
        parcel.number = self._numbers
        self._outstanding[parcel.number] = parcel
        for segment in parcel.segments:
            segment.units.add(parcel)
        if self.held_bytes + parcel.size > self.memory_bytes and parcel.segments:
            if parcel.place is not None:
                parcel.body = None
            else:
                self.heavy.append(parcel)
        if parcel.place is None or parcel.body is not None:
            parcel.held = parcel.size
            self.held_bytes += parcel.size
        cls = parcel.address.cls
        self._queues[cls].append(parcel)
        self._waiting_bytes[cls] += parcel.size
        if cls not in self._told and self.is_full(cls):
            self._told.add(cls)
            self._on_full(cls)

    def is_full(self, cls: str) -> bool:
        """Tell whether a whole batch waits."""
        return len(self._queues[cls]) >= BATCH_RECORDS or self._waiting_bytes[cls] >= BATCH_BYTES

    def take(self, cls: str) -> list[Parcel]:
        """Take the next batch of a class; one record per stream and stamp, as the engine mixes up equal ones."""
        queue, size = self._queues[cls], 0
        batch: list[Parcel] = []
        keys: set[tuple[str, int]] = set()
        self._told.discard(cls)
        while queue and len(batch) < BATCH_RECORDS:
            parcel = queue[0]
            key = (parcel.address.stream, parcel.time_us)
            if batch and (size + parcel.size > BATCH_BYTES or key in keys):
                break
            queue.popleft()
            self._waiting_bytes[cls] -= parcel.size
            if parcel.state == "waiting":
                parcel.state = "taken"
                size += parcel.size
                keys.add(key)
                batch.append(parcel)
        return batch

    def begin(self, parcel: Parcel) -> bool:
        """Note that a parcel is on the wire; False when its account is closed and it is not to be sent."""
        if parcel.state != "taken":
            return False
        parcel.state = "sending"
        return True

    def end(self, parcel: Parcel) -> None:
        """Note that a parcel is off the wire and not acknowledged."""
        if parcel.state == "sending":
            parcel.state = "taken"
            parcel.again = True
            if parcel.doomed:
                self.lose(parcel, parcel.doomed)

    def acknowledge(self, parcel: Parcel) -> None:
        """Close a parcel's account: it is readable in the store."""
        if self._close(parcel, "done"):
            self.acknowledged += parcel.count

    def lose(self, parcel: Parcel, reason: str) -> None:
        """Close a parcel's account as a counted drop."""
        if self._close(parcel, "lost"):
            to = parcel.address
            cls = cast("Class", to.cls)
            self.drops.note(Drop(cls, to.stream, to.session, parcel.seq, parcel.count, reason, parcel.time_us))

    def relieve(self, parcel: Parcel) -> None:
        """Take a parcel's payload off the memory account: the spool has it as a finished record."""
        parcel.parts = []
        self.held_bytes -= parcel.held
        parcel.held = 0

    def outstanding(self, upto: int | None = None) -> list[Parcel]:
        """Return what is not acknowledged, up to a parcel's number."""
        return [p for p in self._outstanding.values() if upto is None or p.number <= upto]

    def is_clear(self, upto: int) -> bool:
        """Tell whether everything up to a parcel's number is acknowledged or lost."""
        first = next(iter(self._outstanding), None)
        return first is None or first > upto

    def oldest_us(self) -> int | None:
        """Return the oldest stamp that is not acknowledged."""
        return min((parcel.time_us for parcel in self._outstanding.values()), default=None)

    def _close(self, parcel: Parcel, state: str) -> bool:
        if self._outstanding.pop(parcel.number, None) is None:
            return False
        parcel.state = state
        parcel.body, parcel.parts = None, []
        self.held_bytes -= parcel.held
        parcel.held = 0
        for segment in parcel.segments:
            segment.units.discard(parcel)
        return True
