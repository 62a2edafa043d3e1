"""Show streams as they come in, those that begin meanwhile too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from fleetbox.errors import FleetboxError
from fleetbox.extras import require
from fleetbox.selectors import is_glob
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
    """Follow a question into a sink, or into a server those of its streams that somebody watches."""

    def __init__(self, session: Session, question: Question, sink: Sink, server: Server | None = None) -> None:
        self._session = session
        self._question = question
        self._server = server
        self._wanted: frozenset[str] = frozenset()
        self.tail = Tail(session, sink, lambda: None if server is None else server.reached(self._wanted))

    def want(self, names: frozenset[str]) -> None:
        """Follow these streams from now on."""
        self._wanted = names

    def meet(self) -> None:
        """Look which streams there are; raises NotFound when there are none, Unreachable when no place answers."""
        self._session.run(self._meet())

    def follow(self) -> None:
        """Follow, and look for new streams now and then, until interrupted."""
        self._session.run(self.following())

    async def following(self) -> None:
        """Follow until cancelled."""
        work = [asyncio.ensure_future(one) for one in (self.tail.run(), self._look_round())]
        try:
            await asyncio.gather(*work)  # neither ends but by a fault, which is then told
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _look_round(self) -> None:
        while True:
            await asyncio.sleep(NEW_S)
            with suppress(FleetboxError):  # the tail tells who does not answer
                await self._meet()

    async def _meet(self) -> None:
        prepared = without_end(await self._session.prepare(self._question))
        self.tail.learn(await self._offered(prepared, self._server) if self._server else prepared)

    async def _offered(self, prepared: Prepared, server: Server) -> Prepared:
        """Return the streams as messages are made of them; each new one gets a channel."""
        stores = self._session.stores
        told: dict[str, dict[str, Any]] = await describe(stores, prepared.sources)
        prepared = with_own_messages(prepared, told)
        new = [source for source in prepared.sources if source.name not in server.streams]
        named = {selector.robot for selector in self._question.selectors}
        alone = len(named) == 1 and not is_glob(next(iter(named)))  # behind a glob another one may come
        server.open(await sample(stores, new, told), alone)
        return prepared


@contextmanager
def watched(session: Session, question: Question, host: str, port: int) -> Iterator[tuple[Watching, Server]]:
    """Yield what follows a question for Foxglove, and the server that viewers connect to."""
    require("view")
    from fleetbox_query.live.server import Server, Serving

    server = Server(Serving("fleetbox live", host, port))
    watching = Watching(session, question, server, server)
    watching.meet()
    server.watched = watching.want
    server.start()
    try:
        yield watching, server
    finally:
        server.stop()
