"""Turn old pictures of a robot's store into videos while it is idle, and let pictures go that a video holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import xxhash

from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused
from fleetbox.naming import VIDEO, parent_of
from fleetbox.records import Draft, Head
from fleetbox.settings import Policy
from fleetbox.settings.policy import StreamRule
from fleetbox.settings.policy import Video as VideoRule
from fleetbox.types.video import CONTENT_TYPE, Clip
from fleetbox_edge.ports import Door
from fleetbox_edge.retention.keeper import worth_of
from fleetbox_edge.retention.removing import Removing, Touch
from fleetbox_edge.retention.value import REASONS, Rank, rank_of
from fleetbox_edge.transcoding.films import MEDIA, Films
from fleetbox_edge.transcoding.making import Made, Maker
from fleetbox_edge.transcoding.notes import Notes, StreamNote
from fleetbox_edge.transcoding.stretches import (
    LEAST_PICTURES,
    STRETCH_US,
    Stretch,
    clip_more,
    grid,
    stretches,
)

log = structlog.get_logger()

NOTES = "transcoding.json"  # in the state folder
WAIT_S = 0.5  # while the robot is busy: how soon work begins once it is idle
NOTHING_S = 10.0  # while there is nothing to do: a new stretch comes every ten seconds
LISTED_US = 120_000_000  # of a stream are listed at a time: 3,600 heads of a camera
CLEAR_S = 0.8  # a chore may hold the labeler up so long
CLEAR_AGAIN_S = 300.0  # pictures that were not free to go are looked at again: a proof may have come
SCHEMA = {"type": "video", "content_type": CONTENT_TYPE, "chunk_bound_us": STRETCH_US}


@dataclass(frozen=True, slots=True)
class TranscoderOptions:
    """Bring in when there is time, what the site holds (class, stream, minute in µs), and the clocks."""

    idle: Callable[[], bool]
    proven: Callable[[str, str, int], bool] = lambda cls, stream, minute_us: False
    touch: Touch = lambda cls, stream, time_us: None
    monotonic_s: Callable[[], float] = time.monotonic
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000


class Transcoder:
    """Transcode one robot's pictures, as far as its policy has a `video` table for their stream.

    `run` makes videos; `clear` removes pictures and belongs into the labeler's loop, so that no picture goes in the
    moment in which an event asks for it. Whatever interrupts either, it is found again: a video counts only as it
    reads from the store, and a picture goes only if such a video holds it.
    """

    def __init__(
        self, door: Door, robot: str, policy: Callable[[], Policy], state: Path, options: TranscoderOptions
    ) -> None:
        self._door, self._robot, self._policy, self._options = door, robot, policy, options
        self.films = Films(lambda: door.store)
        self.notes = Notes(state / NOTES)
        self.removing = Removing(door, robot, state / "transcoded.json", options.touch, options.now_us)
        self._maker = Maker()
        self._planned: dict[str, list[Stretch]] = {}
        self._attached: set[str] = set()
        self._clear_at_s: dict[tuple[str, int], float] = {}
        self.cpu_s = 0.0

    async def run(self) -> None:
        """Work while the robot is idle, until cancelled."""
        try:
            while True:
                rest_s = await self._try() if self._options.idle() else WAIT_S
                await asyncio.sleep(rest_s)
        finally:
            self._maker.close()
            self._maker = Maker()

    async def _try(self) -> float:
        """Do a stretch; return how many seconds to wait before the next."""
        try:
            return 0.0 if await self.step() else NOTHING_S
        except (FleetboxError, OSError) as error:
            log.debug("transcoding waits", robot=self._robot, why=str(error))
            if isinstance(error, AccessDenied):
                with suppress(FleetboxError):
                    await self._door.renew()
            return NOTHING_S

    async def step(self) -> bool:
        """Look at the next stretch of any stream and make its video; return whether there was one."""
        for stream, rule in await self._streams():
            assert rule.video is not None
            note = self.notes.of(stream, _mark(rule.video))
            stretch = await self._next(stream, note, rule.video)
            if stretch is None:
                continue
            if await self._do(stream, stretch, note, rule.video):
                note.at_us = stretch.end_us + 1
                self._planned[stream].pop(0)
                self.notes.save()
            return True
        return False

    async def _streams(self) -> list[tuple[str, StreamRule]]:
        """Return the picture streams that the policy wants as video."""
        policy = self._policy()
        if not any(rule.video for rule in policy.stream.values()):
            return []
        try:
            names = [item.name for item in await self._door.store.entries(MEDIA) if item.records]
        except NotFound:
            return []
        found = [(name, policy.rule_for(name)) for name in names if "$" not in name and not parent_of(name)[1]]
        return [(name, rule) for name, rule in found if rule.video is not None]

    async def _next(self, stream: str, note: StreamNote, rule: VideoRule) -> Stretch | None:
        """Return the next stretch that is old enough to be whole."""
        planned = self._planned.setdefault(stream, [])
        while planned and planned[0].end_us < note.at_us:
            planned.pop(0)
        until_us = grid(self._options.now_us() - rule.after)
        if not planned:
            oldest_us = next((i.oldest_us for i in await self._door.store.entries(MEDIA) if i.name == stream), until_us)
            note.at_us = max(note.at_us, oldest_us)
        while not planned and note.at_us < until_us:
            stop_us = min(grid(note.at_us) + LISTED_US, until_us)
            query = self._door.store.query(MEDIA, (stream,), start_us=note.at_us, stop_us=stop_us, head=True)
            heads = [head async for head in query if head.entry == stream]
            planned += stretches(heads)
            if not planned:
                note.at_us = stop_us
        return planned[0] if planned and planned[0].end_us < until_us else None

    async def _do(self, stream: str, stretch: Stretch, note: StreamNote, rule: VideoRule) -> bool:
        """Make a stretch's video if it lacks one; return whether it is done with, False when interrupted."""
        filmed = await self.films.times(stream, stretch.start_us, stretch.end_us + 1)
        todo = Stretch(tuple(head for head in stretch.pictures if head.time_us not in filmed))
        if filmed:
            note.left.append((stretch.start_us, stretch.end_us))
        if len(todo.pictures) < LEAST_PICTURES:
            return True
        clip = await self._read(todo)
        if clip is None:
            return True  # the ring took some of them meanwhile: the rest goes soon, too
        made = await self._maker.make(clip, rule, self._options.idle)
        if made is None:
            return False
        self.cpu_s += made.cpu_s
        if made.why:
            note.refuse(todo.start_us, made.why)
            log.info("pictures stay pictures", stream=stream, start_us=todo.start_us, why=made.why)
            return True
        await self._keep(stream, todo, made)
        note.videos += 1
        note.pictures_bytes += todo.size
        note.video_bytes += len(made.data)
        note.left.append((todo.start_us, todo.end_us))
        return True

    async def _read(self, stretch: Stretch) -> Clip | None:
        wanted = {head.time_us for head in stretch.pictures}
        stream = stretch.pictures[0].entry
        pictures: dict[int, bytes] = {}
        query = self._door.store.query(MEDIA, (stream,), start_us=stretch.start_us, stop_us=stretch.end_us + 1)
        async with aclosing(query) as records:
            async for record in records:
                if record.entry == stream and record.time_us in wanted:
                    pictures[record.time_us] = record.data
        if len(pictures) != len(wanted):
            return None
        times = sorted(pictures)
        return Clip([pictures[at] for at in times], times, clip_more(stretch.pictures))

    async def _keep(self, stream: str, stretch: Stretch, made: Made) -> None:
        """Write a video and read it back; raises StoreRefused unless it holds every picture then."""
        entry, start_us = f"{stream}/{VIDEO}", stretch.start_us
        labels = {
            **stretch.labels, "robot": self._robot, "type": "video", "rows": str(len(stretch.pictures)),
            "t_end": str(stretch.end_us), "xxh": xxhash.xxh3_64_hexdigest(made.data),
        }  # fmt: skip
        draft = Draft(entry, start_us, made.data, labels, CONTENT_TYPE)
        store = self._door.store
        if (report := await store.write(MEDIA, [draft])).refused and report.refused[0][1] == 409:
            await store.delete(MEDIA, entry, [start_us])  # one that does not hold them: broken, or made of fewer
            report = await store.write(MEDIA, [draft])
        for _, status, message in report.refused:
            raise StoreRefused(f"the video {entry} at {start_us} was not written: {message}", status)
        if entry not in self._attached:
            await store.write_attachment(MEDIA, entry, "schema", SCHEMA)
            self._attached.add(entry)
        self._options.touch(MEDIA, entry, start_us)
        there = await self.films.times(stream, start_us, stretch.end_us + 1)
        if not there.issuperset(head.time_us for head in stretch.pictures):
            raise StoreRefused(f"the video {entry} at {start_us} does not read as it was written", 500)

    # -- pictures that a video holds ----------------------------------------------------------------------------

    async def clear(self) -> int:
        """Remove pictures that a readable video holds and nobody waits for; return how many went."""
        until_s = self._options.monotonic_s() + CLEAR_S
        gone = await self.removing.finish()
        for stream, note, span in list(self._due()):
            if self._options.monotonic_s() > until_s:
                break
            removed, all_ = await self._clear(stream, *span)
            gone += removed
            if all_:
                note.left.remove(span)
            else:
                self._clear_at_s[stream, span[0]] = self._options.monotonic_s() + CLEAR_AGAIN_S
        if gone:
            with suppress(OSError):  # a full disk: the spans are looked at once more after a restart
                self.notes.save()
        return gone

    def _due(self) -> Iterator[tuple[str, StreamNote, tuple[int, int]]]:
        now_s = self._options.monotonic_s()
        for stream, note in list(self.notes.streams.items()):
            note.left = sorted(set(note.left))
            for span in list(note.left):
                if self._clear_at_s.get((stream, span[0]), now_s) <= now_s:
                    yield stream, note, span

    async def _clear(self, stream: str, start_us: int, end_us: int) -> tuple[int, bool]:
        """Remove what may go of a span; return how many went, and whether nothing of it is left."""
        try:
            query = self._door.store.query(MEDIA, (stream,), start_us=start_us, stop_us=end_us + 1, head=True)
            heads: list[Head] = [head async for head in query if head.entry == stream]
        except NotFound:
            return 0, True
        filmed = await self.films.times(stream, start_us, end_us + 1) if heads else frozenset()
        waits = self._policy().rule_for(stream).at is not None  # they are to travel later, and have no label yet
        worths = []
        for head in heads:
            plain = worth_of(MEDIA, head)
            proven = plain.selected and self._options.proven(MEDIA, stream, plain.minute_us)
            if head.time_us in filmed and not (waits and not plain.selected):
                worths.append(worth_of(MEDIA, head, proven, filmed=True))
        free = [one for one in worths if rank_of(one) is Rank.FILMED]
        gone = len(await self.removing.remove(free, REASONS[Rank.FILMED]))
        return gone, gone == len([head for head in heads if head.time_us in filmed])


def _mark(rule: VideoRule) -> str:
    """Return what names a rule as far as it decides what a video is; another age changes no video."""
    return f"{rule.crf} {rule.least_psnr:g} {rule.most_share:g}"
