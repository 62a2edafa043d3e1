"""Read pictures by feature, interval and stamp, and hold them decoded as far as the memory goes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError, NotFound
from fleetbox.selectors import Selector
from fleetbox.settings.lerobot import LerobotMap
from fleetbox.time import iso_time
from fleetbox_query.items import Item, Notes, items_of
from fleetbox_query.lerobot.intervals import Interval
from fleetbox_query.lerobot.units import Job
from fleetbox_query.question import Question
from fleetbox_query.reading import Piece, Prepared, Reading, narrowed
from fleetbox_query.session import Session

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class Album:
    """Hold the pictures of intervals; each process reads its own, up to `memory_bytes` of them stay.

    It pickles without connection and pictures: a worker process connects for itself, a forked one too.
    """

    def __init__(
        self, session: Session, question: Question, map_: LerobotMap, intervals: Sequence[Interval], memory_bytes: int
    ) -> None:
        self._settings, self._question, self._map, self._intervals = session.fleet, question, map_, intervals
        self._memory_bytes = memory_bytes
        self._sizes = {feature: rule.size for feature, rule in map_.pictures.items()}
        self._at_home(session)

    def __len__(self) -> int:
        return len(self._held)

    def take_sizes(self, stamps: Mapping[str, int]) -> None:
        """Make all pictures as large as these of the first interval, where the map says no size.

        One batch cannot hold several sizes.
        """
        for feature in [feature for feature, size in self._sizes.items() if size is None]:
            first = self._decoded(feature, self._read(feature, 0, stamps[feature]))
            self._sizes[feature] = (first.shape[1], first.shape[0])

    def picture(self, feature: str, number: int, time_us: int) -> Array:
        """Return a picture of an interval. Raises NotFound where it is gone, InputError where it does not decode."""
        if self._pid != os.getpid():
            self._own()
        held = self._held.get((feature, number, time_us))
        if held is not None:
            return held
        return self._kept(feature, number, self._read(feature, number, time_us))

    def fill(self, number: int, wanted: Mapping[str, set[int]]) -> bool:
        """Read an interval's pictures of these stamps by feature as one stream; false once the memory is full."""
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
                    key = (feature, number, item.time_us)
                    if item.stream == selector.stream and item.time_us in wanted[feature] and key not in self._held:
                        self._kept(feature, number, item)
                        if key not in self._held:
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
        own = ("_session", "_made", "_pid", "_held", "_held_bytes", "_prepared")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._at_home(None)

    def _at_home(self, session: Session | None) -> None:
        """Begin what belongs to one process."""
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
