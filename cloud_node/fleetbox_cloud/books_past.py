"""Write the books of long ago again, hour by hour, when InfluxDB has lost them and the store still has the pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fleetbox.blobs import Store
from fleetbox.ledger import MINUTE_US, Key, Ledger
from fleetbox_cloud.books_memory import Memory, oldest_page_us
from fleetbox_cloud.books_points import View, lines, open_keys, untold
from fleetbox_replication.audit.hops import Hop

STEP_US = 60 * MINUTE_US  # of pages at a time: 1,860 minutes of 31 streams, 6 MB


@dataclass(frozen=True, slots=True)
class Told:
    """Hold what one step tells: points of the books, and the ledger with the minutes they are of, in order."""

    books: Sequence[str]
    ledger: Ledger
    keys: Sequence[Key] = ()


@dataclass(slots=True)
class Past:
    """Tell of a robot's minutes before `stop_us`, as its pages of then and of since then tell them.

    The pages are read once, in the order they were written, as a site reads them that runs all the while; minutes that
    are open are remembered until they are settled. What is newer than `stop_us` others tell of.
    """

    hops: Sequence[Hop]
    memory: Memory
    at_us: int
    stop_us: int
    always: Callable[[str], bool] = field(default=lambda stream: False)

    @staticmethod
    async def of(
        store: Store, hops: Sequence[Hop], robot: str, span_us: tuple[int, int], always: Callable[[str], bool]
    ) -> Past | None:
        """Begin with the oldest page that is not before the span; None when there is none before its end."""
        oldest_us = await oldest_page_us(store, robot)
        if oldest_us is None or oldest_us >= span_us[1]:
            return None
        start_us = max(oldest_us, span_us[0])
        return Past(hops, Memory.since(robot, start_us), start_us, span_us[1], always)

    def done(self, now_us: int) -> bool:
        """Tell whether every page was read."""
        return self.at_us >= now_us

    async def step(self, store: Store, now_us: int) -> Told:
        """Read the next hour of pages. Raises Unreachable."""
        memory, until_us = self.memory, min(now_us, self.at_us + STEP_US)
        changed = await memory.part(store, self.at_us, until_us)
        if until_us == now_us:
            changed |= memory.open  # as time has made of them
        view = View(until_us, memory.floor_us, self.always)  # judged then: what waits now was not late at its time
        fresh = untold(memory.ledger, self.hops[0], view) if self.hops[0].first else {}
        memory.untold |= fresh
        keys = sorted(key for key in changed | fresh.keys() if key[2] < self.stop_us)
        text = [line for hop in self.hops for line in lines(memory.ledger, hop, keys, memory.untold, view)]
        return Told(text, memory.ledger, keys)

    def keep(self, now_us: int, known_us: int) -> None:
        """Go on to the next hour: what the last one told is written; settled minutes stay known for `known_us`."""
        self.at_us = min(now_us, self.at_us + STEP_US)
        view = View(self.at_us, self.memory.floor_us, self.always)
        self.memory.forget(open_keys(self.memory.ledger, self.hops, view), self.at_us - known_us)
