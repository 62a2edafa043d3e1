"""Print what is played on the terminal, a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fleetbox.time import iso_time
from fleetbox_query.items import Item
from fleetbox_query.live.sinks import Quiet
from fleetbox_query.plain import cell


class Printer(Quiet):
    """Be the sink that prints; `say` takes results, `note` what went wrong."""

    def __init__(self, say: Callable[[str], None], note: Callable[[str], None]) -> None:
        self._say = say
        self.trouble = note

    def expand(self, item: Item) -> Iterable[tuple[int, Item]]:
        """Yield the item itself."""
        return ((item.time_us * 1000, item),)

    def send(self, time_ns: int, message: Item) -> None:
        """Print a line."""
        self._say(f"{iso_time(message.time_us)}  {message.robot}/{message.stream}  {cell(message)}")
