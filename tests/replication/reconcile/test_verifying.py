"""`replicate verify` and `repair`: both ends compared now, from outside, and what differs copied."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fleetbox.blobs import TokenSpec
from fleetbox.cli.root import root
from fleetbox.ledger import Page, Tombstone, write_page
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.listing import Ends, list_both
from fleetbox_replication.reconcile.patience import Patience
from tests.conftest import StoreServer
from tests.replication.reconcile.conftest import BASE_US, NOWHERE, Pair, draft, drafts

Pairs = Callable[[], AbstractAsyncContextManager[Pair]]
Fleet = Callable[[str], Path]


@pytest.fixture
def fleet(tmp_path: Path, store_server: StoreServer, far_server: StoreServer) -> Fleet:
    """Write a fleet of an edge site and a cloud; the edge has a token of its own for the cloud."""

    def write(next_token: str) -> Path:
        (tmp_path / "edge.token").write_text(store_server.token)
        (tmp_path / "next.token").write_text(next_token)
        path = tmp_path / "fleet.toml"
        path.write_text(f"""
[site.edge-1]
store = "{store_server.url}"
token = {{ file = "edge.token" }}
next = "cloud"
next_token = {{ file = "next.token" }}
relay = "{NOWHERE}"
[site.cloud]
store = "{far_server.url}"
token = {{ file = "not-on-this-machine.token" }}
""")
        return path

    return write


def _run(path: Path, *args: str) -> tuple[int, dict[str, Any]]:
    chosen = ["replicate", *args, "--site", "edge-1", "--fleet", str(path), "--json"]
    result = CliRunner().invoke(root, chosen, catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def test_what_differs_is_shown_then_copied(pair: Pairs, fleet: Fleet) -> None:
    """Verify names missing, wrong and late-labelled records and exits 3; repair copies them; then all is well.

    The hop's own token is used: the cloud's is not known on this machine.
    """

    async def scene() -> None:
        async with pair() as p:
            some = drafts(60)
            await p.here.write(p.bucket(), some)
            await p.here.relabel(p.bucket(), {"imu": [some[9].time_us]}, {"policy": "late"})
            await p.there.write(p.bucket(), [*some[:30], draft(30, body="wrong"), *some[35:]])
            await p.make_tasks()
            token = await p.there.ensure_token(TokenSpec(f"{p.robot}-hop", (f"{p.robot}--*",), (f"{p.robot}--*",)))
            path = fleet(token or "")

            code, shown = await asyncio.to_thread(_run, path, "verify", p.robot)
            assert code == 3
            assert (shown["selected"], shown["missing"], shown["wrong"], shown["stale"]) == (60, 4, 1, 1)
            code, shown = await asyncio.to_thread(_run, path, "verify", p.robot, "--stop", str(some[9].time_us))
            assert (code, shown["selected"], shown["amiss"]) == (0, 9, 0)
            code, shown = await asyncio.to_thread(_run, path, "repair", p.robot)
            assert (code, shown["brought"], shown["mended"], shown["relabelled"]) == (0, 4, 1, 1)
            code, shown = await asyncio.to_thread(_run, path, "verify", p.robot)
            assert (code, shown["amiss"], shown["selected"]) == (0, 0, 60)
            assert await p.held(p.there) == await p.held(p.here)

    asyncio.run(scene())


def test_what_is_just_on_its_way_is_not_missing(pair: Pairs, fleet: Fleet) -> None:
    """A young record that arrives a moment after it was looked for is no fault; one that never does is, soon told."""

    async def scene() -> None:
        async with pair() as p:
            now_us = time.time_ns() // 1000
            some = [replace(draft(number), time_us=now_us + number) for number in range(4)]
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some[:2])
            await p.make_tasks()
            ends = Ends((await p.here.task(f"{p.robot}--sensor-to-cloud")).spec, p.here, p.there)  # type: ignore[union-attr]
            waited: list[float] = []

            async def arrive(seconds: float) -> None:
                waited.append(seconds)
                await p.there.write(p.bucket(), some[2:3])

            patience = Patience(sleep=arrive)
            listed = await list_both(ends, "imu", now_us, now_us + 4, Bounds())
            assert [head.time_us - now_us for head in listed.difference.missing] == [2, 3]
            after = await patience.settled(ends, listed, Bounds())
            assert [head.time_us - now_us for head in after.difference.missing] == [3]
            assert 10 < sum(waited) <= 15
            assert await patience.settled(ends, after, Bounds()) == after
            assert sum(waited) <= 15, "in vain once is enough"

            code = asyncio.create_task(asyncio.to_thread(_run, fleet(p.far.token), "verify", p.robot))
            await asyncio.sleep(0.5)
            await p.there.write(p.bucket(), some[3:])
            assert (await code)[0] == 0

    asyncio.run(scene())


def test_deep_reads_the_bytes(pair: Pairs, fleet: Fleet) -> None:
    """Bytes that do not fit their own label are found by --deep alone, and replaced."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(10)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), [*some[:4], replace(some[4], data=some[4].data[::-1]), *some[5:]])
            await p.make_tasks()
            path = fleet(p.far.token)

            assert (await asyncio.to_thread(_run, path, "verify", p.robot))[0] == 0
            code, shown = await asyncio.to_thread(_run, path, "verify", p.robot, "--deep")
            assert (code, shown["wrong"]) == (3, 1)
            code, shown = await asyncio.to_thread(_run, path, "repair", p.robot, "--deep")
            assert (code, shown["mended"]) == (0, 1)
            assert await p.held(p.there) == await p.held(p.here)

    asyncio.run(scene())


def test_what_was_deleted_there_is_no_fault(pair: Pairs, fleet: Fleet) -> None:
    """Records under a tombstone are shown as deleted and are not copied back."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(10)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some[:6])
            await p.make_tasks()
            stone = Tombstone("cloud", "sensor", "imu", some[6].time_us, some[10 - 1].time_us + 1)
            await write_page(p.there, p.bucket("meta"), Page("cloud", p.robot, BASE_US, tombstones=(stone,)))

            code, shown = await asyncio.to_thread(_run, fleet(p.far.token), "repair", p.robot)
            assert (code, shown["deleted"], shown["brought"]) == (0, 4, 0)
            assert len(await p.held(p.there)) == 6

    asyncio.run(scene())


def test_a_destination_that_is_away_or_shut_is_said(pair: Pairs, fleet: Fleet, tmp_path: Path) -> None:
    """Exit 4 when the next site does not answer, 5 when the token will not do."""

    async def scene() -> None:
        async with pair() as p:
            await p.here.write(p.bucket(), drafts(3))
            await p.make_tasks()
            code, shown = await asyncio.to_thread(_run, fleet("wrong"), "verify", p.robot)
            assert (code, list(shown["failed"])) == (5, ["edge-1 to cloud"])
            path = fleet(p.far.token)
            path.write_text(path.read_text().replace(p.far.url, NOWHERE))
            code, shown = await asyncio.to_thread(_run, path, "verify", p.robot)
            assert (code, list(shown["failed"])) == (4, ["edge-1 to cloud"])

    asyncio.run(scene())
