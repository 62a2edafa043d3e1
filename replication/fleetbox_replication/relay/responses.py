"""The relay's answers to the engine, in the form the engine understands."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from fleetbox_replication.relay.destination import Reply
from fleetbox_replication.relay.requests import RecordsRequest
from fleetbox_replication.relay.settling import Outcome
from fleetbox_replication.wire import RecordError, error_headers


async def drain(request: web.Request) -> None:
    """Read a body to its end: an answer before its last byte reaches the engine as a reset, which loses the batch."""
    async for _ in request.content.iter_any():
        pass


async def once(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body as one piece."""
    yield body


def refusal(status: int, message: str) -> web.Response:
    """Answer no, with the reason where the engine looks for it."""
    return web.Response(status=status, headers={"x-reduct-error": _one_line(message)})


def taken(records: RecordsRequest, outcome: Outcome) -> web.Response:
    """Vouch for a batch; errors of single records are for the engine to act on."""
    if records.single and outcome.passed:
        error = next(iter(outcome.passed.values()))
        return refusal(error.status, error.message)
    shown = {at: RecordError(error.status, _one_line(error.message)) for at, error in outcome.passed.items()}
    return web.Response(headers=error_headers(shown))


def passed_back(reply: Reply) -> web.Response:
    """Hand the destination's answer back as it is."""
    kept = {name: value for name, value in reply.headers if name.lower().startswith("x-reduct-")}
    kept |= {name: value for name, value in reply.headers if name.lower() == "content-type"}
    return web.Response(status=reply.status, headers=kept, body=reply.body)


def _one_line(message: str) -> str:
    return " ".join(message.split())[:500].encode("ascii", "replace").decode()
