"""Any order of writing, promoting, telling and dying ends in a ledger that says what a real store holds."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetbox.ledger import MINUTE_US
from fleetbox_replication.census import Rhythm
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND
from tests.replication.test_census import NOON_US, Post, every, post

STREAMS = (("sensor", "imu"), ("media", "cam/front"), ("meta", "event"))
STEPS = st.one_of(
    st.tuples(st.just("live"), st.integers(0, 2), st.integers(1, 120)),
    st.tuples(st.just("late"), st.integers(0, 2), st.integers(1, 90)),
    st.tuples(st.just("promote"), st.integers(0, 1), st.integers(0, 9)),
    st.tuples(st.just("look"), st.just(0), st.just(0)),
    st.tuples(st.just("flush"), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.integers(1, 5000)),
    st.tuples(st.just("restart"), st.just(0), st.booleans()),
)


class Play:
    """Play steps against one robot's store; remember what was written."""

    def __init__(self, here: Post, folder: Path) -> None:
        self.here, self.folder = here, folder
        self.times: dict[tuple[str, str], list[int]] = {key: [] for key in STREAMS}

    async def step(self, what: str, which: int, amount: int) -> None:
        """Play one step."""
        here, (cls, stream) = self.here, STREAMS[which]
        if what == "live":
            await self._write(cls, stream, every(here.now_us, amount / 12, 12))
            here.now_us += amount * SECOND
        elif what == "late":
            times = every(here.now_us - amount * MINUTE_US, 7, 5)
            await self._write(cls, stream, times)
            for time_us in times:
                here.touches.note(cls, stream, time_us)
        elif what == "promote" and (times := self.times[cls, stream][-10:][amount:]):
            if amount % 2:  # long after its minute was told, or perhaps while it is still open
                here.now_us += 3 * MINUTE_US
                await here.census.look()
            await here.robot.store.relabel(here.robot.bucket(cls), {stream: times}, {"keep": "1"})
            for time_us in times:
                here.touches.note(cls, stream, time_us)
        elif what == "look":
            await here.census.look()
        elif what == "flush":
            await here.census.flush()
        elif what == "wait":
            here.now_us += amount * SECOND
        elif what == "restart":
            if amount:
                shutil.rmtree(self.folder / "census", ignore_errors=True)
            here.restart()

    async def _write(self, cls: str, stream: str, times: list[int]) -> None:
        fresh = [time_us for time_us in times if time_us not in self.times[cls, stream]]
        await self.here.robot.write(cls, stream, fresh, rows="5", session="s1")
        self.times[cls, stream] += fresh


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, min_size=4, max_size=14))
def test_the_fold_is_the_truth(store_server: StoreServer, steps: list[tuple[str, int, int]]) -> None:
    """Whatever happened, a last flush leaves the ledger saying what the store holds, and nothing more to say."""

    async def scenario(folder: Path) -> None:
        async with post(store_server, folder, rhythm=Rhythm(look_s=20, walk_share=1.0)) as here:
            play = Play(here, folder)
            here.now_us = NOON_US
            for what, which, amount in steps:
                await play.step(what, which, amount)
            here.now_us += 10 * MINUTE_US
            await here.census.flush()
            await here.agrees()
            assert await here.census.flush() == 0

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))
