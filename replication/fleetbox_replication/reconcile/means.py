"""What the parts of one reconciler share: its two stores, its relay, what it knows, its clocks and its counts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fleetbox.blobs import Store
from fleetbox_replication.dead_letters import DeadLetter, DeadLetters
from fleetbox_replication.reconcile.copying import Copier
from fleetbox_replication.reconcile.hop import Hop
from fleetbox_replication.reconcile.listing import Ends
from fleetbox_replication.reconcile.proofs import Proofs
from fleetbox_replication.reconcile.rhythm import Rhythm
from fleetbox_replication.reconcile.state import State
from fleetbox_replication.relay.pace import Pace

LETTERS = 10_000  # looked through at a time; what is open beyond them comes when these are settled


class Passage(Protocol):
    """What the reconciler needs of the relay beside which it works."""

    @property
    def cuts(self) -> int:
        """Tell how many requests the source broke off."""

    def brought(self, records: int) -> None:
        """Count records that were brought without a task."""

    def turn(self, bucket: str, entry: str) -> AbstractAsyncContextManager[Any]:
        """Give one entry of the destination to one writer at a time."""


@dataclass(frozen=True, slots=True)
class Route:
    """Say between which places a reconciler works, by name, and in which folder it keeps its state."""

    place: str
    site: str
    state: Path | None = None

    @property
    def file(self) -> Path | None:
        """Return the file of the state; None keeps it in memory."""
        return self.state / f"reconcile-{self.site}.sqlite" if self.state else None


@dataclass(frozen=True, slots=True)
class Options:
    """Say what may be otherwise: dead letters, times, and where time comes from."""

    letters: DeadLetters | None = None
    rhythm: Rhythm = field(default_factory=Rhythm)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic_s: Callable[[], float] = time.monotonic
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000


@dataclass(slots=True)
class Means:
    """Hold what is shared. `source` gives the open store, `make_there` a new one of the destination."""

    source: Callable[[], Store]
    make_there: Callable[[], Store]
    relay: Passage
    route: Route
    options: Options
    state: State
    proofs: Proofs = field(default_factory=Proofs)
    counts: Counter[str] = field(default_factory=Counter)
    brought: Counter[str] = field(default_factory=Counter)  # by robot: records that a task had not brought
    _far: Store | None = None

    @property
    def there(self) -> Store:
        """Return the destination's store, kept: it remembers since when a record there is half-written."""
        self._far = self._far or self.make_there()
        return self._far

    async def let_go(self) -> None:
        """Close the destination's store; the next use opens it again, with the token as it stands then."""
        far, self._far = self._far, None
        if far is not None:
            await far.close()

    def copier(self, hop: Hop) -> Copier:
        """Return what copies over a hop: in turn with its task, within the cap of the uplink."""
        return Copier(Ends(hop.spec, self.source(), self.there), self.relay.turn, self._pay)

    async def _pay(self, size: int, bucket: str) -> None:
        """Wait until so many bytes may leave, a piece at a time, so that higher classes come in between."""
        pace: Pace | None = getattr(self.relay, "pace", None)
        while pace is not None and size > 0:
            piece = min(size, pace.piece_bytes)
            await pace.take(piece, bucket)
            size -= piece

    def refusing(self, bucket: str) -> int | None:
        """Return the status with which the destination refuses a bucket just now, or None."""
        ask = getattr(self.relay, "refusing", None)
        found = ask(bucket) if ask is not None else None
        return None if found is None else int(found.status)

    def letters(self, bucket: str) -> list[DeadLetter]:
        """Return the oldest open dead letters of a bucket of the destination."""
        letters = self.options.letters
        return letters.open(bucket, LETTERS) if letters is not None and len(letters) else []
