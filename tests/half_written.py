"""A record whose second half is still to come: the engine counts it already, and nobody can read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from conftest import StoreServer

from fleetbox.blobs import Store
from fleetbox.records import Draft


@asynccontextmanager
async def half_written(server: StoreServer, bucket: str, draft: Draft) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Write the first half of a record, which the store's sizes show then; yields what writes the other half."""
    address, half = urlsplit(server.url), len(draft.data) // 2
    async with Store(server.url, server.token) as store:
        before = (await store.bucket_sizes())[bucket]
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        head = [f"POST /api/v1/b/{bucket}/{draft.entry}?ts={draft.time_us} HTTP/1.1", "Host: store"]
        head += [f"Authorization: Bearer {server.token}", f"Content-Type: {draft.content_type}"]
        head += [f"x-reduct-label-{name}: {value}" for name, value in draft.labels.items()]
        head += [f"Content-Length: {len(draft.data)}", "Connection: close", "", ""]

        async def end() -> None:
            writer.write(draft.data[half:])
            assert (await reader.readline()).split()[1] == b"200"
            await reader.read()

        try:
            writer.write("\r\n".join(head).encode() + draft.data[:half])
            async with asyncio.timeout(120):
                while (await store.bucket_sizes())[bucket] == before:  # noqa: ASYNC110 - servers set no event here
                    await asyncio.sleep(0.02)
            yield end
        finally:
            writer.close()
            await writer.wait_closed()
