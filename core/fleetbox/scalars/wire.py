"""Send requests to one InfluxDB over one session, and name what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused, Unreachable
from fleetbox.settings import Influx


class Wire:
    """Hold the session; `influx` is whom it talks to."""

    def __init__(self, influx: Influx, timeout_s: float) -> None:
        self.influx = influx
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Begin the session."""
        self._session = aiohttp.ClientSession(timeout=self._timeout)

    async def close(self) -> None:
        """End the session."""
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, method: str, path: str, what: str, query: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return status and body; raise Unreachable when nothing answers in time."""
        if self._session is None:
            raise RuntimeError("use `async with ScalarStore(...)`")
        headers = {"Authorization": f"Token {self.influx.current_token()}"}  # it may have been replaced meanwhile
        url = self.influx.url + path
        try:
            async with self._session.request(method, url, params=query, data=body, headers=headers) as answer:
                return answer.status, await answer.read()
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Unreachable(
                f"cannot {what} at InfluxDB {self.influx.url}: {error or type(error).__name__}",
                "is InfluxDB running? see `fleetbox servers where` and [site.*.influx] url in fleet.toml",
            ) from error

    async def json(
        self, method: str, path: str, what: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """Return a document; raise what `refusal` makes of any other answer."""
        data = None if body is None else json.dumps(body).encode()
        status, answer = await self.ask(method, path, what, query, data)
        if status >= 300:
            raise self.refusal(what, status, answer)
        return json.loads(answer)

    def refusal(self, what: str, status: int, answer: bytes) -> FleetboxError:
        """Return the error that a status stands for."""
        target = f"bucket {self.influx.bucket!r} of InfluxDB {self.influx.url}"
        text = f"cannot {what} at {target}: {status} {message(answer)}"
        if status in (401, 403):
            return AccessDenied(text, "check [site.*.influx] token and org in fleet.toml")
        if status == 404:
            return NotFound(text, "check [site.*.influx] org and bucket in fleet.toml")
        if status == 429 or status >= 500:
            return Unreachable(text, "InfluxDB is overloaded or out of order: see its own log")
        return StoreRefused(text, status)


def message(answer: bytes) -> str:
    """Return InfluxDB's own words."""
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    text = found.get("message") or found.get("error") if isinstance(found, dict) else answer.decode(errors="replace")
    return str(text)[:300]  # a parse error repeats every line it was sent
