"""Record what is played once more, through the recorder that robots' programs use."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from fleetbox.chunks import RESERVED_COLUMNS
from fleetbox.errors import FleetboxError, InputError
from fleetbox.labels import MAX_USER_LABELS, RESERVED
from fleetbox_query.films import FROM
from fleetbox_query.items import Item
from fleetbox_query.live.sinks import Quiet

OF = "replay_of"  # label: the robot this was recorded on first
GROUP = "fleetbox.api"  # where parts say what `import fleetbox` offers: this part knows no recorder


def open_recorder(config: str) -> Any:
    """Return a Recorder of that robot.toml; raises FleetboxError where the part that records is not installed."""
    found = tuple(entry_points(group=GROUP, name="Recorder"))
    if not found:
        raise FleetboxError("nothing here can record", "pip install 'fleetbox[robot]'")
    return found[0].load()(config)


class Rerecorder(Quiet):
    """Be the sink that records: each item now, as if its sensor spoke again; a label says which robot's it was.

    prefix: stands before each stream's name, so that it is not taken for this robot's own.
    """

    def __init__(self, recorder: Any, prefix: str = "") -> None:
        self._recorder = recorder
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def expand(self, item: Item) -> Iterable[tuple[int, Item]]:
        """Yield the item itself; our own streams (events, the books) are not recorded anew."""
        if item.type in ("event", "ledger"):
            raise InputError("our own books are not played into a recorder")
        return ((item.time_us * 1000, item),)

    def send(self, time_ns: int, message: Item) -> None:
        """Record it."""
        value: Any = message.data
        if message.data is None:
            fields = (message.fields or {}).items()
            value = {name: one for name, one in fields if name not in RESERVED_COLUMNS and one is not None}
        elif message.type != "images":
            value = message.value
        self._recorder.log(self._prefix + message.stream, value, labels=self._labels(message))

    def trouble(self, text: str) -> None:
        """Take no notice: what could not be read is raised."""

    def _labels(self, item: Item) -> dict[str, str]:
        own = {name: text for name, text in item.labels.items() if name not in RESERVED and name not in (FROM, OF)}
        return {**dict(list(own.items())[: MAX_USER_LABELS - 1]), OF: item.robot}
