"""Make a question ready to be played into Foxglove, a broker, a recorder or the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetbox.extras import require
from fleetbox_query.live.replaying import Manner, Replay, span_us
from fleetbox_query.live.samples import describe, sample, with_own_messages
from fleetbox_query.live.sinks import Sink
from fleetbox_query.question import Question
from fleetbox_query.session import Session
from fleetbox_query.viewing.subject import prepared_to_see

if TYPE_CHECKING:
    from fleetbox_query.live.server import Server


@contextmanager
def served(
    session: Session, question: Question, manner: Manner, host: str, port: int
) -> Iterator[tuple[Replay, Server]]:
    """Yield a replay whose messages go to Foxglove, and the server that viewers connect to."""
    require("view")
    from fleetbox_query.live.server import Server, Serving

    prepared = prepared_to_see(session, question)
    told = session.run(describe(session.stores, prepared.sources))
    prepared = with_own_messages(prepared, told)
    start, stop = span_us(prepared)
    server = Server(Serving("fleetbox replay", host, port, (start * 1000, stop * 1000)))
    server.open(
        session.run(sample(session.stores, prepared.sources, told)),
        alone=len({source.robot for source in prepared.sources}) == 1,
    )
    replay = Replay(session, prepared, server, manner)
    server.watched, server.control, replay.reached = replay.watch, replay.control, server.reached
    server.start()
    try:
        yield replay, server
    finally:
        server.stop()


def replay_into(session: Session, question: Question, sink: Sink, manner: Manner) -> Replay:
    """Return a replay of everything into a sink, which begins at once."""
    replay = Replay(session, prepared_to_see(session, question), sink, replace(manner, paused=False))
    replay.watch(None)
    return replay
