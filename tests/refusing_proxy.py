"""A proxy before a store that refuses chosen records, chosen buckets or everything, as proxies and full stores do."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

TIME = "x-reduct-time-"
HEADERS = 4_096
HEADER_BYTES = 65_536
EVERYTHING = range(2**63)  # µs
_OWN = ("host", "content-length", "transfer-encoding", "connection", "content-encoding")


@dataclass(frozen=True)
class Refusal:
    """Say what is refused: requests with these methods, about these times, in paths with this text in them.

    `inside` refuses the records one by one inside a 200, as the engine does, and passes the others on.
    """

    status: int
    message: str = "refused by the proxy"
    times: Container[int] = EVERYTHING
    methods: tuple[str, ...] = ("POST", "PATCH")
    path: str = "/b/"
    inside: bool = False


class RefusingProxy:
    """Pass requests on to a store's port unless the current `refusal` says otherwise."""

    def __init__(self, port: int) -> None:
        self.refusal: Refusal | None = None
        self.url = ""
        self.refused = 0
        self.bytes_refused = 0
        self._target = f"http://127.0.0.1:{port}"
        self._close: list[Callable[[], object]] = []

    async def start(self) -> None:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False, max_field_size=HEADER_BYTES, max_line_size=HEADER_BYTES, max_headers=HEADERS
        )
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, max_headers=HEADERS, max_field_size=HEADER_BYTES, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close everything."""
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        refusal, times = self.refusal, _times(request)
        chosen = [at for at in times if refusal and at in refusal.times]
        if not refusal or not chosen or request.method not in refusal.methods or refusal.path not in request.path:
            return await self._pass_on(request, request.headers, body)
        self.refused += 1
        self.bytes_refused += len(body)
        if not refusal.inside:
            return web.Response(status=refusal.status, headers={"x-reduct-error": refusal.message})
        errors = {f"x-reduct-error-{at}": f"{refusal.status},{refusal.message}" for at in chosen}
        headers, rest = _without(request, body, chosen)
        if not any(name.lower().startswith(TIME) for name in headers):
            return web.Response(headers=errors)
        answer = await self._pass_on(request, headers, rest)
        answer.headers.update(errors)
        return answer

    async def _pass_on(self, request: web.Request, headers: CIMultiDict[str], body: bytes) -> web.Response:
        kept = {name: value for name, value in headers.items() if name.lower() not in _OWN}
        url = self._target + request.raw_path
        try:
            async with self._session.request(request.method, url, headers=kept, data=body) as answer:
                shown = {name: value for name, value in answer.headers.items() if name.lower() not in _OWN}
                if request.method == "HEAD":
                    shown["Content-Length"] = answer.headers.get("Content-Length", "0")
                return web.Response(status=answer.status, headers=shown, body=await answer.read())
        except aiohttp.ClientError as error:
            return web.Response(status=502, headers={"x-reduct-error": str(error)})


def _times(request: web.Request) -> list[int]:
    times = [int(name[len(TIME) :]) for name in request.headers if name.lower().startswith(TIME)]
    return [*times, *([int(request.query["ts"])] if "ts" in request.query else [])]


def _without(request: web.Request, body: bytes, chosen: list[int]) -> tuple[CIMultiDict[str], bytes]:
    headers, rest, start = CIMultiDict(request.headers), b"", 0
    for at in sorted(_times(request)):
        size = int(request.headers[f"{TIME}{at}"].partition(",")[0])
        if at in chosen:
            del headers[f"{TIME}{at}"]
        else:
            rest += body[start : start + size]
        start += size
    return headers, rest
