"""What always travels, but not at once: labelled in its hours or when the robot is idle, each record once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import StoreServer

from fleetbox.blobs import Store
from fleetbox.ledger import minute_of
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import Policy, parse_policy
from fleetbox_edge.selection import labels_at_write
from fleetbox_replication.late_shipping import SETTLE_US, Ahead, LateOptions, LateShipping, Moment, followed, may_go

START_US = 1_700_000_000_000_000
S = 1_000_000
IDLE = parse_policy('[stream."cam"]\nship = "always"\nat = "idle"\nto = "edge"\n')
NIGHT = parse_policy('[stream."cam"]\nship = "always"\nat = "22:00-06:00"\n')
AT_ONCE = parse_policy('[stream."cam"]\nship = "always"\n')
ON_EVENT = parse_policy('[stream."cam"]\nship = "event"\n')
CAM = ("media", "cam")


@dataclass
class Rig:
    """A robot's store whose clock, idleness and policy we set."""

    store: Store
    folder: Path
    policy: Policy = IDLE
    idle: bool = False
    now_us: int = START_US
    unsent_us: int | None = None
    minute: int = 0
    touched: list[tuple[str, str, int]] = field(default_factory=list)
    spent: int = 0

    def late(self) -> LateShipping:
        """Return late shipping as a process that starts now has it."""

        def spend(size: int) -> None:
            self.spent += size

        options = LateOptions(
            idle=lambda: self.idle, backlog=lambda: self.unsent_us, touched=lambda *where: self.touched.append(where),
            spent=spend, now_us=lambda: self.now_us, minute_of_day=lambda: self.minute,
            monotonic_s=lambda: 0.0,  # a step has all the time it needs: a busy machine would end it half-way
        )  # fmt: skip
        return LateShipping(lambda: self.store, lambda: self.policy, self.folder / "late.json", options)

    async def record(self, first_s: int, last_s: int, **labels: str) -> None:
        """Record a picture a second, labelled as the policy says at write."""
        labels = labels or labels_at_write(self.policy, "media", "cam")
        drafts = [Draft("cam", START_US + at * S, b"picture", labels, "image/jpeg") for at in range(first_s, last_s)]
        assert not (await self.store.write("media", drafts)).refused

    async def kept(self) -> Counter[str]:
        """Count the pictures by their label `keep`."""
        return Counter(
            [head.labels.get("keep", "-") async for head in self.store.query("media", start_us=0, head=True)]
        )


Play = Callable[[Callable[[Rig], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def play(new_store_server: Callable[..., StoreServer], tmp_path: Path) -> Play:
    """Play a scene on a robot's own store."""
    server = new_store_server()

    def run(scene: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with Store(server.url, server.token) as store:
                await store.ensure_bucket("media", bucket_spec("media", 1_000_000_000))
                await scene(Rig(store, tmp_path / "state"))

        asyncio.run(main())

    return run


def test_hours_and_idleness_decide_and_without_either_it_goes_at_once() -> None:
    """The rule's `at` is all that is asked."""
    night, idle, now = NIGHT.rule_for("cam"), IDLE.rule_for("cam"), AT_ONCE.rule_for("cam")
    assert may_go(night, Moment(23 * 60, idle=False))
    assert not may_go(night, Moment(12 * 60, idle=True))
    assert may_go(idle, Moment(0, idle=True))
    assert not may_go(idle, Moment(0, idle=False))
    assert may_go(now, Moment(0, idle=False))


def test_a_policy_that_no_longer_waits_brings_what_waited_to_an_end() -> None:
    """Later records carry their label from the start; those between would otherwise never travel."""
    waiting = followed({}, IDLE, [CAM], START_US, START_US + S)
    assert waiting == {CAM: Ahead(START_US, None, START_US)}
    ended = followed(waiting, AT_ONCE, [CAM], START_US + S, START_US + 2 * S)
    assert ended == {CAM: Ahead(START_US, START_US + 2 * S, START_US)}
    assert followed(ended, AT_ONCE, [CAM], START_US + S, START_US + 9 * S) == ended
    assert followed(ended, ON_EVENT, [CAM], START_US, START_US) == {}
    assert followed({CAM: Ahead(5, 5)}, AT_ONCE, [CAM], 0, 9) == {}
    assert followed(ended, IDLE, [CAM], START_US, START_US) == waiting


def test_what_waits_is_labelled_once_the_robot_is_idle_and_never_twice(play: Play) -> None:
    """Nothing while it is busy, all of it when it is not, and an event's label stays as it is."""

    async def scene(rig: Rig) -> None:
        late = rig.late()
        await late.step()
        await rig.record(0, 50)
        await rig.record(50, 60, keep="1", policy="event")
        rig.now_us += 60 * S + SETTLE_US
        assert await late.step() == 0
        assert await rig.kept() == {"-": 50, "1": 10}
        rig.idle = True
        assert await late.step() == 50
        assert await rig.kept() == {"edge": 50, "1": 10}
        assert await late.step() == 0
        assert {minute_of(at) for _, _, at in rig.touched} == {minute_of(START_US), minute_of(START_US + 49 * S)}
        assert rig.spent == 50 * len(b"picture")

    play(scene)


def test_a_restart_goes_on_where_it_was_and_finds_what_came_late(play: Play) -> None:
    """How far it came stands in a file; records of another process' spool, written since, are found."""

    async def scene(rig: Rig) -> None:
        first = rig.late()
        await first.step()
        await rig.record(0, 30)
        rig.now_us += 30 * S + SETTLE_US
        rig.idle = True
        assert await first.step() == 30
        rig.idle = False
        await first.step()
        await rig.record(40, 60)
        await rig.record(30, 35)
        rig.now_us += 60 * S
        again = rig.late()
        await again.step()
        rig.idle = True
        assert await again.step() == 25
        assert await rig.kept() == {"edge": 55}

    play(scene)


def test_what_is_not_written_yet_is_waited_for(play: Play) -> None:
    """After an outage of the store the spool comes first: no record is passed by."""

    async def scene(rig: Rig) -> None:
        late = rig.late()
        await late.step()
        await rig.record(20, 30)
        rig.now_us += 30 * S + SETTLE_US
        rig.idle, rig.unsent_us = True, START_US
        assert await late.step() == 0
        await rig.record(0, 20)
        rig.unsent_us = None
        assert await late.step() == 30

    play(scene)


def test_a_switch_to_at_once_ships_what_waited_even_while_the_robot_is_busy(play: Play) -> None:
    """Policy over the air: what was written unlabelled before it is selected now, and nothing of later twice."""

    async def scene(rig: Rig) -> None:
        late = rig.late()
        await late.step()
        await rig.record(0, 20)
        rig.policy = AT_ONCE
        rig.now_us += 20 * S
        await rig.record(20, 40)
        await late.step()
        rig.now_us += 20 * S + SETTLE_US
        assert await late.step() == 20
        assert await rig.kept() == {"1": 40}
        assert await late.step() == 0

    play(scene)


def test_records_older_than_the_policy_stay(play: Play) -> None:
    """A ring full of pictures does not begin to travel because their stream does from now on."""

    async def scene(rig: Rig) -> None:
        rig.policy = ON_EVENT
        await rig.record(0, 20)
        rig.policy, rig.now_us, rig.idle = IDLE, START_US + 20 * S + 2 * SETTLE_US, True
        late = rig.late()
        await late.step()
        await rig.record(170, 180)
        rig.now_us += 100 * S
        assert await late.step() == 10
        assert await rig.kept() == {"-": 20, "edge": 10}

    play(scene)
