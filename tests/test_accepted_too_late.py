"""The tests' own mending of asyncio."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest


@pytest.mark.parametrize("turns", range(5))
def test_a_server_that_closes_leaves_no_connection_open(turns: int) -> None:
    """Whatever turn of the event loop a connect falls into, nothing warns of it later."""

    async def closing() -> socket.socket:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        for _ in range(turns):
            await asyncio.sleep(0)
        server.close()
        await asyncio.sleep(0.02)
        return client

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(closing()).close()
        gc.collect()
    assert [str(one.message) for one in told if one.category is ResourceWarning] == []
