"""Fixtures for the blob port: a bucket of one's own, and writes that break off half-way."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from itertools import accumulate
from typing import Any, Protocol

import pytest
import xxhash

from fleetbox.blobs import BucketSpec, Store
from fleetbox.blobs.headers import encode_drafts
from fleetbox.records import Draft

KEEP_ALL = BucketSpec("NONE", 0)


class Server(Protocol):
    """What the tests need of a server."""

    url: str
    token: str


Opened = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture
def opened(store_server: Server, bucket_name: str) -> Opened:
    """Open the shared store with a fresh bucket: `async with opened(monotonic_s=...) as store`."""

    @asynccontextmanager
    async def open_store(spec: BucketSpec = KEEP_ALL, **settings: Any) -> AsyncIterator[Store]:
        async with Store(store_server.url, store_server.token, **settings) as store:
            await store.ensure_bucket(bucket_name, spec)
            yield store

    return open_store


def draft(entry: str, time_us: int, data: bytes | None = None, **labels: str) -> Draft:
    """A draft with the labels an agent gives it; without data, random bytes of its own."""
    payload = random.randbytes(40) if data is None else data
    return Draft(entry, time_us, payload, {"xxh": xxhash.xxh3_64_hexdigest(payload), **labels}, "text/plain")


@pytest.fixture
def make_draft() -> Callable[..., Draft]:
    """Make drafts: make_draft(entry, time_us, data=None, **labels)."""
    return draft


def _await(server: Server, bucket: str, item: Draft, status: int) -> None:
    """Wait until the store says `status` of a record."""
    deadline_s = time.monotonic() + 60
    while (found := _status(server, bucket, item)) != status:
        assert time.monotonic() < deadline_s, f"the store says {found}, not {status}, of {item.entry} {item.time_us}"


def _status(server: Server, bucket: str, item: Draft) -> int:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        path = f"/api/v1/b/{bucket}/{item.entry}?ts={item.time_us}"
        connection.request("HEAD", path, headers={"Authorization": f"Bearer {server.token}"})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def tear(store_server: Server, bucket_name: str) -> Callable[[Sequence[Draft], int], None]:
    """Send a batch's headers and the first bytes of its body, then reset the connection."""

    def send(drafts: Sequence[Draft], body_bytes: int) -> None:
        host, port = store_server.url.removeprefix("http://").split(":")
        body = b"".join(item.data for item in drafts)
        headers = encode_drafts(drafts) | {
            "Host": host,
            "Authorization": f"Bearer {store_server.token}",
            "Content-Length": str(len(body)),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with socket.create_connection((host, int(port))) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close = reset
            raw.sendall(f"POST /api/v1/io/{bucket_name}/write HTTP/1.1\r\n{lines}\r\n".encode() + body[:body_bytes])
            _await(store_server, bucket_name, drafts[-1], 425)  # a reset also throws away what is not read yet
            sizes = list(accumulate(len(item.data) for item in drafts))
            whole = [item for item, end in zip(drafts, sizes, strict=True) if end <= body_bytes]
            _await(store_server, bucket_name, whole[-1], 200)

    return send


class _Front:
    """Pass bytes between clients and a store, in threads; may speak TLS, may cut every n-th request off."""

    def __init__(self, port: int, tls: ssl.SSLContext | None, cut_every: int | None) -> None:
        self._port = port
        self._tls = tls
        self._cut_every = cut_every
        self._requests = itertools.count(1)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.door = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)

    def close(self) -> None:
        self.door.shutdown(socket.SHUT_RDWR)
        for side in [self.door, *self._open]:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        for side in [self.door, *self._open]:
            side.close()

    def _start(self, work: Callable[..., None], *given: socket.socket) -> None:
        thread = threading.Thread(target=self._until_gone, args=(work, *given), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _until_gone(self, work: Callable[..., None], *given: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either side may hang up at any time
            work(*given)

    def _accept(self) -> None:
        while True:
            outer, _ = self.door.accept()
            self._open.append(outer)
            self._start(self._serve, outer)

    def _serve(self, outer: socket.socket) -> None:
        if self._tls is not None:
            outer = self._tls.wrap_socket(outer, server_side=True)
        inner = socket.create_connection(("127.0.0.1", self._port))
        self._open += [outer, inner]
        if self._cut_every is None:
            self._start(self._pass_on, inner, outer)
            self._pass_on(outer, inner)
            return
        while next(self._requests) % self._cut_every:
            inner.sendall(_message(outer))
            outer.sendall(_message(inner))
        inner.sendall(_message(outer))
        _message(inner)
        outer.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _message(side: socket.socket) -> bytes:
    """Read one whole request or answer, by its content-length."""
    data, length = b"", None
    while length is None or len(data) < length:
        piece = side.recv(1 << 16)
        if not piece:
            raise ConnectionError("hung up")
        data += piece
        head, found, _ = data.partition(b"\r\n\r\n")
        if found and length is None:
            sizes = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
            bare = b" 204 " in head[:20]  # the engine announces a length there, and sends nothing
            length = len(head) + 4 + int(sizes[0] if sizes and not bare else 0)
    return data


@pytest.fixture
def in_front_of() -> Callable[..., AbstractContextManager[str]]:
    """Stand between a client and a server: `with in_front_of(server, tls=context, cut_every=3) as url`."""

    @contextlib.contextmanager
    def stand(server: Server, tls: ssl.SSLContext | None = None, cut_every: int | None = None) -> Iterator[str]:
        front = _Front(int(server.url.rsplit(":", 1)[1]), tls, cut_every)
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{front.door.getsockname()[1]}"
        finally:
            front.close()

    return stand
