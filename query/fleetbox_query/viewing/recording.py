"""Read what a question chooses into a Rerun recording: into a file, whole or not at all, or into the viewer."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.errors import FleetboxError, InputError
from fleetbox.extras import require
from fleetbox.time import iso_time
from fleetbox_query.provenance import PartialAnswer
from fleetbox_query.question import Question
from fleetbox_query.reading import Prepared
from fleetbox_query.saving import written_whole
from fleetbox_query.units import MixedUnits
from fleetbox_query.viewing.blueprint import Focus, blueprint_of
from fleetbox_query.viewing.entities import Entities
from fleetbox_query.viewing.filling import Filled, Filling
from fleetbox_query.viewing.layout import layout
from fleetbox_query.viewing.pouring import poured
from fleetbox_query.viewing.stage import TIMELINE
from fleetbox_query.viewing.subject import prepared_to_see

if TYPE_CHECKING:
    from fleetbox_query.selection import Selection

Advance = Callable[[float, str], None]  # the part done, 0 to 1, and words beside it
APPLICATION = "fleetbox"
MOST_NAMED = 3  # robots, in a title
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


@dataclass
class Viewed:
    """Say what is shown: the file or None for the viewer, and what was put in."""

    path: Path | None
    filled: Filled = field(default_factory=Filled)
    file_bytes: int = 0

    @property
    def items(self) -> Counter[str]:
        """Return how many rows and records are shown, by stream."""
        return self.filled.items

    @property
    def events(self) -> int:
        """Return how many events are shown."""
        return self.filled.events

    @property
    def complete(self) -> bool:
        """Tell whether everything asked for is shown."""
        return not self.filled.skipped and not self.filled.missing

    def lines(self) -> list[str]:
        """Return what is not shown, a line each."""
        skipped = sorted(self.filled.skipped.items())
        return [*self.filled.missing, *(f"not shown: {text} ({count:,})" for text, count in skipped)]

    def warn(self, stacklevel: int = 3) -> None:
        """Issue MixedUnits warnings for fields in several units, and a PartialAnswer unless everything is shown."""
        for line in self.filled.told:
            warnings.warn(MixedUnits(line), stacklevel=stacklevel)
        if not self.complete:
            warnings.warn(PartialAnswer("; ".join(self.lines())), stacklevel=stacklevel)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "path": str(self.path) if self.path else None,
            "file_bytes": self.file_bytes,
            "complete": self.complete,
            "streams": dict(sorted(self.items.items())),
            "events": self.events,
            "missing": self.lines(),
            "told": list(self.filled.told),
        }


def has_display(platform: str = sys.platform, variables: Mapping[str, str] = environ) -> bool:
    """Tell whether a window can be shown here."""
    return platform in ("win32", "darwin") or any(variables.get(name) for name in DISPLAYS)


def file_name(question: Question, now_us: int) -> Path:
    """Return a name for the file of somebody who gave none: robot, and where the time begins."""
    robot = question.selectors[0].robot.strip("*") or "fleet"
    start = question.start if isinstance(question.start, int) else now_us
    return Path(f"{robot}-{iso_time(start)[:19].replace(':', '').replace('-', '')}Z.rrd")


def view(
    selection: Selection,
    out: Path | None,
    advance: Advance = lambda done, text: None,
    focus: Focus | None = None,
) -> Viewed:
    """Show a selection in the viewer, or write it into `out`; memory stays bounded.

    focus: the stretch that the viewer marks and plays first. Raises FleetboxError when Rerun is not installed or a file
    cannot be written, InputError for a name of another kind.
    """
    require("view")
    session = selection.session
    viewed = Viewed(out)
    prepared = prepared_to_see(session, selection.question)
    with _sink(out, _title(prepared, focus)) as (entities, drained):
        filling = Filling(session, selection.question, prepared, entities)
        viewed.filled = filling.filled
        filling.put_intervals()
        laid_out = 0
        for done in filling.put_records():
            if out is None and len(entities.shown) > laid_out:  # whoever watches sees a view as soon as it fills
                laid_out = len(entities.shown)
                _lay_out(entities, focus)
            drained()
            advance(done, f"{viewed.items.total():,} items")
        if out is not None:
            _lay_out(entities, focus)
        drained()
        if out is None and focus is not None:
            _go_to(focus)
    viewed.file_bytes = out.stat().st_size if out else 0
    return viewed


def _title(prepared: Prepared, focus: Focus | None) -> str:
    """Return what the viewer calls it: the robots, and when it was."""
    robots = sorted({source.robot for source in prepared.sources})
    named = ", ".join(robots[:MOST_NAMED]) + (f" +{len(robots) - MOST_NAMED}" if len(robots) > MOST_NAMED else "")
    starts = [max(source.windows[0][0], min(one.entry.oldest_us for one in source.holdings))
              for source in prepared.sources]  # fmt: skip
    at_us = focus.moment_us if focus else min(starts, default=0)
    return f"{named} {iso_time(at_us)[:19].replace('T', ' ')} UTC".strip()


def _go_to(focus: Focus) -> None:
    """Move the viewer's clock to the moment: a blueprint only marks stretches, so the viewer itself is asked.

    What asks it is new in Rerun and may change: without it the marked stretch is played.
    """
    with suppress(ImportError, AttributeError, OSError, RuntimeError, TypeError, ValueError):
        from rerun.experimental import ViewerClient

        viewer = ViewerClient.connect()
        viewer.set_time(timeline=TIMELINE, timestamp=focus.moment_us / 1e6, play_state="paused")


def _lay_out(entities: Entities, focus: Focus | None) -> None:
    """Send the views for what is there by now; the last ones sent stand."""
    entities.stage.recording.send_blueprint(blueprint_of(layout(entities.shown), focus))


@contextmanager
def _sink(out: Path | None, title: str = "") -> Iterator[tuple[Entities, Callable[[], None]]]:
    """Yield what logs, and a call that empties what was logged into its place, so that memory stays bounded."""
    import rerun as rr

    # Rerun keeps views by application: another question's must not replace these.
    # It warns of a comma or a plus in such a name.
    plain = "".join(mark if mark.isalnum() or mark in " -_.:" else "" for mark in title)
    recording: Any = rr.RecordingStream(f"{APPLICATION} {plain}".rstrip())
    recording.set_log_tick_enabled(False)
    recording.set_log_time_enabled(False)
    if out is None:
        rr.spawn(recording=recording)
        rr.send_recording_name(title, recording=recording)
        yield Entities(recording), recording.flush
        return
    if out.suffix != ".rrd":
        raise InputError(f"{out} is no name for a recording of Rerun's", f"give -o {out.with_suffix('.rrd')}")
    try:
        with written_whole(out) as part:
            with poured(part) as (pipe, check):
                recording.save(str(pipe))  # a stream of bytes would be a file each time it is emptied, end to end
                rr.send_recording_name(title, recording=recording)
                try:
                    yield Entities(recording), lambda: _written(recording, check, out)
                finally:
                    recording.disconnect()
            _check_whole(part, out)
    finally:
        recording.disconnect()


def _written(recording: Any, check: Callable[[], None], out: Path) -> None:
    check()
    try:
        recording.flush()
    except (OSError, RuntimeError, ValueError) as error:
        raise FleetboxError(f"cannot write {out}: {error}", "make room or give another -o FILE") from error


def _check_whole(part: Path, out: Path) -> None:
    """Raise FleetboxError unless Rerun's own reader opens the file: of its end, written last, Rerun says nothing."""
    from rerun.chunk import RrdReader

    try:
        RrdReader(str(part)).stream()
    except (OSError, RuntimeError, ValueError) as error:
        raise FleetboxError(f"cannot write {out}: {error}", "make room or give another -o FILE") from error
