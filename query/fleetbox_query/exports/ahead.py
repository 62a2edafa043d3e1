"""Look one item ahead, so that a file can end between two times."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbox_query.items import Item
from fleetbox_query.plan import FAR_US


class Ahead:
    """Hand out items, and say when the next one is."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._next = next(items, None)

    @property
    def ended(self) -> bool:
        """Tell whether nothing is left."""
        return self._next is None

    @property
    def next_us(self) -> int:
        """Return the next item's time."""
        return FAR_US if self._next is None else self._next.time_us

    def take(self) -> Item:
        """Return the next item; raises StopIteration when nothing is left."""
        if self._next is None:
            raise StopIteration
        item, self._next = self._next, next(self._items, None)
        return item
