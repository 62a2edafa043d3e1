"""Name what damage to a spool may have cost: the numbers that its neighbours leave open, and where in which file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fleetbox.errors import InputError
from fleetbox.naming import check_stream
from fleetbox_edge.numbers import Numbers
from fleetbox_edge.spool import Stretch
from fleetbox_edge.spooled import Index, Key, Part, guess

DAMAGED = "damaged frame"
MISSING = "not in the spool"  # a hole in the numbers, and no damage near it


@dataclass(frozen=True, slots=True)
class Place:
    """Point at bytes of a segment that are no whole frame; none at all where the file was cut short."""

    path: Path
    stretch: Stretch

    def __str__(self) -> str:
        what = f"{len(self.stretch.data)} bytes" if self.stretch.data else "the end is missing"
        return f"{self.path} at {self.stretch.offset}: {what}"


@dataclass(frozen=True, slots=True)
class Suspect:
    """Say which numbers of a stream's session no frame holds, and between which stamps in µs they belong."""

    cls: str
    stream: str
    session: str
    numbers: Numbers
    start_us: int
    stop_us: int
    place: Place | None

    @property
    def reason(self) -> str:
        """Return the reason under which it is counted when the store does not have it."""
        return DAMAGED if self.place else MISSING


@dataclass(slots=True)
class _Track:
    """Follow one stream's session through the segments."""

    time_us: int  # of the newest frame
    seen: Numbers = field(default_factory=Numbers)
    places: int = 0  # how many damaged ones there were when its newest frame was met
    places_before: int = 0  # and when its first was


@dataclass(frozen=True, slots=True)
class _Hole:
    first: int
    end: int
    start_us: int
    stop_us: int
    place: Place | None


class Suspects:
    """Be told, in the order of the files, of every frame and every damage of one class; then tell what is missing."""

    def __init__(self, index: Index, cls: str, dropped: dict[Key, Numbers]) -> None:
        self._index, self.cls, self._dropped = index, cls, dropped
        self._tracks: dict[Key, _Track] = {}
        self._holes: dict[Key, list[_Hole]] = {}
        self._places: list[Place] = []

    @property
    def places(self) -> list[Place]:
        """Return where damage was met."""
        return list(self._places)

    def damaged(self, place: Place) -> None:
        """Take note of bytes that are no whole frame; one that its writer was killed over was never accepted."""
        if not place.stretch.data or not place.stretch.torn:
            self._places.append(place)

    def met(self, key: Key, first: int, count: int, time_us: int) -> None:
        """Take note of a whole frame that holds the numbers [first, first + count)."""
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(time_us, places_before=len(self._places))
            track.seen.add(first, first + count)
            sealed = self._index.seals[key].find(first)
            if sealed is not None and sealed[0] < first:
                self._hole(key, track, (sealed[0], first), (sealed[2], time_us))
        else:
            if first > track.seen.end:
                self._hole(key, track, (track.seen.end, first), (track.time_us, time_us))
            track.seen.add(first, first + count)
        track.time_us = time_us
        track.places = len(self._places)

    def found(self) -> list[Suspect]:
        """Return what is missing, once every segment was fed; what the store has of it is no loss."""
        for key, track in self._tracks.items():
            sealed = self._index.seals[key].numbers()
            if sealed.end > track.seen.end:
                self._hole(key, track, (track.seen.end, sealed.end), (track.time_us, track.time_us))
        named = [self._suspect(key, hole) for key, holes in self._holes.items() for hole in holes]
        used = {id(suspect.place) for suspect in named if suspect}
        guessed = [self._guessed(at) for at, place in enumerate(self._places) if id(place) not in used]
        return [suspect for suspect in (*named, *guessed) if suspect]

    def _hole(self, key: Key, track: _Track, numbers: tuple[int, int], times_us: tuple[int, int]) -> None:
        place = self._places[track.places] if track.places < len(self._places) else None
        start_us, stop_us = sorted(times_us)
        self._holes.setdefault(key, []).append(_Hole(*numbers, start_us, stop_us, place))

    def _suspect(self, key: Key, hole: _Hole) -> Suspect | None:
        return self._missing(key, Numbers((hole.first, hole.end)), (hole.start_us, hole.stop_us), hole.place)

    def _guessed(self, at: int) -> Suspect | None:
        """Read the damaged frame itself: nothing behind it shows the gap, or it hit a frame without numbers."""
        place = self._places[at]
        part = guess(self._index, self.cls, place.stretch.payload)
        key = self._known(part) if part else None
        if part is None or key is None:
            return None
        count = part.count
        first = self._beside(key, at, count) if key in self._tracks else part.seq
        if first is None:
            return None
        return self._missing(key, Numbers((first, first + count)), (part.start_us, part.stop_us), place)

    def _known(self, part: Part) -> Key | None:
        """Return the stream that a guessed record stands next to: a flipped letter must not make up a stream."""
        tracks, end = self._tracks.items(), part.seq + part.count
        beside = [key for key, track in tracks if track.seen.end == part.seq or track.seen.first == end]
        if part.key in self._tracks and (part.key in beside or len(beside) != 1):
            return part.key
        if beside:
            return beside[0] if len(beside) == 1 else None
        session, stream = part.key
        sessions = {session for session, _ in self._tracks}
        with suppress(InputError):
            return (session, check_stream(stream)) if not sessions or session in sessions else None
        return None

    def _beside(self, key: Key, at: int, count: int) -> int | None:
        """Return the first number of a record that stands before or behind all others of its stream."""
        track = self._tracks[key]
        if at >= track.places:
            return track.seen.end
        return track.seen.first - count if at < track.places_before and track.seen.first >= count else None

    def _missing(self, key: Key, numbers: Numbers, times_us: tuple[int, int], place: Place | None) -> Suspect | None:
        track = self._tracks.get(key)
        left = numbers.without(track.seen) if track else numbers
        left = left.without(self._index.done[key].numbers()).without(self._dropped.get(key, Numbers()))
        if not left:
            return None
        session, stream = key
        return Suspect(self.cls, stream, session, left, *times_us, place)
