"""Read pictures by feature and frame, and hold them decoded as far as the memory goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError, NotFound
from fleetbox.selectors import Selector
from fleetbox.time import iso_time
from fleetbox_query.films import FROM
from fleetbox_query.items import Item, Notes, items_of
from fleetbox_query.lerobot.frame_table import FrameTable
from fleetbox_query.lerobot.intervals import Interval
from fleetbox_query.lerobot.negatives import Block, Negatives, Spot, block_length, reads_block
from fleetbox_query.lerobot.units import Job
from fleetbox_query.reading import Piece, Prepared, Reading, narrowed
from fleetbox_query.session import Session

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

UNDECODED = 4  # beside the decoded pictures, a fourth as much of undecoded ones: a JPEG is a tenth of its pixels
SIDE_BY_SIDE = 16  # readings at once: one by one, a picture takes 5 ms of which most is waiting


class Album:
    """Hold the pictures of frames; each process reads its own, up to `memory_bytes` of them stay.

    What is not there is read with its neighbours, so that going through the frames in order, or through all of them
    in any order, takes a request for each block of them. It pickles without connection and pictures: a worker process
    connects for itself, a forked one too.
    """

    def __init__(self, job: Job, intervals: Sequence[Interval], table: FrameTable, memory_bytes: int) -> None:
        self._settings, self._question, self._map = job.session.fleet, job.question, job.map
        self._intervals, self._table = intervals, table
        self._memory_bytes = memory_bytes
        self._sizes = {feature: rule.size for feature, rule in job.map.pictures.items()}
        self._lengths: dict[str, int] = {}  # frames of a block, and bytes of a picture: known once one was read
        self._weights: dict[str, int] = {}
        self._at_home(job.session)
        self._take_sizes()

    def __len__(self) -> int:
        return len(self._held)

    def picture(self, feature: str, at: int) -> Array:
        """Return the picture of a frame. Raises NotFound where it is gone, InputError where it does not decode."""
        if self._pid != os.getpid():
            self._own()
        spot = self._spot(feature, at)
        held = self._held.get(spot)
        return self._kept(spot, self._item(feature, at)) if held is None else held

    def fetch(self, frames: Iterable[int]) -> None:
        """Read the pictures of these frames that are not held, side by side."""
        if self._pid != os.getpid():
            self._own()
        chosen = list(frames)
        for feature in self._map.pictures:
            self._read(feature, chosen)

    def fill(self, number: int) -> bool:
        """Read an interval's pictures as one stream and hold them decoded; false once the memory is full."""
        rows = self._table.interval == number
        wanted = {feature: set(stamps[rows].tolist()) for feature, stamps in self._table.stamps.items()}
        if not any(wanted.values()):
            return True
        streams = {feature: rule.selectors[0] for feature, rule in self._map.pictures.items()}
        low = min(min(stamps) for stamps in wanted.values() if stamps)
        high = max(max(stamps) for stamps in wanted.values() if stamps)
        job = Job(self._own(), self._question, self._map)
        asked = job.ask(self._intervals[number], list(dict.fromkeys(streams.values())), 0)
        records = job.records(replace(asked, start=low, stop=high + 1))
        try:
            for item in records:
                for feature, selector in streams.items():
                    spot = (feature, number, item.time_us)
                    if item.stream == selector.stream and item.time_us in wanted[feature] and spot not in self._held:
                        self._kept(spot, item)
                        if spot not in self._held:
                            return False
        finally:
            records.close()
        return True

    def close(self) -> None:
        """Close the connection, where this process made one of its own, and let the pictures go."""
        if self._made and self._session is not None and self._pid == os.getpid():
            self._session.close()
        self._at_home(None)

    def __getstate__(self) -> dict[str, Any]:
        """Leave connections and pictures behind: a worker makes its own."""
        own = ("_session", "_made", "_pid", "_held", "_held_bytes", "_prepared", "_negatives", "_last")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._at_home(None)

    def _at_home(self, session: Session | None) -> None:
        """Begin what belongs to one process."""
        self._session, self._made, self._pid = session, False, os.getpid()
        self._held: dict[Spot, Array] = {}
        self._held_bytes = 0
        self._prepared: dict[tuple[str, str], Prepared] = {}
        self._negatives = Negatives(self._memory_bytes // UNDECODED)
        self._last: dict[str, int] = {}  # the first frame of the block that was read last

    def _own(self) -> Session:
        """Return this process's connection: one that came through a fork has lost its loop's thread."""
        if self._session is None or self._pid != os.getpid():
            self._session, self._made, self._pid = Session(self._settings), True, os.getpid()
            self._prepared.clear()
        return self._session

    def _take_sizes(self) -> None:
        """Make all pictures as large as the first one, where the map says no size: one batch cannot hold several."""
        for feature in [feature for feature, size in self._sizes.items() if size is None]:
            first = self._decoded(feature, self._item(feature, 0))
            self._sizes[feature] = (first.shape[1], first.shape[0])

    def _spot(self, feature: str, at: int) -> Spot:
        return feature, int(self._table.interval[at]), int(self._table.stamps[feature][at])

    def _item(self, feature: str, at: int) -> Item:
        """Return the undecoded picture of a frame; one that just became video is looked for anew."""
        spot = self._spot(feature, at)
        for _ in range(2):
            self._read(feature, [at])
            if (item := self._negatives.get(spot)) is not None:
                self._learn(feature, item)
                return item
            self._prepared.pop(self._name(feature, spot[1]), None)
        robot, stream = self._name(feature, spot[1])
        raise NotFound(
            f"the picture of {robot}/{stream} at {iso_time(spot[2])} cannot be read any more",
            "a ring overwrote it, or its place is away: `fleetbox episode pin` keeps what is trained on",
        )

    def _learn(self, feature: str, item: Item) -> None:
        if feature not in self._lengths:
            self._weights[feature] = len(item.data or b"")
            self._lengths[feature] = block_length(self._weights[feature], FROM in item.labels)

    def _read(self, feature: str, frames: Iterable[int]) -> None:
        """Read what is missing of these frames, as blocks or one by one, and take it among the negatives."""
        blocks = self._blocks(feature, frames)
        if not blocks:
            return
        session = self._own()
        prepared = [self._ready(session, feature, next(iter(one.spots))[1]) for one in blocks]
        found = session.run(_side_by_side(session, list(zip(prepared, blocks, strict=True))))
        self._negatives.put(
            {
                (block.feature, number, item.time_us): item
                for piece in pieces
                for item in items_of(piece, made.expression, Notes())
                for number in (next(iter(block.spots))[1],)
                if (block.feature, number, item.time_us) in block.spots
            }
            for made, block, pieces in zip(prepared, blocks, found, strict=True)
        )

    def _blocks(self, feature: str, frames: Iterable[int]) -> list[Block]:
        """Return what to read so that all these frames are there."""
        length, size_bytes = self._lengths.get(feature, 1), self._weights.get(feature, 0)
        room, found, covered = self._negatives.room_bytes, list[Block](), set[Spot]()
        for at in frames:
            spot = self._spot(feature, at)
            if spot in covered or spot in self._held or self._negatives.get(spot) is not None:
                continue
            first = at - at % length
            if length > 1 and reads_block(first, length, size_bytes, self._last.get(feature), room):
                block = Block(feature, first, length, self._spots_of(feature, first, length, spot[1]))
                self._last[feature], room = first, room - length * size_bytes
            else:
                block = Block(feature, at, 1, frozenset((spot,)))
            covered |= block.spots
            found.append(block)
        return found

    def _spots_of(self, feature: str, first: int, length: int, number: int) -> frozenset[Spot]:
        part = slice(first, first + length)
        stamps = self._table.stamps[feature][part][self._table.interval[part] == number]
        spots = ((feature, number, time_us) for time_us in stamps.tolist())
        return frozenset(spot for spot in spots if spot not in self._held and self._negatives.get(spot) is None)

    def _name(self, feature: str, number: int) -> tuple[str, str]:
        return self._intervals[number].robot, self._map.pictures[feature].selectors[0].stream

    def _ready(self, session: Session, feature: str, number: int) -> Prepared:
        name = self._name(feature, number)
        if (prepared := self._prepared.get(name)) is None:
            asked = replace(
                self._question, selectors=(Selector(*name),), start=None, stop=None, events=None, episodes=None
            )
            prepared = self._prepared[name] = session.run(session.prepare(asked, films=True))
        return prepared

    def _kept(self, spot: Spot, item: Item) -> Array:
        picture = self._decoded(spot[0], item)
        if self._held_bytes + picture.nbytes <= self._memory_bytes:
            self._held[spot] = picture
            self._held_bytes += picture.nbytes
            self._negatives.drop(spot)
        return picture

    def _decoded(self, feature: str, item: Item) -> Array:
        import cv2
        import numpy as np

        array: Any = item.value
        if not hasattr(array, "ndim") or array.dtype != np.uint8:
            raise InputError(f"{item.robot}/{item.stream} at {iso_time(item.time_us)} is no picture of 8 bits a colour")
        codes = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
        found: Array = cv2.cvtColor(array, codes[array.ndim if array.ndim == 2 else array.shape[2]])
        size = self._sizes[feature]
        if size is not None and (found.shape[1], found.shape[0]) != size:
            found = cv2.resize(found, size, interpolation=cv2.INTER_AREA)
        return found


async def _side_by_side(session: Session, wanted: Sequence[tuple[Prepared, Block]]) -> list[list[Piece]]:
    room = asyncio.Semaphore(SIDE_BY_SIDE)

    async def read(prepared: Prepared, block: Block) -> list[Piece]:
        async with room:
            return await _pieces(session, prepared, sorted(time_us for _, _, time_us in block.spots))

    return await asyncio.gather(*(read(prepared, block) for prepared, block in wanted))


async def _pieces(session: Session, prepared: Prepared, times_us: Sequence[int]) -> list[Piece]:
    """Read a block as one stream; a picture alone with one request where it is a record, else from its video."""
    if len(times_us) > 1:
        return await Reading(session.stores, narrowed(prepared, times_us[0], times_us[-1] + 1)).all()
    (time_us,) = times_us
    for source in prepared.sources:
        for holding in source.holdings:
            if not source.film:
                with suppress(NotFound):
                    store = await session.stores.at(holding.place)
                    return [Piece(source, await store.read(holding.bucket, holding.stream, time_us))]
    films = replace(prepared, sources=tuple(source for source in prepared.sources if source.film))
    return await Reading(session.stores, narrowed(films, time_us, time_us + 1)).all()
