"""Decide what of a site's ledger a sync takes up next; all of it is plain values.

A site writes a page when minutes of a robot's streams have settled, and tells a minute again when records came late.
So the pages, in the order they were written, are the list of what changed; a *window* is some of them in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fleetbox.episodes import STREAM as EPISODES
from fleetbox.events import STREAM as EVENTS
from fleetbox.ledger import MINUTE_US, Key, Line, Page
from fleetbox.naming import Class

MOST_LINES = 50_000  # of a window: some 20 MB; a day of 31 streams
MOST_BYTES = 32_000_000  # of payload read at once: half an hour of a busy stream; as rows and files some 300 MB
MOST_HEADS = 100_000  # listed at once: 3 s, and about 100 MB while they become a table

SCALARS: tuple[Class, ...] = ("sensor", "kept")  # classes that hold chunks
CATALOG: tuple[Class, ...] = ("media", "small", "log", "kept")  # classes that hold files, pictures, text


@dataclass(slots=True)
class Window:
    """Hold what the pages stamped (after_us, until_us] say of one robot: the last line of each stream's minute.

    `told_us` is when each was told, in µs; `more`: pages were left for a next window.
    """

    after_us: int
    until_us: int
    lines: dict[Key, Line] = field(default_factory=dict)
    told_us: dict[Key, int] = field(default_factory=dict)
    more: bool = False

    def add(self, page: Page, time_us: int) -> None:
        """Take up one more page."""
        self.until_us = max(self.until_us, time_us)
        for line in page.lines:
            self.lines[line.key] = line
            self.told_us[line.key] = time_us

    @property
    def full(self) -> bool:
        """Tell whether a next page belongs to the next window."""
        return len(self.lines) >= MOST_LINES

    def streams(self, classes: Iterable[Class]) -> list[tuple[Class, str]]:
        """Return the (class, stream) told of, in order."""
        wanted = frozenset(classes)
        return sorted({(cls, stream) for cls, stream, _ in self.lines if cls in wanted})

    def minutes(self, cls: Class, stream: str, since_us: int) -> list[Line]:
        """Return a stream's lines told after `since_us`, in order of their minutes."""
        found = [line for key, line in self.lines.items() if key[:2] == (cls, stream) and self.told_us[key] > since_us]
        return sorted(found, key=lambda line: line.minute_us)

    @property
    def event_minutes(self) -> list[int]:
        """Return the minutes in µs in which revisions of events were written."""
        return self._meta_minutes(EVENTS)

    @property
    def episode_minutes(self) -> list[int]:
        """Return the minutes in µs in which revisions of episodes were written."""
        return self._meta_minutes(EPISODES)

    def _meta_minutes(self, name: str) -> list[int]:
        return sorted(minute for cls, stream, minute in self.lines if cls == "meta" and stream.split("/")[0] == name)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Read [start_us, stop_us) of one class's streams: whole minutes that the ledger told of."""

    cls: Class
    streams: tuple[str, ...]
    start_us: int
    stop_us: int


def by_bytes(lines: Iterable[Line], most_bytes: int = MOST_BYTES) -> Iterator[list[Stretch]]:
    """Yield one stream's minutes in loads of at most so many bytes, each as few stretches."""
    load: list[Line] = []
    size = 0
    for line in lines:
        if load and size + line.held.bytes > most_bytes:
            yield joined(load)
            load, size = [], 0
        load.append(line)
        size += line.held.bytes
    if load:
        yield joined(load)


def by_heads(lines: Iterable[Line], most: int = MOST_HEADS) -> Iterator[list[Stretch]]:
    """Yield minutes of many streams in loads of at most so many records, each as few stretches."""
    load: list[Line] = []
    count = 0
    for line in sorted(lines, key=lambda line: line.minute_us):
        if load and count + line.held.records > most:
            yield joined(load)
            load, count = [], 0
        load.append(line)
        count += line.held.records
    if load:
        yield joined(load)


def joined(lines: Iterable[Line]) -> list[Stretch]:
    """Join minutes that follow one another with the same streams of a class into one stretch each."""
    by_minute: dict[tuple[Class, int], set[str]] = {}
    for line in lines:
        by_minute.setdefault((line.cls, line.minute_us), set()).add(line.stream)
    out: list[Stretch] = []
    for (cls, minute_us), names in sorted(by_minute.items()):
        streams, last = tuple(sorted(names)), out[-1] if out else None
        if last and (last.cls, last.streams, last.stop_us) == (cls, streams, minute_us):
            out[-1] = Stretch(cls, streams, last.start_us, minute_us + MINUTE_US)
        else:
            out.append(Stretch(cls, streams, minute_us, minute_us + MINUTE_US))
    return out
