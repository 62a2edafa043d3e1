"""Give out the messages of a reading in order of time, though one item may become messages of many times."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fleetbox.errors import InputError
from fleetbox_query.items import Item

Message = tuple[int, Any]  # (ns since the epoch, what a sink made of an item)


class Playlist:
    """Hold the next message of items that come in order of time; what a sink cannot take is counted in `skipped`."""

    def __init__(
        self,
        items: Iterator[Item],
        expand: Callable[[Item], Iterable[Message]],
        from_ns: int,
        skipped: Counter[str],
    ) -> None:
        self._items = items
        self._expand = expand
        self._from_ns = from_ns
        self._skipped = skipped
        self._waiting: list[tuple[int, int, Any]] = []  # time, turn, message: those of one video and what lies between
        self._turn = 0
        self._begun = False
        self._next: Item | None = None

    def peek(self) -> Message | None:
        """Return the next message, or None at the end; reads on where it must, which may take a while."""
        if not self._begun:
            self._begun, self._next = True, next(self._items, None)
        while self._next is not None and (not self._waiting or self._waiting[0][0] >= self._next.time_us * 1000):
            self._take(self._next)
            self._next = next(self._items, None)
        return (self._waiting[0][0], self._waiting[0][2]) if self._waiting else None

    def pop(self) -> None:
        """Go on to the message after it."""
        heapq.heappop(self._waiting)

    def close(self) -> None:
        """Stop reading."""
        if (close := getattr(self._items, "close", None)) is not None:
            close()

    def _take(self, item: Item) -> None:
        try:
            for time_ns, message in self._expand(item):
                if time_ns >= self._from_ns:
                    heapq.heappush(self._waiting, (time_ns, self._turn, message))
                    self._turn += 1
        except (InputError, ValueError, KeyError) as error:
            text = error.message if isinstance(error, InputError) else str(error)
            self._skipped[f"{item.robot}/{item.stream}: {text}"] += 1
