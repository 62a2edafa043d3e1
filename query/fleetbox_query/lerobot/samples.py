"""Give the frames that a lerobot.toml means one by one, by number, as a map-style dataset of numpy arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError, NotFound
from fleetbox.selectors import Selector
from fleetbox.settings.lerobot import LerobotMap
from fleetbox.settings.values import parse_size
from fleetbox.time import iso_time
from fleetbox_query.items import Item, Notes, items_of
from fleetbox_query.lerobot.intervals import Interval, cut, intervals_of
from fleetbox_query.lerobot.tracks import Unfit
from fleetbox_query.lerobot.units import Job, check_job, gather, names_of, plan_frames, task_of, values_of
from fleetbox_query.question import Question
from fleetbox_query.reading import Piece, Prepared, Reading, narrowed
from fleetbox_query.session import Session

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MEMORY_BYTES = 1_000_000_000  # of decoded pictures held by each process: a thousand of 640x480

Sample = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Hold all frames: their numbers by feature, and the µs stamp of each picture by feature."""

    numbers: Mapping[str, Array]
    stamps: Mapping[str, Array]
    interval: Array  # which interval each frame is of
    episode: Array
    frame: Array  # within its episode
    ts_ns: Array


class Samples:
    """Hold the frames of a selection: `len()`, and by number a dict of numpy arrays, as torch's DataLoader takes it.

    A sample has the map's features (vectors of their dtype; pictures HxWx3 uint8, RGB), `task` (text), `timestamp` (s
    within the episode), `frame_index`, `episode_index`, `index` and `ts_ns`. Numbers are in memory; pictures are read
    when asked for and kept, decoded, up to `memory` bytes in each process. It pickles, and workers connect for
    themselves. `skipped` names intervals that make no episode, `lacks` what was missing, `names` what each number of
    each vector is called.
    """

    def __init__(
        self, session: Session, question: Question, map_: LerobotMap, memory: str | int = MEMORY_BYTES
    ) -> None:
        job = Job(session, question, map_)
        self._settings, self._question, self._map = session.fleet, question, map_
        self._memory_bytes = _bytes(memory)
        self.skipped: list[str] = []
        self.lacks: list[str] = []
        self.names: dict[str, list[str]] = {}
        self.tasks: list[str] = []
        self._intervals: list[Interval] = []
        self._at_home(session)
        self._table = self._gathered(job)
        self._sizes = {feature: rule.size for feature, rule in map_.pictures.items()}
        for feature in [feature for feature, size in self._sizes.items() if size is None]:
            self._sizes[feature] = self._first_size(feature)

    def __len__(self) -> int:
        return len(self._table.ts_ns)

    def __getitem__(self, at: int) -> Sample:
        """Return a frame. Raises NotFound where a picture left its ring since, InputError where one does not decode."""
        count = len(self)
        if not -count <= at < count:
            raise IndexError(f"frame {at} of {count}")
        at %= count
        table = self._table
        sample: Sample = {feature: values[at] for feature, values in table.numbers.items()}
        for feature, picture in self._pictures(at).items():
            sample[feature] = picture
        frame = int(table.frame[at])
        return sample | {
            "task": self.tasks[int(table.interval[at])],
            "timestamp": frame / self._map.fps,
            "frame_index": frame,
            "episode_index": int(table.episode[at]),
            "index": at,
            "ts_ns": int(table.ts_ns[at]),
        }

    def __iter__(self) -> Iterator[Sample]:
        return (self[at] for at in range(len(self)))

    def load(self) -> int:
        """Read pictures in order of time until all are held or the memory is full, and return how many are held.

        Reading them one by one in a random order takes a request each; this reads them as one stream.

        Example:
            samples = fleet.select("r1/**").last("10m").torch("lerobot.toml")
            samples.load()
        """
        for number, interval in enumerate(self._intervals):
            if not self._load(number, interval):
                break
        return len(self._held)

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """Return the (first, last + 1) frame of each episode."""
        import numpy as np

        starts = np.flatnonzero(np.diff(self._table.episode, prepend=-1)).tolist()
        return list(zip(starts, [*starts[1:], len(self)], strict=True))

    def __getstate__(self) -> dict[str, Any]:
        """Leave connections and pictures behind: a worker makes its own."""
        own = ("_session", "_made", "_pid", "_held", "_held_bytes", "_prepared")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._at_home(None)

    def close(self) -> None:
        """Close the connection, where this process made one of its own, and let the pictures go."""
        if self._made and self._session is not None and self._pid == os.getpid():
            self._session.close()
        self._at_home(None)

    # -- what belongs to one process ------------------------------------------------------------------------------

    def _at_home(self, session: Session | None) -> None:
        self._session, self._made, self._pid = session, False, os.getpid()
        self._held: dict[tuple[str, int, int], Array] = {}
        self._held_bytes = 0
        self._prepared: dict[tuple[str, str], Prepared] = {}

    def _own(self) -> Session:
        """Return this process's connection: one that came through a fork has lost its loop's thread."""
        if self._session is None or self._pid != os.getpid():
            self._session, self._made, self._pid = Session(self._settings), True, os.getpid()
            self._prepared.clear()
        return self._session

    # -- numbers ----------------------------------------------------------------------------------------------------

    def _gathered(self, job: Job) -> Table:
        found = intervals_of(job.session, job.question, job.map.streams)
        pieces = [piece for one in found.found for piece in cut(one, job.map.longest)]
        check_job(job, pieces)
        self.lacks += [f"not asked: {one}" for one in found.unreached]
        parts: list[Table] = []
        episodes = 0
        for interval in pieces:
            try:
                part = self._part(job, interval, episodes)
            except Unfit as error:
                self.skipped.append(f"{interval}: {error}")
                continue
            episodes = int(part.episode[-1]) + 1
            parts.append(part)
        if not parts:
            raise NotFound(
                f"none of {len(pieces)} intervals makes an episode; {self.skipped[0]}",
                "`fleetbox ls` shows the streams; max_age, clock and least_frames stand in lerobot.toml",
            )
        self.lacks = list(dict.fromkeys(self.lacks))
        return _joined(parts)

    def _part(self, job: Job, interval: Interval, episodes: int) -> Table:
        import numpy as np

        sources = gather(job, interval)
        plan = plan_frames(job.map, interval, sources)
        task = task_of(job, interval, sources)
        names = names_of(job.map, sources)
        if self.names not in ({}, names):
            raise Unfit("the streams' fields changed; take these times by themselves")
        numbers = values_of(job.map, sources, plan)
        stamps = {
            feature: sources.shots[rule.selectors[0].stream].time_us[plan.picked[feature][rule.sources[0]].index]
            for feature, rule in job.map.pictures.items()
        }
        lengths = [stop - start for start, stop in plan.episodes]
        of_frame = np.repeat(np.arange(len(lengths)), lengths)
        self.names = names
        self._intervals.append(interval)
        self.tasks.append(task)
        self.lacks += sources.lacks
        return Table(
            numbers,
            stamps,
            np.full(len(of_frame), len(self._intervals) - 1),
            of_frame + episodes,
            np.concatenate([np.arange(length) for length in lengths]),
            plan.now_ns,
        )

    # -- pictures ---------------------------------------------------------------------------------------------------

    def _pictures(self, at: int) -> dict[str, Array]:
        number = int(self._table.interval[at])
        wanted = {feature: int(stamps[at]) for feature, stamps in self._table.stamps.items()}
        return {feature: self._picture(feature, number, time_us) for feature, time_us in wanted.items()}

    def _picture(self, feature: str, number: int, time_us: int) -> Array:
        if self._pid != os.getpid():
            self._own()
        held = self._held.get((feature, number, time_us))
        if held is not None:
            return held
        return self._kept(feature, number, self._read(feature, number, time_us))

    def _read(self, feature: str, number: int, time_us: int) -> Item:
        session, stream = self._own(), self._map.pictures[feature].selectors[0].stream
        interval = self._intervals[number]
        if (prepared := self._prepared.get((interval.robot, stream))) is None:
            asked = replace(
                self._question, selectors=(Selector(interval.robot, stream),), start=None, stop=None,
                events=None, episodes=None,
            )  # fmt: skip
            prepared = session.run(session.prepare(asked, films=True))
            self._prepared[interval.robot, stream] = prepared
        for piece in session.run(_pieces(session, prepared, time_us)):
            for item in items_of(piece, prepared.expression, Notes()):
                if item.time_us == time_us:
                    return item
        raise NotFound(
            f"the picture of {interval.robot}/{stream} at {iso_time(time_us)} cannot be read any more",
            "a ring overwrote it, or its place is away: `fleetbox episode pin` keeps what is trained on",
        )

    def _kept(self, feature: str, number: int, item: Item) -> Array:
        picture = self._decoded(feature, item)
        if self._held_bytes + picture.nbytes <= self._memory_bytes:
            self._held[feature, number, item.time_us] = picture
            self._held_bytes += picture.nbytes
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

    def _first_size(self, feature: str) -> tuple[int, int]:
        """Return the size of a feature's first picture: one batch cannot hold several sizes."""
        first = self._decoded(feature, self._read(feature, 0, int(self._table.stamps[feature][0])))
        return first.shape[1], first.shape[0]

    def _load(self, number: int, interval: Interval) -> bool:
        """Read one interval's pictures; false once the memory is full."""
        rows = self._table.interval == number
        wanted = {feature: set(stamps[rows].tolist()) for feature, stamps in self._table.stamps.items()}
        if not any(wanted.values()):
            return True
        session = self._own()
        streams = {feature: rule.selectors[0] for feature, rule in self._map.pictures.items()}
        low = min(min(stamps) for stamps in wanted.values() if stamps)
        high = max(max(stamps) for stamps in wanted.values() if stamps)
        job = Job(session, self._question, self._map)
        asked = replace(job.ask(interval, list(dict.fromkeys(streams.values())), 0), start=low, stop=high + 1)
        records = job.records(asked)
        try:
            for item in records:
                for feature, selector in streams.items():
                    key = (feature, number, item.time_us)
                    if item.stream == selector.stream and item.time_us in wanted[feature] and key not in self._held:
                        self._kept(feature, number, item)
                        if key not in self._held:
                            return False
        finally:
            records.close()
        return True


async def _pieces(session: Session, prepared: Prepared, time_us: int) -> list[Piece]:
    """Read the picture of this very time with one request where it is a record; else from the video made of it."""
    for source in prepared.sources:
        for holding in source.holdings:
            if not source.film:
                with suppress(NotFound):
                    store = await session.stores.at(holding.place)
                    return [Piece(source, await store.read(holding.bucket, holding.stream, time_us))]
    films = replace(prepared, sources=tuple(source for source in prepared.sources if source.film))
    return await Reading(session.stores, narrowed(films, time_us, time_us + 1)).all()


def _bytes(memory: str | int) -> int:
    try:
        return parse_size(memory)
    except ValueError as error:
        raise InputError(f"memory {memory!r} is no size: {error}", 'give one such as "1 GB", or bytes') from None


def _joined(parts: Sequence[Table]) -> Table:
    import numpy as np

    first = parts[0]
    return Table(
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in first.numbers},
        {name: np.concatenate([part.stamps[name] for part in parts]) for name in first.stamps},
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("interval", "episode", "frame", "ts_ns")
        ),
    )
