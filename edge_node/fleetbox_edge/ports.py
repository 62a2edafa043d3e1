"""Name what carries records into a store and need not know where it leads: the door, the hooks, a record on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError
from fleetbox.labels import Labels
from fleetbox.records import Draft
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.store_disk import Room


class Door(Protocol):
    """Lead to the robot's store as it stands now."""

    @property
    def store(self) -> Store:
        """Return the client; it changes when the token is replaced."""

    async def renew(self) -> None:
        """Read the token again."""

    async def ensure_bucket(self, cls: str) -> None:
        """Make the bucket of a class."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Tell others what happens: labels to give, records made, records stored, trouble met (None: over).

    `room` says what is free on the store's disk, None where that cannot be told.
    """

    kept: Callable[[str, str], Labels]
    made: Callable[[Parcel, bytes], None]
    stored: Callable[[str, str, int], None]  # class, stream, stamp in µs; before the spool lets go of it
    trouble: Callable[[str, FleetboxError | None], None]
    room: Callable[[], Room | None]


Pair = tuple[Parcel, Draft]
