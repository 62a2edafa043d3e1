"""Show streams as they come in, those that begin meanwhile too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fleetbox.errors import FleetboxError
from fleetbox.extras import require
from fleetbox_query.live.samples import describe, sample, with_own_messages
from fleetbox_query.live.sinks import Sink
from fleetbox_query.live.tailing import Tail, without_end
from fleetbox_query.question import Question
from fleetbox_query.reading import Prepared
from fleetbox_query.session import Session

if TYPE_CHECKING:
    from fleetbox_query.live.server import Server

NEW_S = 5.0  # how soon a stream is there that has just begun


class Watching:
    """Follow a question into a sink; `follow` runs until it is cancelled."""

    def __init__(
        self,
        session: Session,
        question: Question,
        sink: Sink,
        met: Callable[[Prepared], Prepared] = lambda prepared: prepared,
    ) -> None:
        self._session = session
        self._question = question
        self._sink = sink
        self._wanted: frozenset[str] | None = frozenset()
        self.tail = Tail(session, sink, lambda: self._wanted)

    def want(self, names: frozenset[str] | None) -> None:
        """Follow these streams; None is all."""
        self._wanted = names

    async def follow(self) -> None:
        """Follow, and look for new streams now and then."""
        await self.meet()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tail.run())
            group.create_task(self._look_round())

    async def meet(self) -> None:
        """Look which streams there are; raises NotFound when there are none, Unreachable when no place answers."""
        prepared = without_end(await self._session.prepare(self._question))
        self.tail.learn(await self.offered(prepared))

    async def offered(self, prepared: Prepared) -> Prepared:
        """Return what is followed of these streams."""
        return prepared

    async def _look_round(self) -> None:
        while True:
            await asyncio.sleep(NEW_S)
            with suppress(FleetboxError):  # the tail tells who does not answer
                await self.meet()
