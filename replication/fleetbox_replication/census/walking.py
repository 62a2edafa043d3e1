"""Choose what a walk through older minutes lists next: one stretch of time, of every stream that has it ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleetbox_replication.census.listing import Range, Stream
from fleetbox_replication.census.watching import Watched, walked


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hold one step of a walk: [start_us, stop_us), and until when in µs the walks of its streams go on."""

    start_us: int
    stop_us: int
    ranges: tuple[Range, ...]
    end_us: int

    @property
    def streams(self) -> list[Stream]:
        """Return the streams that take part."""
        return [(item.cls, item.stream) for item in self.ranges]


def next_stretch(streams: Mapping[Stream, Watched], length_us: int) -> Stretch | None:
    """Return the oldest stretch that any stream still has to walk through, or None."""
    walks = {key: item.walk for key, item in streams.items() if item.walk is not None}
    if not walks:
        return None
    start_us = min(walk.next_us for walk in walks.values())
    stop_us = start_us + length_us
    taking_part = {key: walk for key, walk in walks.items() if walk.next_us < stop_us}
    ranges = tuple(
        Range(*key, walk.next_us, min(stop_us, walk.stop_us))
        for key, walk in sorted(taking_part.items())
        if walk.next_us < walk.stop_us
    )
    return Stretch(start_us, stop_us, ranges, max(walk.stop_us for walk in taking_part.values()))


def stepped(
    streams: Mapping[Stream, Watched], stretch: Stretch, next_us: int, gained: Mapping[Stream, int]
) -> dict[Stream, Watched]:
    """Return the streams after a step: everything before `next_us` is listed, so many records more are told."""
    taking_part = set(stretch.streams)
    return {
        key: walked(item, next_us, gained.get(key, 0)) if key in taking_part else item for key, item in streams.items()
    }
