"""Stands in for a store, or a proxy before it, that answers requests with errors of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from fleetbox.background import BackgroundLoop
from fleetbox_local.ports import HOST, free_port

HEADERS = 4_096  # as many as the engine sends of records in one answer, and then some
HEADER_BYTES = 65_536  # one record's labels stand in one header
CHUNK_BYTES = 262_144
STOP_S = 0.2  # nobody waits for the answers of a server that is only pretended
_PER_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "host", "upgrade", "te", "trailer")


@dataclass(frozen=True, slots=True)
class Asked:
    """Describe a request before it is passed on; `size` is the length of its body in bytes."""

    method: str
    path: str
    size: int

    @property
    def writes(self) -> bool:
        """Tell whether it brings records or labels, in either version of the engine's API."""
        one_entry = "/b/" in self.path and not self.path.endswith("/q")
        many_entries = self.path.endswith(("/write", "/update")) and "/io/" in self.path
        return self.method in ("POST", "PATCH") and (one_entry or many_entries)


def every_write(asked: Asked) -> bool:
    """Choose the requests that bring records."""
    return asked.writes


@dataclass(frozen=True, slots=True)
class _Fault:
    status: int
    message: str
    chosen: Callable[[Asked], bool]


class Spoiler:
    """Pass HTTP requests on to a server, except those it is told to refuse; a context manager.

    Its methods may be called from any thread.
    """

    def __init__(self, target_url: str) -> None:
        self.port = free_port()
        self.refused = 0
        self._target = target_url.rstrip("/")
        self._fault: _Fault | None = None
        self._loop: BackgroundLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Spoiler:
        self._loop = BackgroundLoop("fleetbox-spoiler")
        self._loop.run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        self._loop.run(self._close())
        self._loop.stop()

    def answer(self, status: int, message: str, chosen: Callable[[Asked], bool] = every_write) -> None:
        """Refuse the chosen requests with a status from now on, reading their bodies first as the engine does."""
        self._fault = _Fault(status, message, chosen)

    def behave(self) -> None:
        """Pass everything on again."""
        self._fault = None

    async def _listen(self) -> None:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            max_headers=HEADERS,
            max_field_size=HEADER_BYTES,
            shutdown_timeout=STOP_S,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()

    async def _close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        fault, asked = self._fault, Asked(request.method, request.path, request.content_length or 0)
        if fault is None or not fault.chosen(asked):
            return await self._pass_on(request)
        self.refused += 1
        async for _ in request.content.iter_chunked(CHUNK_BYTES):
            pass
        return web.Response(status=fault.status, headers={"x-reduct-error": fault.message, "x-reduct-api": "1.21"})

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        url = URL(self._target + request.raw_path, encoded=True)
        body = request.content.iter_chunked(CHUNK_BYTES) if request.can_read_body else None
        try:
            async with self._session.request(
                request.method, url, headers=_kept(request.headers), data=body, allow_redirects=False
            ) as there:
                return await self._pass_back(request, there)
        except aiohttp.ClientError:  # the server behind is away: so are we
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)

    async def _pass_back(self, request: web.Request, there: aiohttp.ClientResponse) -> web.StreamResponse:
        answer = web.StreamResponse(status=there.status, reason=there.reason, headers=_kept(there.headers))
        await answer.prepare(request)
        if request.method != "HEAD":
            async for piece in there.content.iter_chunked(CHUNK_BYTES):
                await answer.write(piece)
            await answer.write_eof()
        return answer


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return the headers that belong to the message, without those of its connection."""
    kept: CIMultiDict[str] = CIMultiDict(headers)
    for name in _PER_CONNECTION:
        kept.popall(name, None)
    return kept
