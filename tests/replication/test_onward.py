"""A hop outlives for a while that its own place's store turns it away: the relay goes on, nothing is called proven."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from conftest import StoreServer

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied
from fleetbox.settings import Place, Uplink
from fleetbox_local.processes import free_port
from fleetbox_replication import onward
from fleetbox_replication.onward import Onward


def test_the_relay_outlives_a_refused_token_for_a_while(
    store_server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tasks of a store do not need the token that was turned away; whoever holds the hop is told later."""
    relay = f"http://127.0.0.1:{free_port()}"
    place = Place("r1", "robot", store_server.url, "own", relay)
    ahead = Place("edge", "edge", store_server.url, store_server.token)

    async def main() -> None:
        async with Store(store_server.url, "revoked") as denied, asyncio.timeout(90):
            monkeypatch.setattr(onward, "DENIED_S", 3_600.0)
            hop = Onward(place, ahead, lambda: denied, tmp_path, Uplink())
            task = asyncio.create_task(hop.run())
            await _answers(relay)
            while hop._reconciler is not None:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            await _answers(relay)
            assert not task.done()
            assert (hop.is_proven("log", "app", 0), hop.proven("log", "app", 0, 9), list(hop.unproven())) == (
                False, [], [],
            )  # fmt: skip
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            monkeypatch.setattr(onward, "DENIED_S", 0.0)  # the while is over
            with pytest.raises(AccessDenied):
                await Onward(place, ahead, lambda: denied, tmp_path, Uplink()).run()

    asyncio.run(main())


async def _answers(url: str) -> None:
    """Wait until somebody listens."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/relay/status") as answer:
                    await answer.read()
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
