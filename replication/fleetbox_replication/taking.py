"""Decide which streams an event takes: those its globs ask for, as fine as its resolution says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleetbox.events import Event
from fleetbox.naming import PREVIEW, SMALL, THUMBNAIL, parent_of
from fleetbox.selectors import matches_glob

TAKEN_SMALL = {PREVIEW: SMALL, THUMBNAIL: (THUMBNAIL,)}  # resolution -> the small frames it takes; else all there is


@dataclass(frozen=True, slots=True)
class Taking:
    """Tell which streams of a robot an event takes; `shrunk` are the originals that small frames are made of.

    An event's globs speak of originals: frames made from them follow their parent. At `preview` and `thumbnail` only
    those small frames are taken; a stream without any, such as numbers and text, is taken whole.
    """

    event: Event
    shrunk: frozenset[str] = frozenset()

    @classmethod
    def among(cls, event: Event, streams: Iterable[str]) -> Taking:
        """Return what an event takes of the streams that there are."""
        parents = (parent_of(stream) for stream in streams)
        return cls(event, frozenset(parent for parent, kind in parents if kind in SMALL))

    def takes(self, stream: str) -> bool:
        """Tell whether the event takes a stream."""
        parent, kind = parent_of(stream)
        if not wants(self.event.streams, parent) and not (kind and wants(self.event.streams, stream)):
            return False
        small = TAKEN_SMALL.get(self.event.resolution)
        if small is None:
            return True
        return kind in small if kind in SMALL else parent not in self.shrunk


def wants(globs: Sequence[str], stream: str) -> bool:
    """Tell whether any of the globs matches."""
    return any(matches_glob(glob, stream) for glob in globs)
