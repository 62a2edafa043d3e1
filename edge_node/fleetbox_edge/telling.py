"""Tell the ledger what had to be given up, as soon as the store answers."""

from __future__ import annotations

import asyncio

from fleetbox.errors import FleetboxError, NotFound
from fleetbox.ledger import Page, write_page
from fleetbox_edge.ports import Door
from fleetbox_edge.session import Session

META = "meta"
TELL_S = 3.0  # a page costs one request; drops that go on for hours make 1,200 pages an hour


class Teller:
    """Write drops as pages of the robot's own ledger; what the store does not take stays written down."""

    def __init__(self, session: Session, door: Door, robot: str) -> None:
        self._session, self._door, self._robot = session, door, robot
        self._one_at_a_time = asyncio.Lock()  # the agent's own look and a close that will not wait for it

    @property
    def due(self) -> bool:
        """Tell whether the ledger lacks a drop."""
        return self._session.outbox.drops.due

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self.tell()
            await asyncio.sleep(TELL_S)

    async def tell(self) -> None:
        """Write what is due now, if the store answers."""
        async with self._one_at_a_time:
            try:
                while self.due and await self._answers():
                    await self._page()
            except FleetboxError:
                return  # the writer meets the same trouble, and says so

    async def _answers(self) -> bool:
        """Tell whether the store takes pages: a range that is once on its way to a page grows no more."""
        if await self._door.store.bucket_spec(META) is None:
            await self._door.ensure_bucket(META)
        return True

    async def _page(self) -> None:
        session = self._session
        with session.lock:
            entries = session.outbox.drops.take()
        drops = tuple(entry.drop for entry in entries)
        page = Page(self._robot, self._robot, session.clock.now_us(), drops=drops)
        try:
            await write_page(self._door.store, META, page)
        except NotFound:
            await self._door.ensure_bucket(META)
            return
        with session.lock:
            session.outbox.drops.told(entries)
