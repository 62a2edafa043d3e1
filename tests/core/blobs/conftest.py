"""Fixtures for the blob port: a bucket of one's own, and writes that break off half-way."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
    deadline_s = time.monotonic() + 10
    while (found := _status(server, bucket, item)) != status:
        assert time.monotonic() < deadline_s, f"the store says {found}, not {status}, of {item.entry} {item.time_us}"


def _status(server: Server, bucket: str, item: Draft) -> int:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
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
