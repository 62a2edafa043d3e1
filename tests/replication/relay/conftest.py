"""One hop on real servers: a source store with a native task, the relay, a link that can be cut, a destination."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import xxhash

from fleetbox_local.ports import free_port
from fleetbox_replication.relay import Relay, RelayOptions
from fleetbox_replication.relay_secret import relay_secret

BATCH = 80  # records a write request
Key = tuple[str, int]


class Link:
    """A TCP proxy that resets connections in mid-request, a given number of times, and counts how often it did."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.target = port
        self.rng = rng
        self.resets_left = 0
        self.resets = 0
        self.url = ""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close everything at once."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, cutting=True)),
            asyncio.create_task(self._pump(far_reader, writer, cutting=False)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for end in (writer, far_writer):
            self._writers.discard(end)
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: bool) -> None:
        try:
            left = self.rng.randrange(20_000, 600_000)
            while data := await reader.read(65_536):
                left -= len(data)
                if cutting and left <= 0:
                    if self.resets_left > 0:
                        self.resets_left -= 1
                        self.resets += 1
                        writer.write(data[: len(data) // 2])
                        await writer.drain()
                        return
                    left = self.rng.randrange(20_000, 600_000)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass


class Hop:
    """Drive both stores by plain HTTP, so that nothing under test checks itself."""

    def __init__(self, source: Any, destination: Any, bucket: str, session: aiohttp.ClientSession) -> None:
        self.source, self.destination = source, destination
        self.source_bucket, self.bucket = bucket, f"robot--{bucket}"
        self.session = session
        self.secret = relay_secret(source.token)
        self.written: dict[Key, int] = {}  # (entry, time) -> xxh3 of what the destination must hold
        self.relay: Relay | None = None
        self.link: Any = None
        self.rng = random.Random(bucket)

    async def ask(self, store: Any, method: str, path: str, ok: Sequence[int] = (200,), **more: Any) -> Any:
        """Send one request to a store; the status must be among `ok`."""
        headers = {"Authorization": f"Bearer {more.pop('token', store.token)}", **more.pop("headers", {})}
        async with self.session.request(method, f"{store.url}/api/v1{path}", headers=headers, **more) as answer:
            body = await answer.read()
            assert answer.status in ok, (method, path, answer.status, dict(answer.headers), body[:200])
            return answer, body

    async def make_bucket(self, **settings: Any) -> None:
        """Create the destination's bucket."""
        await self.ask(self.destination, "POST", f"/b/{self.bucket}", json=settings)

    async def open(self, url: str, when: dict[str, Any] | None = None, **settings: Any) -> None:
        """Create both buckets and the task that sends through `url`."""
        await self.ask(self.source, "POST", f"/b/{self.source_bucket}", json={})
        await self.make_bucket(**settings)
        await self.put_task(url, when)

    async def put_task(self, url: str, when: dict[str, Any] | None = None, secret: str | None = None) -> None:
        """Create the task at the source."""
        wanted = {
            "src_bucket": self.source_bucket,
            "dst_bucket": self.bucket,
            "dst_host": url,
            "dst_token": secret or self.secret,
            "entries": [],
            "when": when or {"$has": "keep"},
        }
        await self.ask(self.source, "POST", f"/replications/t-{self.source_bucket}", json=wanted)

    async def write(
        self, entry: str, times: Iterable[int], size: int, labels: dict[str, str] | None = None, expect: bool = True
    ) -> None:
        """Write records of random bytes at the source; every one must reach the destination if `expect`."""
        todo = list(times)
        for start in range(0, len(todo), BATCH):
            await self._write(entry, todo[start : start + BATCH], size, labels or {"keep": "1"}, expect)

    async def _write(self, entry: str, times: list[int], size: int, labels: dict[str, str], expect: bool) -> None:
        headers, body = {}, b""
        for at in times:
            data = self.rng.randbytes(size)
            xxh = xxhash.xxh3_64_hexdigest(data)
            shown = ",".join(f"{k}={v}" for k, v in {**labels, "xxh": xxh, "session": "s1", "seq": str(at)}.items())
            headers[f"x-reduct-time-{at}"] = f"{size},application/octet-stream,{shown}"
            body += data
            if expect:
                self.written[entry, at] = xxhash.xxh3_64_intdigest(data)
        headers["Content-Length"] = str(len(body))  # without it the engine closes the connection behind its answer
        answer, _ = await self.ask(
            self.source, "POST", f"/b/{self.source_bucket}/{entry}/batch", headers=headers, data=_whole(body)
        )
        assert not [name for name in answer.headers if name.lower().startswith("x-reduct-error")]

    async def relabel(self, entry: str, times: Iterable[int], labels: str) -> None:
        """Patch labels at the source."""
        todo = list(times)
        for start in range(0, len(todo), BATCH):
            headers = {f"x-reduct-time-{at}": f"0,,{labels}" for at in todo[start : start + BATCH]}
            answer, _ = await self.ask(self.source, "PATCH", f"/b/{self.source_bucket}/{entry}/batch", headers=headers)
            assert not [name for name in answer.headers if name.lower().startswith("x-reduct-error")]

    async def labels_there(self, entry: str, at: int) -> dict[str, str]:
        """Return a record's labels at the destination."""
        answer, _ = await self.ask(self.destination, "HEAD", f"/b/{self.bucket}/{entry}?ts={at}")
        prefix = "x-reduct-label-"
        return {k.lower()[len(prefix) :]: v for k, v in answer.headers.items() if k.lower().startswith(prefix)}

    async def reads(self, entry: str, at: int, expected: bytes) -> bool:
        """Tell whether the destination gives these bytes."""
        path = f"/b/{self.bucket}/{entry}?ts={at}"
        _, body = await self.ask(self.destination, "GET", path, ok=range(200, 600))
        return bool(body == expected)

    async def copy(self, entry: str, at: int, data: bytes | None = None, labels: str | None = None) -> None:
        """Put a record of the source at the destination by hand, right or wrong."""
        answer, body = await self.ask(self.source, "GET", f"/b/{self.source_bucket}/{entry}?ts={at}")
        prefix = "x-reduct-label-"
        own = ",".join(f"{k[len(prefix) :]}={v}" for k, v in answer.headers.items() if k.lower().startswith(prefix))
        if data is not None and labels is None:
            own = ",".join(f"{item}" for item in own.split(",") if not item.startswith("xxh"))
            own += f",xxh={xxhash.xxh3_64_hexdigest(data)}"
        body = body if data is None else data
        headers = {f"x-reduct-time-{at}": f"{len(body)},application/octet-stream,{labels or own}"}
        await self.ask(self.destination, "POST", f"/b/{self.bucket}/{entry}/batch", headers=headers, data=body)

    async def tear(self, entry: str, times: Iterable[int], size: int) -> None:
        """Cut a write at the destination in its first record, so that all of them are torn."""
        todo = list(times)
        _, writer = await asyncio.open_connection("127.0.0.1", self.destination.port)
        lines = [f"POST /api/v1/b/{self.bucket}/{entry}/batch HTTP/1.1", "Host: test"]
        lines += [f"Authorization: Bearer {self.destination.token}", f"Content-Length: {size * len(todo)}"]
        lines += [f"x-reduct-time-{at}: {size},application/octet-stream,keep=1" for at in todo]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + b"x" * (size // 2))
        await writer.drain()
        await self.until(lambda: self._is_torn(entry, todo[-1]))
        writer.transport.abort()

    async def _is_torn(self, entry: str, at: int) -> bool:
        return await self.status_there(entry, at) == 425

    def twin(self) -> Relay:
        """Return a second relay for the same address."""
        assert self.relay is not None
        return Relay(self.relay.url, self.destination.url, self.destination.token, self.secret)

    async def status_there(self, entry: str, at: int) -> int:
        """Return the status of a HEAD at the destination."""
        answer, _ = await self.ask(self.destination, "HEAD", f"/b/{self.bucket}/{entry}?ts={at}", ok=range(200, 600))
        return int(answer.status)

    async def arrived(self, deadline_s: float = 90.0) -> None:
        """Read every expected record back at the destination, one by one, until all are right or nothing moves."""
        missing = dict(self.written)
        stop = time.monotonic() + deadline_s
        while missing:
            wrong = [key for key in await self._read_some(missing) if key is not None]
            if len(wrong) < len(missing):
                stop = time.monotonic() + deadline_s
            missing = {key: missing[key] for key in wrong}
            if missing and time.monotonic() > stop:
                statuses = [await self.status_there(*key) for key in list(missing)[:5]]
                raise AssertionError(f"{len(missing)} of {len(self.written)} not there: {statuses} {self.shown()}")
            if missing:
                await asyncio.sleep(0.2)

    async def _read_some(self, missing: dict[Key, int]) -> list[Key | None]:
        gate = asyncio.Semaphore(8)

        async def read(key: Key) -> Key | None:
            async with gate:
                try:
                    answer, body = await self.ask(
                        self.destination, "GET", f"/b/{self.bucket}/{key[0]}?ts={key[1]}", ok=range(200, 600)
                    )
                except aiohttp.ClientError:
                    return key
            right = answer.status == 200 and xxhash.xxh3_64_intdigest(body) == missing[key]
            return None if right else key

        return await asyncio.gather(*(read(key) for key in missing))

    async def count_there(self, entry: str) -> int:
        """Count what a query lists at the destination, head only."""
        query = {"query_type": "QUERY", "only_metadata": True}
        _, body = await self.ask(self.destination, "POST", f"/b/{self.bucket}/{entry}/q", json=query)
        found, last = 0, "false"
        while last == "false":
            answer, _ = await self.ask(
                self.destination,
                "HEAD",
                f"/b/{self.bucket}/{entry}/batch?q={json.loads(body)['id']}",
                ok=(200, 204),
            )
            found += sum(name.lower().startswith("x-reduct-time-") for name in answer.headers)
            last = answer.headers.get("x-reduct-last", "true")
        return found

    async def pending(self) -> int:
        """Return how many records the engine has still to be told of."""
        return int((await self._task())["pending_records"])

    async def drained(self) -> bool:
        """Tell whether the engine has been told of every record, and nothing is on its way."""
        return await self.pending() == 0 and not self.shown()["in_flight"]

    async def engine_waits(self) -> bool:
        """Tell whether the engine has found nobody to send to, and waits with what it has."""
        task = await self._task()
        return bool(task["pending_records"] and not task["is_active"])

    async def _task(self) -> dict[str, Any]:
        _, body = await self.ask(self.source, "GET", f"/replications/t-{self.source_bucket}")
        return dict(json.loads(body)["info"])

    def shown(self) -> dict[str, Any]:
        """Return the relay's counters."""
        return {} if self.relay is None else self.relay.counters()

    async def until(self, what: Callable[[], bool | Awaitable[bool]], deadline_s: float = 60.0) -> None:
        """Poll a condition."""
        stop = time.monotonic() + deadline_s
        while True:
            met = what()
            if met if isinstance(met, bool) else await met:
                return
            assert time.monotonic() < stop, f"{self.shown()}"
            await asyncio.sleep(0.05)


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.fixture
def hop(new_store_server: Callable[..., Any], bucket_name: str) -> Callable[..., Any]:
    """Open a hop: `async with hop() as h`; the source's retry pause is cut from 5 s to 1 s."""

    @asynccontextmanager
    async def opened(
        token: Any = None,
        through: Callable[[int], Any] | None = None,
        options: RelayOptions | None = None,
        **env: str,
    ) -> AsyncIterator[Hop]:
        source = new_store_server(RS_REPLICATION_TIMEOUT="1")
        destination = new_store_server(**env)
        link = through(destination.port) if through else None
        if link:
            await link.start()
        async with aiohttp.ClientSession() as session:
            made = Hop(source, destination, bucket_name, session)
            made.link = link
            far_url = link.url if link else destination.url
            listen = f"http://127.0.0.1:{free_port()}"  # stays its own while it is stopped
            made.relay = Relay(listen, far_url, token or destination.token, made.secret, options or RelayOptions())
            await made.relay.start()
            try:
                yield made
            finally:
                await made.relay.stop()
                if link:
                    await link.stop()

    return opened


@pytest.fixture
def make_link(bucket_name: str) -> Callable[[int], Link]:
    """Make a proxy that can reset connections to a port."""
    return lambda port: Link(port, random.Random(bucket_name))
