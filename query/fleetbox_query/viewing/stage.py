"""Log into one Rerun recording at times on its one clock, and note what was logged, for the views to be chosen by."""

from __future__ import annotations

from typing import Any

from fleetbox_query.viewing.layout import Shown

TIMELINE = "time"  # the one clock: UTC, by the records' µs


class Stage:
    """Know a recording and what has been put into it."""

    def __init__(self, recording: Any) -> None:
        self.recording = recording
        self.shown: dict[Shown, None] = {}

    def show(self, one: Shown) -> bool:
        """Note what is shown; tell whether it is new."""
        new = one not in self.shown
        self.shown[one] = None
        return new

    def log(self, path: str, time_us: int, archetype: Any) -> None:
        """Log at a time."""
        import numpy as np

        self.recording.set_time(TIMELINE, timestamp=np.datetime64(time_us, "us"))
        self.recording.log(path, archetype)

    def always(self, path: str, archetype: Any) -> None:
        """Log what holds at any time."""
        self.recording.log(path, archetype, static=True)

    def send(self, path: str, times_us: Any, columns: Any) -> None:
        """Log many values, each at its time (an array of int64)."""
        import rerun as rr

        clock = rr.TimeColumn(TIMELINE, timestamp=times_us.astype("datetime64[us]"))
        self.recording.send_columns(path, [clock], columns)


def path_of(*parts: str) -> str:
    """Return the entity path of names, whatever signs they hold."""
    import rerun as rr

    return str(rr.new_entity_path([part for part in parts if part]))
