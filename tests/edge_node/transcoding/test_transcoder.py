"""Stored pictures become video on a real store: proven first, whatever interrupts, and only what is free goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import xxhash

from fleetbox.blobs import Store
from fleetbox.labels import Labels
from fleetbox.ledger import read_ledger
from fleetbox.naming import RING_CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import Policy, parse_policy
from fleetbox.types import video
from fleetbox_edge.transcoding import Transcoder
from fleetbox_edge.transcoding.transcoder import TranscoderOptions

from ..conftest import Robot
from .pictures import moving, noise_db, noisy, uneven

START_US = 1_700_000_000_000_000
POLICY = '[stream."cam/*"]\nvideo = { after = "1m", least_psnr = 30.0, most_share = 0.9 }\n'
CAM = "cam/front"


@dataclass
class Rig:
    """A robot's store with pictures in it, and a clock and an idleness that we set."""

    store: Store
    robot: Robot
    idle: bool = True
    now_us: int = START_US + 600_000_000
    proven: bool = False
    policy: Policy = field(default_factory=lambda: parse_policy(POLICY))
    clock_s: float = 0.0

    async def renew(self) -> None:
        """Nothing to do: the token stays."""

    async def ensure_bucket(self, cls: str) -> None:
        """Make a bucket."""
        await self.store.ensure_bucket(cls, bucket_spec(cls, 1_000_000_000))

    async def film(self, pictures: list[bytes], keep: str | None = None, start_us: int = START_US) -> list[int]:
        """Record pictures; return their times."""
        times = list(uneven(start_us, len(pictures)))
        drafts = [Draft(CAM, at, data, self.labels(seq, data, keep), "image/jpeg")
                  for seq, (at, data) in enumerate(zip(times, pictures, strict=True))]  # fmt: skip
        assert not (await self.store.write("media", drafts)).refused
        return times

    def labels(self, seq: int, data: bytes, keep: str | None) -> Labels:
        """Return what a recorder writes beside a picture."""
        more = {"keep": keep, "policy": "abc"} if keep else {}
        return {
            "robot": self.robot.id, "type": "images", "session": "s1", "seq": str(seq),
            "xxh": xxhash.xxh3_64_hexdigest(data), "log_ns": str(START_US * 1000 + seq), "weather": "rain", **more,
        }  # fmt: skip

    def transcoder(self) -> Transcoder:
        """Return a transcoder as a process that starts now has it."""
        options = TranscoderOptions(
            idle=lambda: self.idle, proven=lambda *minute: self.proven, now_us=lambda: self.now_us,
            monotonic_s=lambda: self.clock_s,
        )  # fmt: skip
        return Transcoder(self, self.robot.id, lambda: self.policy, self.robot.folder / "state", options)

    async def all(self, transcoder: Transcoder) -> None:
        """Do all there is to do."""
        while await transcoder.step():
            assert self.idle
        self.clock_s += 1000
        await transcoder.clear()

    async def times(self, entry: str) -> list[int]:
        """Return what is in the store of an entry."""
        return [head.time_us async for head in self.store.query("media", (entry,), start_us=0, head=True)
                if head.entry == entry]  # fmt: skip


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


def test_pictures_become_video_with_every_time_and_clock_and_go_once_it_is_proven(play: Play) -> None:
    """What is left is one record per ten seconds, in which each picture is found at its very time."""

    async def scene(rig: Rig) -> None:
        pictures = moving(120)
        times = await rig.film(pictures)
        await rig.all(rig.transcoder())
        assert await rig.times(CAM) == []
        films = [await rig.store.read("media", f"{CAM}/video", at) for at in await rig.times(f"{CAM}/video")]
        found = [film.time_us + offset for film in films for offset in video.offsets_us(film.data)]
        assert found == times
        assert [number for film in films for number in video.more_of(film.data)["seq"]] == list(map(str, range(120)))
        assert video.more_of(films[0].data)["log_ns"][5] == str(START_US * 1000 + 5)
        assert all(film.labels["weather"] == "rain" and film.labels["type"] == "video" for film in films)
        assert sum(film.size for film in films) < 0.5 * sum(map(len, pictures))
        assert noise_db(video.picture_at(films[0].data, times[7] - films[0].time_us), pictures[7]) > 30
        gone = (await read_ledger(rig.store, "meta", rig.robot.id)).removals
        assert sum(one.records for one in gone) == 120
        assert {one.reason for one in gone} == {"in a video"}

    play(scene)


def test_a_stretch_that_does_not_meet_the_bound_stays_pictures_and_is_not_tried_again(play: Play) -> None:
    """Noise is hardly smaller as a video: the pictures stay, also after a restart, and the reason is remembered."""

    async def scene(rig: Rig) -> None:
        rig.policy = parse_policy(POLICY.replace("30.0", "50.0"))
        times = await rig.film(noisy(30))
        first = rig.transcoder()
        await rig.all(first)
        assert await rig.times(CAM) == times
        assert await rig.times(f"{CAM}/video") == []
        again = rig.transcoder()
        assert not await again.step()
        note = again.notes.streams[CAM]
        assert note.refused == len(note.kept) > 0
        assert all("dB" in why for why in note.kept.values())
        rig.policy = parse_policy(POLICY.replace("30.0", "20.0").replace("0.9", "1.0"))  # asked for less: tried anew
        assert await rig.transcoder().step()

    play(scene)


def test_work_ends_at_once_when_the_robot_gets_busy_and_is_done_again_later(play: Play) -> None:
    """Nothing is written of a stretch that was begun, and nothing goes."""

    async def scene(rig: Rig) -> None:
        times = await rig.film(moving(90, (640, 480)))
        transcoder = rig.transcoder()
        work = asyncio.create_task(transcoder.step())
        await asyncio.sleep(0)
        rig.idle = False
        async with asyncio.timeout(60):
            await work
        await transcoder.clear()
        assert await rig.times(CAM) == times
        assert await rig.times(f"{CAM}/video") == []
        rig.idle = True
        await rig.all(rig.transcoder())
        assert await rig.times(CAM) == []

    play(scene)


def test_a_process_killed_between_video_and_note_finds_the_video_and_lets_the_pictures_go(play: Play) -> None:
    """The notes are a memory of work, not of what is true: that stands in the store."""

    async def scene(rig: Rig) -> None:
        await rig.film(moving(90))
        first = rig.transcoder()
        first.notes.save = lambda: None  # type: ignore[method-assign]  # killed before it could
        assert await first.step()
        films = await rig.times(f"{CAM}/video")
        assert films
        again = rig.transcoder()
        await rig.all(again)
        assert await rig.times(CAM) == []
        assert (await rig.times(f"{CAM}/video"))[: len(films)] == films

    play(scene)


def test_pictures_that_were_asked_for_stay_until_the_site_holds_them(play: Play) -> None:
    """The video is made all the same; the promoted originals go when they are proven, the others at once."""

    async def scene(rig: Rig) -> None:
        asked = await rig.film(moving(40), keep="1")
        await rig.film(moving(40), start_us=START_US + 5_000_000)
        transcoder = rig.transcoder()
        await rig.all(transcoder)
        assert await rig.times(CAM) == asked
        again = rig.transcoder()
        rig.proven, rig.clock_s = True, rig.clock_s + 1000
        await again.clear()
        assert await rig.times(CAM) == []

    play(scene)


def test_pictures_that_are_to_travel_later_stay_until_they_have(play: Play) -> None:
    """`at = "idle"` writes them without a label: no label does not mean here that nobody wants them."""

    async def scene(rig: Rig) -> None:
        rig.policy = parse_policy(POLICY + 'ship = "always"\nat = "idle"\n')
        times = await rig.film(moving(40))
        await rig.all(rig.transcoder())
        assert await rig.times(CAM) == times

    play(scene)


def test_a_video_that_does_not_read_whole_lets_no_picture_go_and_is_made_again(play: Play) -> None:
    """What stands under the video's time and is none proves nothing."""

    async def scene(rig: Rig) -> None:
        times = await rig.film(moving(40))
        broken = Draft(f"{CAM}/video", times[0], b"\0\0\0\x20ftypisom", {"rows": "40", "xxh": "0"}, "video/mp4")
        assert not (await rig.store.write("media", [broken])).refused
        transcoder = rig.transcoder()
        await transcoder.clear()
        assert await rig.times(CAM) == times
        await rig.all(transcoder)
        assert await rig.times(CAM) == []
        film = await rig.store.read("media", f"{CAM}/video", times[0])
        assert len(video.offsets_us(film.data)) == 40

    play(scene)


def test_young_pictures_wait(play: Play) -> None:
    """What is younger than `after` may still be asked for frame by frame."""

    async def scene(rig: Rig) -> None:
        await rig.film(moving(20))
        rig.now_us = START_US + 30_000_000
        assert not await rig.transcoder().step()

    play(scene)
