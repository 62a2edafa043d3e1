"""A relay that is killed in mid-flow: the engine drops what was on its way, the next relay has it sent again."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Hops = Callable[..., Any]

RUN = """
import asyncio, sys
from pathlib import Path
from fleetbox_replication.recovery import Recovery
from fleetbox_replication.relay import Relay

async def run(listen, there, token, secret, journal, source, source_token):
    relay = Relay(listen, there, token, secret, recovery=Recovery(Path(journal), source, lambda: source_token))
    await relay.start()
    print(relay.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(run(*sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_killed_relay_loses_nothing_it_had_on_its_way(hop: Hops, tmp_path: Path) -> None:
    """Killed three times among flowing records, the next relay has what was on its way sent again."""

    async def start(h: Any, listen: str) -> tuple[Any, str]:
        arguments = [listen, h.destination.url, h.destination.token, h.secret]
        journal = str(tmp_path / "journal")
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUN, *arguments, journal, h.source.url, h.source.token),
            stdout=asyncio.subprocess.PIPE,
        )
        return child, (await child.stdout.readline()).decode().strip()

    async def in_flow(h: Any, url: str) -> bool:
        async with h.session.get(f"{url}/relay/status") as answer:
            shown = json.loads(await answer.read())
            return bool(shown["records"] > 100 and shown["in_flight"])

    async def run() -> None:
        async with hop() as h:
            child, url = await start(h, "http://127.0.0.1:0")
            await h.open(url)
            writing = asyncio.create_task(h.write("cam", range(1_000, 2_000_000, 1_000), 60_000))
            for _ in range(3):
                await h.until(lambda: in_flow(h, url))
                child.kill()
                await child.wait()
                child, _ = await start(h, url)
            await writing
            await h.arrived(40)
            child.kill()
            await child.wait()

    asyncio.run(run())
