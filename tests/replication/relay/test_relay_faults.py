"""The relay among broken links, full stores and revoked tokens: every record is counted and read back one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Hops = Callable[..., Any]


def ticks(first: int, end: int) -> range:
    """Return times as sensors make them: apart by more than a µs."""
    return range(first * 1_000, end * 1_000, 1_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_resets_in_mid_request_lose_nothing(hop: Hops, make_link: Callable[[int], Any]) -> None:
    """A link that is reset twenty times inside requests leaves torn records, which are healed, and none is lost."""

    async def run() -> None:
        async with hop(through=make_link) as h:
            link = h.link
            await h.open(h.relay.url)
            link.resets_left = 20
            for start in range(1, 2_000, 200):
                await h.write("cam", ticks(start, start + 200), 20_000)
            await h.write("lidar", ticks(1, 60), 150_000)
            await h.arrived()
            await h.until(h.drained)
            shown = h.relay.counters()
            assert link.resets == 20
            assert shown["healed"]["torn"] > 0
            assert shown["conflicts"] == 0

    asyncio.run(run())


@pytest.mark.slow
def test_a_killed_destination_loses_nothing(hop: Hops) -> None:
    """The destination is killed twice while records flow and comes back on the same data."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            writing = asyncio.create_task(h.write("cam", ticks(1, 1_500), 30_000))
            for _ in range(2):
                await asyncio.sleep(0.25)  # some batches are through, some are on the wire
                await asyncio.to_thread(h.destination.kill)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(h.destination.start)
            await writing
            await h.arrived()

    asyncio.run(run())


@pytest.mark.slow
def test_full_quota_revoked_token_and_lost_bucket_heal_by_themselves(hop: Hops, tmp_path: Path) -> None:
    """A HARD quota is lifted, a revoked token replaced in its file, a deleted bucket made anew: all records arrive."""

    async def make_token(h: Any, name: str) -> str:
        import json

        wanted = {"permissions": {"full_access": False, "read": [h.bucket], "write": [h.bucket]}}
        _, body = await h.ask(h.destination, "POST", f"/tokens/{name}", json=wanted)
        return str(json.loads(body)["value"])

    async def faults() -> None:
        token_file = tmp_path / "token"
        token_file.write_text("none yet")
        async with hop(token=token_file.read_text) as h:
            await h.open(h.relay.url, quota_type="HARD", quota_size=3_000_000)
            token_file.write_text(await make_token(h, "first"))
            await h.write("cam", ticks(1, 501), 20_000)
            await h.until(lambda: any(item["status"] == 400 for item in h.shown()["refused"]))
            refusal = next(item for item in h.shown()["refused"] if item["status"] == 400)
            assert refusal["active"]
            assert refusal["bucket"] == h.bucket
            assert "quota" in refusal["next_step"]
            await h.ask(h.destination, "PUT", f"/b/{h.bucket}", json={"quota_type": "NONE"})
            await h.arrived()
            await h.until(lambda: not [item for item in h.shown()["refused"] if item["active"]])

            await h.ask(h.destination, "DELETE", "/tokens/first")
            await h.write("cam", ticks(501, 701), 20_000)
            await h.until(lambda: any(item["status"] == 401 and item["active"] for item in h.shown()["refused"]))
            token_file.write_text(await make_token(h, "second"))
            await h.arrived()

            await h.ask(h.destination, "DELETE", f"/b/{h.bucket}")  # the engine also takes it out of every token
            h.written.clear()  # what stood there was deleted on purpose; the next ones must arrive
            await h.write("cam", ticks(701, 901), 20_000)
            await h.until(lambda: any(item["status"] == 403 and item["active"] for item in h.shown()["refused"]))
            await h.make_bucket()
            token_file.write_text(await make_token(h, "third"))
            await h.arrived()

    asyncio.run(faults())
