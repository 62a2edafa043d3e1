"""Receive chunks from the engine's own tasks over HTTP and answer only when they are loaded.

What a task sends (watched on 1.21.4): `GET /api/v1/b/<bucket>` to see whether its destination is there, then one
`POST .../<entry>/batch` per entry with up to 85 records, `PATCH .../batch` for labels that changed, and `$meta`
entries whatever its filter says. A 503 makes it wait 5 s and send the same again.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from fleetbox.errors import FleetboxError, InputError
from fleetbox.records import Record
from fleetbox_cloud.loader import Loader, source_bucket
from fleetbox_replication.wire import Part, WireError, parts_of, slices

MAX_BODY_BYTES = 64_000_000  # the engine closes a batch at 8 MB, the record that crosses it included
RUN_HEADER = "x-reduct-node-id"  # "instance:<name>:run:<uuid>": another one after every start of the store
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BATCH = "/api/v1/b/{target}/{entry:.+}/batch"


class Listener(Protocol):
    """Be told what only the sink can see."""

    def gap(self, bucket: str) -> None:
        """Hear of a batch that could not be read."""

    def stranger(self) -> None:
        """Hear of a task that holds another secret: the store's token was replaced."""

    def restarted(self) -> None:
        """Hear that the store was started anew since its last request."""

    def recovered(self, lasted_s: float) -> None:
        """Hear that a batch was loaded again after trouble of so many seconds."""


class Sink:
    """Stand where the engine expects a store, and hand what comes to the loader."""

    def __init__(self, listener: Listener, secret: str | None = None) -> None:
        """`secret` is what tasks must show; with none, none of them is let in."""
        self.secret = secret
        self._listener = listener
        self._run: str | None = None
        self.loader: Loader | None = None  # None while InfluxDB has not been reached: the engine waits
        self.trouble: str | None = None
        self._since_s = 0.0

    def routes(self) -> list[web.RouteDef]:
        """Return the routes for the site's own door."""
        return [
            web.get("/api/v1/b/{target}", self._guarded(self._probe)),
            web.post(_BATCH, self._guarded(self._write)),
            web.patch(_BATCH, self._guarded(self._relabel)),
        ]

    async def _probe(self, request: web.Request) -> web.Response:
        """Say that the destination is there."""
        return web.json_response({})

    async def _relabel(self, request: web.Request) -> web.Response:
        """Agree: tags are robot and site only, so a changed label makes no other point."""
        return web.Response()

    async def _write(self, request: web.Request) -> web.Response:
        body = await request.read()
        entry = request.match_info["entry"]
        if entry.endswith("$meta"):
            return web.Response()
        try:
            bucket = source_bucket(request.match_info["target"])
        except InputError as error:
            return web.Response(status=404, headers={"x-reduct-error": error.message})
        try:
            parts = parts_of(request.headers.items())
            records = _records(bucket, entry, parts, slices(parts, body))
        except WireError:
            self._listener.gap(bucket)  # the batch cannot be read, its records can: they are in the store
            return web.Response()
        return await self._load(bucket, entry, records)

    async def _load(self, bucket: str, entry: str, records: list[Record]) -> web.Response:
        if self.loader is None:
            return _later(self.trouble or "InfluxDB has not been reached yet")
        await self.loader.load(bucket, entry, records)
        if self.trouble is not None:
            self.trouble = None
            self._listener.recovered(asyncio.get_running_loop().time() - self._since_s)
        return web.Response()

    def _guarded(self, handle: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
        """Turn every failure into a 503: after any other the engine drops the batch for good."""

        async def guarded(request: web.Request) -> web.Response:
            shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
            await request.read()  # an answer before the last byte would reach the engine as a reset
            if self.secret is None:
                return _later("the site's own token has not been read yet")
            if not hmac.compare_digest(shown.encode(), self.secret.encode()):
                self._listener.stranger()
                return _later("this door is for the site's own store")
            self._note_run(request.headers.get(RUN_HEADER))
            try:
                return await handle(request)
            except Exception as error:  # see above: even a fault of ours must not cost a chunk
                text = str(error) if isinstance(error, FleetboxError) else f"{type(error).__name__}: {error}"
                self._note_trouble(text)
                return _later(text)

        return guarded

    def _note_trouble(self, text: str) -> None:
        if self.trouble is None:
            self._since_s = asyncio.get_running_loop().time()
        self.trouble = text

    def _note_run(self, run: str | None) -> None:
        if run is not None and self._run not in (None, run):
            self._listener.restarted()
        self._run = run or self._run


def _records(bucket: str, entry: str, parts: tuple[Part, ...], bodies: Mapping[int, Any]) -> list[Record]:
    return [
        Record(
            bucket, entry, part.time_us, part.size, dict(part.labels), part.content_type, bytes(bodies[part.time_us])
        )
        for part in parts
    ]


def _later(why: str) -> web.Response:
    """Answer what the engine retries; it keeps the batch and waits."""
    return web.Response(status=503, headers={"x-reduct-error": " ".join(why.split())[:500]})
