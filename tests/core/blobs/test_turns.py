"""Writes and removals of one entry come one after the other, within a process and between processes."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetbox.blobs import Store
from fleetbox.blobs.turns import Turns
from fleetbox.blobs.turnstile import Turnstile
from fleetbox.errors import Unreachable
from fleetbox.records import Draft

from .conftest import Opened

T = 10**15  # µs
WRITERS = 3
BATCHES = 40
HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_writers_side_by_side_spoil_nothing(opened: Opened, bucket_name: str, make_draft: Callable[..., Draft]) -> None:
    """Three tasks that write batches to one entry at once, in turns: every record is listed and holds its bytes."""

    async def work(store: Store, clock: list[int]) -> list[Draft]:
        drafts: list[Draft] = []
        for _ in range(BATCHES):
            batch = []
            for _ in range(random.randint(1, 20)):
                clock[0] += random.randint(1, 40)
                batch.append(make_draft("cam", clock[0], random.randbytes(3_000)))
            await asyncio.sleep(0)
            assert (await store.write(bucket_name, batch)).refused == []
            drafts += batch
        return drafts

    async def judge() -> None:
        async with opened() as store:
            clock = [T]
            some = await asyncio.gather(*(work(store, clock) for _ in range(WRITERS)))
            written = [draft for drafts in some for draft in drafts]
            stored = {record.time_us: record.data async for record in store.query(bucket_name, ("cam",), start_us=1)}
            assert stored == {draft.time_us: draft.data for draft in written}

    asyncio.run(judge())


def test_one_at_a_time_has_an_entry() -> None:
    """Writes that share an entry exclude each other, others do not; a removal that waits goes first."""

    async def judge() -> None:
        turns = Turns()
        order: list[str] = []

        async def write(name: str, *entries: str) -> None:
            async with turns.writing({("b", entry) for entry in entries}):
                order.append(f"+{name}")
                await asyncio.sleep(0.01)
                order.append(f"-{name}")

        async def remove() -> None:
            async with turns.removing(("b", "x")):
                order.append("removed")

        async with asyncio.TaskGroup() as group:
            group.create_task(write("1", "x", "y"))
            group.create_task(write("2", "z"))
            await asyncio.sleep(0)
            assert turns.busy(("b", "x"))
            group.create_task(write("3", "y"))
            group.create_task(remove())
            await asyncio.sleep(0)
            group.create_task(write("4", "x"))
        assert order[:2] == ["+1", "+2"]
        assert order.index("-1") < order.index("removed") < order.index("+4")
        assert order.index("-1") < order.index("+3")
        assert not turns.busy(("b", "x"))

    asyncio.run(judge())


def test_a_killed_process_gives_its_turn_back(tmp_path: Path) -> None:
    """While another process has the turn we wait; once it is killed we are in."""

    async def judge(kill: Callable[[], None]) -> None:
        stile = Turnstile(tmp_path, "media")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), stile.passing():
                pass
        kill()
        async with asyncio.timeout(60), stile.passing():
            pass

    command = [sys.executable, "-c", HOLDER, str(tmp_path / "media.turn")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        asyncio.run(judge(holder.kill))


def test_a_turn_that_is_never_given_back_is_said(tmp_path: Path) -> None:
    """After a minute by its clock the error names the file and how to find who holds it."""

    async def judge() -> None:
        ticks = iter(range(0, 10_000, 30))
        first = Turnstile(tmp_path, "media")
        second = Turnstile(tmp_path, "media", monotonic_s=lambda: float(next(ticks)))
        async with first.passing():
            with pytest.raises(Unreachable, match=r"another process has held .*media\.turn"):
                async with second.passing():
                    pass

    asyncio.run(judge())


def test_two_that_share_a_process_and_one_that_does_not(tmp_path: Path) -> None:
    """Tasks of one side go in together; the other side has its turn although they never pause."""

    async def judge() -> None:
        seconds = [0.0]
        ours = Turnstile(tmp_path, "media", monotonic_s=lambda: seconds[0])
        theirs = Turnstile(tmp_path, "media")
        passed = 0

        async def busy(until: asyncio.Event) -> None:
            nonlocal passed
            while not until.is_set():
                async with ours.passing():
                    passed += 1
                    seconds[0] += 0.1
                    await asyncio.sleep(0.001)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            done = asyncio.Event()
            for _ in range(3):
                group.create_task(busy(done))
            await asyncio.sleep(0.01)
            async with theirs.passing():
                held = passed
                await asyncio.sleep(0.02)
                assert passed == held
            done.set()
        assert passed >= held

    asyncio.run(judge())
