"""What the relay asks of the destination store, request by request, over kept connections."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from fleetbox.errors import AccessDenied
from fleetbox_replication.relay.pace import Pace
from fleetbox_replication.relay.vouching import Found
from fleetbox_replication.wire import Part, batch_headers, label_headers, labels_of

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

CONNECTIONS = 96  # twice what may be in flight (`holding`), so that an event never waits for a connection
CONNECT_S = 5.0  # a site on the other side of the world answers a connect well below it
ANSWER_S = 60.0  # after the last byte is sent; a loaded store finishes 8 MB in far less
SILENCE_MS = 30_000  # unacknowledged bytes: a black hole is noticed after it
JOIN_BYTES = 64 * 1024  # copying so much costs less than another piece
HEADER_EXTRA = 4  # bytes around each header: a colon, a blank, the line's end
TOKEN_S = 2.0  # a replaced token file is taken up within this, not only once the old token is turned away
HEADERS = 4_096  # one error header a record may come back
HEADER_BYTES = 65_536  # one record's labels stand in one header
LOOKS = 8  # HEAD requests at once while healing

_MADE = re.compile(r"(.+)-[0-9a-f]{32}")  # a token that the engine made up: its name, 32 random digits


class Cut(Exception):
    """The destination could not be reached, or the connection broke."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold a whole answer of the destination."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    token: str = field(default="", repr=False)  # what the request was sent with

    @property
    def message(self) -> str:
        """Return the engine's own words for an error."""
        return next((value for name, value in self.headers if name.lower() == "x-reduct-error"), "")


@dataclass(frozen=True, slots=True)
class Entry:
    """Point at one entry of one bucket; `path` is its address as it came, percent-encoded."""

    bucket: str
    name: str
    path: str


class Destination:
    """Speak HTTP with the destination; raises Cut when nothing or half an answer came back."""

    def __init__(
        self, url: str, token: Callable[[], str], ca_file: str | None = None, pace: Pace | None = None
    ) -> None:
        self.pace = pace or Pace()
        self._url = url.rstrip("/")
        self._read_token = token
        self._token = ""
        self._read_s = 0.0
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._looks = asyncio.Semaphore(LOOKS)
        self.reachable: bool | None = None  # unknown until the first answer

    async def open(self) -> None:
        """Make the one session all requests share."""
        self._token = self._read_token()
        context = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context, socket_factory=_noticing_silence)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            max_headers=HEADERS,
            max_field_size=HEADER_BYTES,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    @property
    def token_name(self) -> str | None:
        """Return the name of the token in use, which the engine puts before its value; None for one not made by it."""
        made = _MADE.fullmatch(self._token)
        return made[1] if made else None

    def renew(self, used: str) -> bool:
        """Read the token again; tell whether it is another one than was `used`."""
        self._read_s = asyncio.get_running_loop().time()
        with suppress(AccessDenied):  # the file is just being replaced: what we have may still do
            self._token = self._read_token()
        return self._token != used

    async def forward(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes | memoryview] | None = None,
        bucket: str | None = None,
    ) -> Reply:
        """Send one request as it is and return the whole answer; one about a bucket waits for its class's turns."""
        if self._session is None:
            raise Cut("the relay is not started")
        if asyncio.get_running_loop().time() - self._read_s >= TOKEN_S:
            self.renew(self._token)
        token = self._token
        shown = {**headers, "Authorization": f"Bearer {token}"}
        url = URL(self._url + path, encoded=True)
        if bucket is not None:
            await self.pace.take(_size_of(path, shown), bucket)
            body = self.pace.pieces(body, bucket) if body is not None else None
        try:
            async with self._session.request(method, url, headers=shown, data=body, allow_redirects=False) as answer:
                reply = Reply(answer.status, tuple(answer.headers.items()), await answer.read(), token)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.reachable = False
            raise Cut(f"{method} {self._url}{path}: {str(error) or type(error).__name__}") from error
        self.reachable = True
        return reply

    async def write(self, entry: Entry, parts: Sequence[Part], body: Sequence[bytes | bytearray | memoryview]) -> Reply:
        """Write records; `body` holds their bytes in order."""
        size = sum(part.size for part in parts)
        headers = {**batch_headers(parts), "Content-Type": "application/octet-stream", "Content-Length": str(size)}
        return await self.forward("POST", f"{entry.path}/batch", headers, _each(body), entry.bucket)

    async def relabel(self, entry: Entry, parts: Sequence[Part]) -> Reply:
        """Set the labels of records that are there."""
        headers = {**label_headers(parts), "Content-Length": "0"}
        return await self.forward("PATCH", f"{entry.path}/batch", headers, bucket=entry.bucket)

    async def look(self, entry: Entry, time_us: int) -> Found:
        """Ask what stands at one time; never raises: status 0 means that nothing answered."""
        try:
            async with self._looks:
                reply = await self.forward("HEAD", f"{entry.path}?ts={time_us}", {}, bucket=entry.bucket)
        except Cut as cut:
            return Found(0, message=str(cut))
        sizes = (value for name, value in reply.headers if name.lower() == "content-length")
        return Found(reply.status, int(next(sizes, "0")), labels_of(reply.headers), reply.message)

    async def same_bytes(self, entry: Entry, time_us: int, expected: bytes | bytearray | memoryview) -> bool:
        """Read a record back and compare."""
        reply = await self.forward("GET", f"{entry.path}?ts={time_us}", {})
        return reply.status == 200 and reply.body == expected

    async def delete(self, entry: Entry, times_us: Iterable[int]) -> bool:
        """Delete records; tell whether they are gone."""
        headers = {f"x-reduct-time-{time_us}": "0,," for time_us in times_us}
        reply = await self.forward("DELETE", f"{entry.path}/batch", {**headers, "Content-Length": "0"})
        refused = [value for name, value in reply.headers if name.lower().startswith("x-reduct-error-")]
        return reply.status in (200, 404) and all(value.startswith("404") for value in refused)


async def _each(body: Sequence[bytes | bytearray | memoryview]) -> AsyncIterator[bytes | memoryview]:
    """Yield a body's records, small ones joined: each piece costs a turn of the loop."""
    small: list[bytes | bytearray | memoryview] = []
    size = 0
    for chunk in body:
        small.append(chunk)
        size += len(chunk)
        if size >= JOIN_BYTES:
            yield memoryview(chunk) if len(small) == 1 else b"".join(small)
            small, size = [], 0
    if small:
        yield b"".join(small)


def _size_of(path: str, headers: Mapping[str, str]) -> int:
    return len(path) + sum(len(name) + len(value) + HEADER_EXTRA for name, value in headers.items())


def _noticing_silence(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere a black hole is noticed by the answer's timeout
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
    return made
