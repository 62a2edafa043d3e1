"""List when a camera took its pictures, then give out those that frames are made of, in the frames' order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fleetbox.records import Head, Record
from fleetbox.settings.lerobot import ClockOf
from fleetbox.types import video
from fleetbox_query.films import OF_VIDEO
from fleetbox_query.lerobot.tracks import NS_PER_US, Unfit
from fleetbox_query.question import Question
from fleetbox_query.reading import Reading
from fleetbox_query.session import Session

if TYPE_CHECKING:
    from fleetbox_query.items import Item


@dataclass(frozen=True, slots=True)
class Shots:
    """Hold a camera's pictures in order of its clock: times in ns, and the µs stamp that identifies each.

    labels: those of the first picture.
    """

    times_ns: Any
    time_us: Any
    labels: Mapping[str, str]


async def list_shots(session: Session, question: Question, clock: ClockOf) -> dict[str, Shots]:
    """Return stream -> shots from the stores' heads; of videos made of pictures only the index is read.

    Raises Unfit for a stream of anything else than pictures, and for a clock that a picture lacks.
    """
    prepared = await session.prepare(question, films=True)
    plain = replace(prepared, sources=tuple(one for one in prepared.sources if not one.film))
    films = replace(prepared, sources=tuple(one for one in prepared.sources if one.film))
    found: dict[str, dict[int, int]] = {}
    labels: dict[str, tuple[int, Mapping[str, str]]] = {}
    for run, head in await Reading(session.stores, plain).heads():
        _check_picture(run.source.stream, head)
        found.setdefault(run.source.stream, {})[head.time_us] = _clock_ns(head.labels, head.time_us, clock, head.entry)
        _first(labels, run.source.stream, head)
    reading = Reading(session.stores, films)
    while films.sources and (stretch := await reading.next()) is not None:
        for piece in stretch[0]:
            times = found.setdefault(piece.source.stream, {})
            for time_us, time_ns in _film_times(piece.record, clock):
                if piece.source.covers(time_us):
                    times.setdefault(time_us, time_ns)
            _first(labels, piece.source.stream, piece.record)
    return {name: _shots(times, labels[name][1]) for name, times in found.items()}


def wanted_pictures(
    items: Iterable[Item], orders: Mapping[str, Mapping[str, list[int]]]
) -> Iterator[tuple[str, bytes | None]]:
    """Yield (feature, picture) for each frame of each feature, in the order of its frames.

    orders: stream -> feature -> the µs stamp of each frame's picture. items: in order of time, so that one that has
    not come by then never will: its frames get None. A picture is held only while a frame waits for an earlier one.
    """
    queues = [(stream, feature, _Queue(order)) for stream, found in orders.items() for feature, order in found.items()]
    for item in items:
        for stream, feature, queue in queues:
            if item.stream == stream and item.data is not None:
                queue.take(item.time_us, item.data)
            for data in queue.ready(item.time_us):
                yield feature, data
    for _, feature, queue in queues:
        for data in queue.ready(None):
            yield feature, data


class _Queue:
    def __init__(self, order: list[int]) -> None:
        self._order = order
        self._at = 0
        self._left = Counter(order)
        self._held: dict[int, bytes] = {}

    def take(self, time_us: int, data: bytes) -> None:
        if self._left.get(time_us):
            self._held[time_us] = data

    def ready(self, reached_us: int | None) -> Iterator[bytes | None]:
        while self._at < len(self._order):
            time_us = self._order[self._at]
            if time_us not in self._held and reached_us is not None and time_us >= reached_us:
                return
            self._at += 1
            self._left[time_us] -= 1
            yield self._held.get(time_us)
            if not self._left[time_us]:
                self._held.pop(time_us, None)


def _shots(times: Mapping[int, int], labels: Mapping[str, str]) -> Shots:
    import numpy as np

    stamps = np.array(sorted(times), dtype=np.int64)
    clock = np.array([times[at] for at in sorted(times)], dtype=np.int64)
    order = np.argsort(clock, kind="stable")
    return Shots(clock[order], stamps[order], labels)


def _check_picture(stream: str, head: Head) -> None:
    if not head.content_type.startswith("image/"):
        raise Unfit(f"{stream} holds {head.content_type or 'bytes'}, not pictures")


def _clock_ns(labels: Mapping[str, str], time_us: int, clock: ClockOf, name: str) -> int:
    if clock == "record":
        return time_us * NS_PER_US
    said = labels.get(f"{clock}_ns", "")
    if not said.isdecimal():
        raise Unfit(f'{name} has a picture without a {clock} clock; use clock = "record"')
    return int(said)


def _film_times(record: Record, clock: ClockOf) -> Iterator[tuple[int, int]]:
    clocks = video.more_of(record.data).get(f"{clock}_ns")
    for at, offset_us in enumerate(video.offsets_us(record.data)):
        time_us = record.time_us + offset_us
        said = str(clocks[at]) if isinstance(clocks, list) and at < len(clocks) else ""
        yield time_us, _clock_ns({f"{clock}_ns": said}, time_us, clock, record.entry)


def _first(labels: dict[str, tuple[int, Mapping[str, str]]], stream: str, head: Head) -> None:
    if stream not in labels or head.time_us < labels[stream][0]:
        labels[stream] = (head.time_us, {name: text for name, text in head.labels.items() if name not in OF_VIDEO})
