"""A disk near its floor on a real store: the least valuable goes first, the floor holds, everything is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.ledger import MINUTE_US, Count, Ledger, read_ledger
from fleetbox.naming import RING_CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import Policy, parse_policy
from fleetbox_edge.retention import Keeper, KeeperOptions
from fleetbox_edge.retention import removing as removing_module
from fleetbox_edge.retention.removing import Note, Removing

from ..conftest import Robot

START_US = 1_700_000_000_000_000 - 1_700_000_000_000_000 % MINUTE_US
NOW_US = START_US + 60 * MINUTE_US
SIZE = 10_000
A_MINUTE = 6  # records of a stream


@dataclass(frozen=True)
class Told:
    """A proven minute as a reconciler tells of it."""

    minute_us: int
    told: Count = field(default_factory=Count)
    since_us: int = 0


@dataclass
class Rig:
    """A store whose disk is as large as we say, and a site that holds the minutes we say."""

    store: Store
    robot: Robot
    disk_bytes: int = 10_000_000
    held: set[tuple[str, str, int]] = field(default_factory=set)
    policy: Policy = field(default_factory=Policy)
    used_bytes: int = 0
    knows: bool = True
    now_s: float = 0.0  # else a slow look ends early, for the next

    async def renew(self) -> None:
        """Nothing to do: the token stays."""

    async def ensure_bucket(self, cls: str) -> None:
        """Make a bucket."""
        await self.store.ensure_bucket(cls, bucket_spec(cls, 1_000_000_000))

    async def fill(self, cls: str, stream: str, minutes: range, keep: str | None = None) -> None:
        """Record some minutes of a stream."""
        labels = {"robot": self.robot.id, "type": "file"} | ({"keep": keep, "policy": "abc"} if keep else {})
        drafts = [
            Draft(stream, START_US + minute * MINUTE_US + at * 10_000_000, bytes(SIZE), labels, "text/plain")
            for minute in minutes
            for at in range(A_MINUTE)
        ]
        assert not (await self.store.write(cls, drafts)).refused

    def proven(self, bucket: str, stream: str, start_us: int, count: int) -> list[Told]:
        """Answer as a reconciler does."""
        return [Told(at) for cls, name, at in sorted(self.held) if (cls, name) == (bucket, stream) and at >= start_us]

    async def measure(self) -> None:
        """Look how much the store holds now."""
        self.used_bytes = 0
        for cls in RING_CLASSES:
            try:
                self.used_bytes += sum(item.size_bytes for item in await self.store.entries(cls))
            except NotFound:
                continue

    def keeper(self, leave_free: int, headroom: int = 0) -> Keeper:
        """Return what watches this disk."""
        settings = self.robot.settings
        settings = settings.model_copy(update={"ring": settings.ring.model_copy(update={"leave_free": leave_free})})
        options = KeeperOptions(
            proven=lambda *asked: self.proven(*asked) if self.knows else [], knows=lambda: self.knows,
            free_bytes=lambda: self.disk_bytes - self.used_bytes, headroom_bytes=headroom,
            sure_s=0.0, now_us=lambda: NOW_US, monotonic_s=lambda: self.now_s,
        )  # fmt: skip
        return Keeper(self, settings, lambda: self.policy, options)

    async def left(self) -> Counter[str]:
        """Count what is in the store, by stream."""
        counts: Counter[str] = Counter()
        for cls in RING_CLASSES:
            try:
                async for head in self.store.query(cls, start_us=0, head=True):
                    counts[head.entry] += 1
            except NotFound:
                continue
        return counts

    async def ledger(self) -> Ledger:
        """Return what the robot's ledger tells."""
        return await read_ledger(self.store, "meta", self.robot.id)


Play = Callable[[Callable[[Rig], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def play(robot: Robot) -> Play:
    """Play a scene on a robot's own store."""

    def run(scene: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with Store(robot.url, robot.token) as store:
                rig = Rig(store, robot)
                for cls in (*RING_CLASSES, "meta"):
                    await rig.ensure_bucket(cls)
                await scene(rig)

        asyncio.run(main())

    return run


def test_unselected_goes_first_then_delivered_and_what_only_the_robot_has_stays_until_the_floor(play: Play) -> None:
    """One rank after the other, each record counted with its reason, and never more than is needed."""

    async def scene(rig: Rig) -> None:
        await rig.fill("log", "plain", range(4))
        await rig.fill("log", "sent", range(4), "1")
        await rig.fill("log", "waits", range(4), "1")
        rig.held = {("log", "sent", START_US + minute * MINUTE_US) for minute in range(4)}
        await rig.measure()
        need = 2 * A_MINUTE * SIZE  # two minutes of a stream
        await rig.keeper(rig.disk_bytes - rig.used_bytes + need - 5_000).look()
        assert await rig.left() == {"plain": 2 * A_MINUTE, "sent": 4 * A_MINUTE, "waits": 4 * A_MINUTE}
        await rig.measure()
        await rig.keeper(rig.disk_bytes - rig.used_bytes + 2 * need - 5_000).look()
        assert await rig.left() == {"sent": 2 * A_MINUTE, "waits": 4 * A_MINUTE}
        await rig.measure()
        await rig.keeper(leave_free=0, headroom=rig.disk_bytes).look()  # near the floor, and not below it
        assert await rig.left() == {"waits": 4 * A_MINUTE}
        await rig.measure()
        await rig.keeper(rig.disk_bytes - rig.used_bytes + 5_000).look()  # below it
        assert await rig.left() == {"waits": 3 * A_MINUTE}
        told = (await rig.ledger()).removals
        by_reason: Counter[str] = Counter()
        for one in told:
            by_reason[one.reason] += one.records
        assert by_reason == {
            "room on the disk": 4 * A_MINUTE,
            "room on the disk, delivered": 4 * A_MINUTE,
            "room on the disk, not delivered": A_MINUTE,
        }
        assert sum(one.undelivered for one in told) == A_MINUTE
        assert sum(one.bytes for one in told) == 9 * A_MINUTE * SIZE

    play(scene)


def test_while_the_hop_starts_what_the_site_has_is_not_taken_for_undelivered(play: Play) -> None:
    """Below the floor only the unselected goes while nobody says what was delivered; for a minute, not for ever."""

    async def scene(rig: Rig) -> None:
        await rig.fill("log", "plain", range(1))
        await rig.fill("log", "waits", range(4), "1")
        await rig.fill("log", "sent", range(4, 8), "1")
        rig.held = {("log", "sent", START_US + minute * MINUTE_US) for minute in range(4, 8)}
        rig.knows = False
        await rig.measure()
        keeper = rig.keeper(rig.disk_bytes - rig.used_bytes + 3 * A_MINUTE * SIZE - 5_000)
        for _ in range(2):
            await keeper.look()
            assert await rig.left() == {"waits": 4 * A_MINUTE, "sent": 4 * A_MINUTE}
            await rig.measure()
            rig.now_s += 59.0
        rig.knows = True
        await keeper.look()
        assert await rig.left() == {"waits": 4 * A_MINUTE, "sent": 2 * A_MINUTE}
        rig.knows = False  # and the disk is measured no more: it lacks as much again
        await keeper.look()
        assert (await rig.left())["waits"] == 4 * A_MINUTE
        rig.now_s += 61.0
        await keeper.look()
        assert (await rig.left())["waits"] < 4 * A_MINUTE, "the floor holds also where no hop ever runs"

    play(scene)


def test_small_frames_outlive_their_originals(play: Play) -> None:
    """The pictures go before the thumbnails made of them, even younger ones."""

    async def scene(rig: Rig) -> None:
        await rig.fill("media", "cam/thumbnail", range(2))
        await rig.fill("media", "cam", range(2, 4))
        await rig.measure()
        need = 2 * A_MINUTE * SIZE
        await rig.keeper(rig.disk_bytes - rig.used_bytes + need - 5_000).look()
        assert await rig.left() == {"cam/thumbnail": 2 * A_MINUTE}

    play(scene)


def test_what_nobody_selected_goes_when_it_is_older_than_its_rule_keeps_it(play: Play) -> None:
    """With room enough only the policy's own retention removes, and what was selected stays."""

    async def scene(rig: Rig) -> None:
        rig.policy = parse_policy('[stream."plain"]\nretention = "30m"\n')
        await rig.fill("log", "plain", range(0, 60, 20))
        await rig.fill("log", "plain", range(1, 2), "1")
        await rig.fill("log", "other", range(2))
        keeper = rig.keeper(leave_free=0)
        await keeper.look()
        assert await rig.left() == {"plain": 2 * A_MINUTE, "other": 2 * A_MINUTE}
        assert keeper.removing.gone == {"older than the policy keeps": 2 * A_MINUTE}

    play(scene)


def test_a_proof_that_is_too_fresh_is_none(play: Play) -> None:
    """A site that is killed may forget what it said a minute ago."""

    async def scene(rig: Rig) -> None:
        await rig.fill("log", "sent", range(2), "1")
        rig.held = {("log", "sent", START_US), ("log", "sent", START_US + MINUTE_US)}
        keeper = rig.keeper(leave_free=0, headroom=rig.disk_bytes)
        keeper._options = replace(keeper._options, sure_s=NOW_US / 1e6 + 1)
        await keeper.look()
        assert await rig.left() == {"sent": 2 * A_MINUTE}

    play(scene)


@pytest.mark.parametrize("gone", [0, 3, A_MINUTE])
def test_a_removal_cut_by_a_kill_is_counted_by_the_next_process_as_far_as_it_went(play: Play, gone: int) -> None:
    """The note on the disk says what was to go; what is there still is not counted as gone."""

    async def scene(rig: Rig) -> None:
        await rig.fill("log", "plain", range(1))
        times = [START_US + at * 10_000_000 for at in range(A_MINUTE)]
        records = tuple(removing_module.Worth("log", "plain", at, at, SIZE, selected=False) for at in times)
        path = rig.robot.folder / "state" / "retention.json"
        first = Removing(rig, rig.robot.id, path, lambda *where: None, lambda: NOW_US)
        first._write(Note("room on the disk", records, NOW_US))
        await rig.store.delete("log", "plain", times[:gone])  # and here it was killed
        touched: list[tuple[str, str, int]] = []
        again = Removing(rig, rig.robot.id, path, lambda *where: touched.append(where), lambda: NOW_US + 1)
        assert await again.finish() == gone
        assert await again.finish() == 0
        assert sum(one.records for one in (await rig.ledger()).removals) == gone
        assert bool(touched) == bool(gone)
        assert (await rig.left())["plain"] == A_MINUTE - gone

    play(scene)


def test_a_page_told_twice_counts_once(play: Play) -> None:
    """Killed between the page and the end of the note, the next process says the same again."""

    async def scene(rig: Rig) -> None:
        await rig.fill("log", "plain", range(1))
        path = rig.robot.folder / "state" / "retention.json"
        for _ in range(2):
            records = tuple(
                removing_module.Worth("log", "plain", START_US + at * 10_000_000, 0, SIZE, selected=False)
                for at in range(A_MINUTE)
            )
            removing = Removing(rig, rig.robot.id, path, lambda *where: None, lambda: NOW_US)
            removing._write(Note("room on the disk", records, NOW_US))
            await rig.store.delete("log", "plain", [one.time_us for one in records])
            await removing.finish()
        assert sum(one.records for one in (await rig.ledger()).removals) == A_MINUTE

    play(scene)
