"""One long-lived HTTP session to one store, and the one place where its failures become fleetbox errors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from reduct import Client, ReductError
from yarl import URL

from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused, Unreachable

CONNECT_S = 10.0  # the engine's own connect timeout; a healthy store answers in milliseconds
KEEPALIVE_S = 10.0  # shorter than the engine's 30 s, so that we never send on a connection it is closing
POOL = 32  # connections; more writers than this only queue inside the engine
FLOOR_BYTES_PER_S = 100_000  # the slowest link we wait for: sets the deadline of an upload, which has no other
MAX_FIELD_BYTES = 1 << 20  # a header line of 85 long entry names passes aiohttp's 8190
AWAY = frozenset({502, 503, 504})  # starting up, or a proxy whose store is down: asking again may help


class Wire:
    """Send requests to one store: every call has a deadline, every failure a fleetbox error."""

    def __init__(self, url: str, token: str | None, *, timeout_s: float, ca_file: Path | None, name: str) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self._token = token
        self._timeout_s = timeout_s
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._admin: Client | None = None

    async def close(self) -> None:
        """Close the session; calling it again does nothing."""
        session, self._session, self._admin = self._session, None, None
        if session is not None:
            await session.close()

    @property
    def admin(self) -> Client:
        """Return reduct-py's client on our session, for buckets, tasks and tokens; wrap calls in `translating`."""
        if self._admin is None:
            self._admin = Client(self.url, self._token, timeout=self._timeout_s, session=self._open())
        return self._admin

    @asynccontextmanager
    async def call(
        self, method: str, path: str, what: str, *, upload_bytes: int = 0, **request: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and yield its successful answer; `what` completes "cannot ..." in an error."""
        total_s = self._timeout_s + upload_bytes / FLOOR_BYTES_PER_S if upload_bytes else None
        limits = aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=self._timeout_s)
        target = URL(f"{self.url}/api/v1{path}", encoded=True)
        with self.translating(what):
            async with self._open().request(
                method, target, timeout=limits, headers=self._headers(request.pop("headers", None)), **request
            ) as response:
                if response.status >= 400:
                    raise ReductError(response.status, response.headers.get("x-reduct-error", "no reason given"))
                _acknowledge(response)
                yield response

    @contextmanager
    def translating(self, what: str) -> Iterator[None]:
        """Turn what reduct-py, aiohttp and asyncio raise into fleetbox errors; `what` completes "cannot ..."."""
        try:
            yield
        except ReductError as error:
            raise self._refusal(what, error.status_code, error.message) from error
        except TimeoutError as error:
            raise self._unreachable(what, f"no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise self._unreachable(what, str(error) or type(error).__name__) from error

    def _refusal(self, what: str, status: int, message: str) -> FleetboxError:
        if status < 0 or status in AWAY:
            return self._unreachable(what, message)
        text = f"cannot {what} at {self.name} ({self.url}): {message}"
        if status in (401, 403):
            return AccessDenied(text, f"check the token for {self.name}: what it may read and write, and its expiry")
        if status == 404:
            return NotFound(text)
        return StoreRefused(f"{text} (status {status})", status)

    def _unreachable(self, what: str, reason: str) -> Unreachable:
        return Unreachable(
            f"cannot {what} at {self.name} ({self.url}): {reason}",
            f"check that the store runs: curl {self.url}/api/v1/alive",
        )

    def _headers(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        headers = dict(extra) if extra else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trust: ssl.SSLContext | bool = True
            if self._ca_file is not None:
                trust = ssl.create_default_context(cafile=str(self._ca_file))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=POOL, keepalive_timeout=KEEPALIVE_S, ssl=trust),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_S),
                max_line_size=MAX_FIELD_BYTES,
                max_field_size=MAX_FIELD_BYTES,
                read_bufsize=1 << 18,  # four times aiohttp's default: fewer wake-ups per 8 MB answer
            )
            # Not in aiohttp's public settings: it sends a GET again when a kept connection breaks. Reading a query
            # moves its place in the engine, so the second answer would be the next batch, and one batch be lost.
            self._session._retry_connection = False
        return self._session


async def whole(answer: aiohttp.ClientResponse) -> bytes:
    """Read the body of an answer, acknowledging each piece at once."""
    return b"".join(await pieces(answer))


async def pieces(answer: aiohttp.ClientResponse) -> list[bytes]:
    """Read the body of an answer as the pieces it came in, acknowledging each at once."""
    found: list[bytes] = []
    async for piece in answer.content.iter_any():
        found.append(piece)
        _acknowledge(answer)
    return found


def _acknowledge(answer: aiohttp.ClientResponse) -> None:
    """Tell the engine that all so far has come, where the system can.

    It holds back a small rest until then (Nagle's algorithm), and the kernel would let it wait for 40 ms: without
    this 80 small records take 45 ms instead of 5 (measured).
    """
    connection = answer.connection
    transport = connection.transport if connection is not None else None
    wire = transport.get_extra_info("socket") if transport is not None else None
    if wire is not None and hasattr(socket, "TCP_QUICKACK"):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
