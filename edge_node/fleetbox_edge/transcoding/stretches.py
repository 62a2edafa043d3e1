"""Decide which pictures make one video: those of ten seconds that have everything but their number in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fleetbox.labels import Labels
from fleetbox.records import Head

STRETCH_US = 10_000_000  # a frame is found by decoding ten seconds at most: about 0.3 s of a core at 640x360
MOST_BYTES = 16_000_000  # of pictures in memory; half of it, the most a video may be by default, fits one record
LEAST_PICTURES = 5  # fewer are hardly smaller as a video
JPEG = "image/jpeg"
OWN = frozenset({"seq", "xxh", "keep", "policy", "log_ns", "publish_ns", "header_ns"})  # each picture's own labels
KEPT = ("seq", "log_ns", "publish_ns", "header_ns")  # of those, what stands beside the video; `xxh` proves the JPEG


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hold the heads of pictures that make one video, in order of time."""

    pictures: tuple[Head, ...]

    @property
    def start_us(self) -> int:
        """Return the first picture's time in µs: the video's own."""
        return self.pictures[0].time_us

    @property
    def end_us(self) -> int:
        """Return the last picture's time in µs."""
        return self.pictures[-1].time_us

    @property
    def size(self) -> int:
        """Return the pictures' bytes."""
        return sum(picture.size for picture in self.pictures)

    @property
    def labels(self) -> Labels:
        """Return what all pictures are labelled with."""
        return shared(self.pictures[0])


def shared(head: Head) -> Labels:
    """Return the labels that neighbouring pictures have in common; another session is another stretch."""
    return {name: value for name, value in head.labels.items() if name not in OWN and name != "type"}


def stretches(heads: Iterable[Head]) -> Iterator[Stretch]:
    """Yield the stretches of a stream's pictures, given in order of time; what is no JPEG belongs to none.

    A stretch lies within ten seconds of the clock's own grid, so that whoever looks again finds the same one.
    """
    open_: list[Head] = []
    size = 0
    for head in heads:
        if open_ and not (_follows(open_[0], head) and size + head.size <= MOST_BYTES):
            yield Stretch(tuple(open_))
            open_, size = [], 0
        if head.content_type == JPEG:
            open_.append(head)
            size += head.size
    if open_:
        yield Stretch(tuple(open_))


def grid(time_us: int) -> int:
    """Return the start in µs of the grid's cell that a time lies in."""
    return time_us - time_us % STRETCH_US


def clip_more(pictures: Sequence[Head]) -> dict[str, Any]:
    """Return what stands beside a video about its pictures, in their order; a label that none of them has is left out.

    Clocks and numbers are text as in the labels, None where a picture had none.
    """
    found: dict[str, Any] = {"stream": pictures[0].entry}
    for name in KEPT:
        values = [picture.labels.get(name) for picture in pictures]
        if any(value is not None for value in values):
            found[name] = values
    return found


def _follows(first: Head, head: Head) -> bool:
    same = head.content_type == JPEG and shared(first) == shared(head)
    return same and grid(first.time_us) == grid(head.time_us)
