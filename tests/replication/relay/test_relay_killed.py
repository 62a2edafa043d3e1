"""A relay that is killed in mid-flow: the engine drops what was on its way, a sweep brings it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox_local.ports import free_port
from fleetbox_replication.reconcile import Copier, Ends, sweep

Hops = Callable[..., Any]

RUN = """
import asyncio, sys
from fleetbox_replication.relay import Relay

async def run(listen, there, token, secret):
    relay = Relay(listen, there, token, secret)
    await relay.start()
    print(relay.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(run(*sys.argv[1:]))
"""


HASTE = 20  # a half-written record is healed after 60 s; the killed relay left some, and 3 s will do here


def store(server: Any, haste: int = 1) -> Store:
    """Open a server's store, with a clock that runs faster."""
    return Store(server.url, server.token, monotonic_s=lambda: haste * time.monotonic())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_relay_loses_nothing_it_had_on_its_way(hop: Hops) -> None:
    """Killed twice among flowing records: once the engine waits for nothing, a sweep brings what it dropped."""

    async def start(h: Any, listen: str) -> tuple[Any, str]:
        arguments = [listen, h.destination.url, h.destination.token, h.secret]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUN, *arguments),
            stdout=asyncio.subprocess.PIPE,
        )
        return child, (await child.stdout.readline()).decode().strip()

    async def flow(h: Any, enough: asyncio.Event) -> None:
        """Write for as long as it takes to meet the relay in mid-flow, some hundred records ahead of it at most."""
        first = 1
        while not enough.is_set():
            if await h.pending() < 600:
                await h.write("cam", range(first * 1_000, (first + 80) * 1_000, 1_000), 60_000)
                first += 80
            else:
                await asyncio.sleep(0.05)

    async def in_flow(h: Any, url: str) -> bool:
        async with h.session.get(f"{url}/relay/status") as answer:
            shown = json.loads(await answer.read())
            return bool(shown["records"] > 100 and shown["in_flight"])

    async def sweep_when_idle(h: Any) -> None:
        async with store(h.source) as source, store(h.destination, HASTE) as there:

            async def swept() -> bool:
                task = (await source.tasks())[0]
                return (
                    not task.pending
                    and (await sweep(Copier(Ends(task.spec, source, there), lambda *_: nullcontext()))).clean
                )

            await h.until(swept, 90.0)

    async def run() -> None:
        async with hop() as h:
            child, url = await start(h, f"http://127.0.0.1:{free_port()}")
            await h.open(url)
            enough = asyncio.Event()
            writing = asyncio.create_task(flow(h, enough))
            for _ in range(2):
                await h.until(lambda: in_flow(h, url))
                child.kill()
                await child.wait()
                child, _ = await start(h, url)
            enough.set()
            await writing
            await sweep_when_idle(h)
            await h.arrived()
            child.kill()
            await child.wait()

    asyncio.run(run())
