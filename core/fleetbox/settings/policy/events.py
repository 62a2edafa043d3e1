"""What the policy says of an event kind: how much around the moment is kept, of what, and how far it travels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fleetbox.settings.values import DurationUs, Table

Resolution = Literal["original", "preview", "thumbnail"]
Target = Literal["robot", "edge", "cloud"]
MAX_PRE = 300_000_000  # µs; the ring holds hours, but an event should stay a moment
MAX_POST = 120_000_000  # µs


class EventRule(Table):
    """Say how much around a moment an event keeps, over which streams, how fine, and how far it travels.

    to: `robot` brings what circles in memory to the robot's disk and ships nothing.
    """

    pre: DurationUs = Field(default=10_000_000, ge=0, le=MAX_PRE)  # µs; what led to it
    post: DurationUs = Field(default=5_000_000, ge=0, le=MAX_POST)  # µs; what came of it
    streams: tuple[str, ...] = ("**",)
    resolution: Resolution = "original"  # the finest of each picture stream that is taken
    to: Target = "cloud"
