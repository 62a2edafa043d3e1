"""What the policy says of a stream: what is recorded of it, at which resolutions, and what travels how far."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fleetbox.settings.policy.events import Resolution
from fleetbox.settings.policy.hours import Hours, parse_hours
from fleetbox.settings.values import DurationUs, Table
from fleetbox.time import parse_duration

Ship = Literal["always", "small", "event", "never"]
Reach = Literal["edge", "cloud"]
IDLE: Literal["idle"] = "idle"
MAX_RAM_RING = 600_000_000  # µs; twice the longest an event may look back


def _size(value: Any) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a picture size like '640x360'")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True)
class Expect:
    """Say how many rows or blobs a second a stream delivers; 0 for one that speaks when something changes."""

    hz: float


def _expect(value: Any) -> Expect | None:
    if value is None or isinstance(value, Expect):
        return value
    if value == "on change":
        return Expect(0.0)
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(k?)Hz", value) if isinstance(value, str) else None
    if match is None or not float(match[1]):
        raise ValueError("write what is expected like '30 Hz', '0.2 Hz' or 'on change'")
    return Expect(float(match[1]) * (1000 if match[2] else 1))


def _ring(value: Any) -> int | None:
    """Return None for a ring on disk, else how many µs circle in memory only."""
    if value is None or value == "disk" or (isinstance(value, int) and not isinstance(value, bool)):
        return value if isinstance(value, int) else None
    match = re.fullmatch(r"ram (.+)", value) if isinstance(value, str) else None
    span_us = parse_duration(match[1].replace(" ", "")) if match else 0
    if not 0 < span_us <= MAX_RAM_RING:
        raise ValueError(f"write 'disk', or 'ram 60 s' for up to {MAX_RAM_RING // 1_000_000} s in memory only")
    return span_us


def _ship_at(value: Any) -> Any:
    return value if value is None or value == IDLE else parse_hours(value)


class Small(Table):
    """Say how small and how often a stream's small frames are, and whether they travel by themselves; pixels."""

    size: Annotated[tuple[int, int], BeforeValidator(_size)]
    every: DurationUs
    ship: Literal["always", "event"] = "always"  # a thin link sees everything small at once
    to: Reach = "cloud"  # small enough to go all the way


class Preview(Small):
    """Hold what one can work with: about 40 kB a frame."""

    size: Annotated[tuple[int, int], BeforeValidator(_size)] = (640, 360)  # a person recognises what happens
    every: DurationUs = 1_000_000  # µs; one a second shows what happened at 1/30 of the frames


class Thumbnail(Small):
    """Hold what a table of pictures shows: about 2 kB a frame."""

    size: Annotated[tuple[int, int], BeforeValidator(_size)] = (120, 68)  # a picture in a row of a table
    every: DurationUs = 10_000_000  # µs; six a minute are 1 MB an hour


class Video(Table):
    """Say how stored pictures become H.264 while the robot is idle."""

    after: DurationUs = 600_000_000  # µs; what is younger may still be asked for frame by frame
    crf: int = Field(default=23, ge=0, le=51)  # x264's own default: hard to tell from the original
    least_psnr: float = Field(default=36.0, ge=20, le=60)  # dB, mean luma; below, the pictures stay as they are
    most_share: float = Field(default=0.5, gt=0, le=1)  # of the pictures' bytes; a video that saves less is not kept


class StreamRule(Table):
    """Say what is recorded of the streams a glob matches, what travels, and how far.

    ship: the original `always` travels, with an `event`, `small` (only its small frames ever do) or `never` (nothing).
    """

    ship: Ship = "event"  # kept on the robot until an event asks for it
    to: Reach = "cloud"  # the last tier it travels to by itself
    at: Annotated[Hours | Literal["idle"] | None, BeforeValidator(_ship_at)] = None  # when `always` goes; None: at once
    keep: Resolution = "original"  # the finest that is recorded at all
    every: DurationUs | None = None  # of originals, no more than one within this is recorded; None: all
    preview: Preview | None = None
    thumbnail: Thumbnail | None = None
    video: Video | None = None  # None: pictures stay pictures
    expect: Annotated[Expect | None, BeforeValidator(_expect)] = None  # without, a stream may be silent or absent
    ring: Annotated[int | None, BeforeValidator(_ring)] = None  # µs in memory only, until an event asks; None: on disk
    retention: DurationUs | None = None  # of what nobody selected; None: as long as the ring holds it

    @model_validator(mode="after")
    def _agrees(self) -> StreamRule:
        if self.keep != "original" and getattr(self, self.keep) is None:
            raise ValueError(f"keep = '{self.keep}' needs a table `{self.keep}` that says how small and how often")
        if self.ring is not None and self.ship == "always":
            raise ValueError("ring = 'ram ...' keeps nothing until an event asks; ship = 'always' asks for all of it")
        if self.at is not None and self.ship != "always":
            raise ValueError("at = ... says when what ships 'always' goes; events travel at once")
        return self
