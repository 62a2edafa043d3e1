"""Export a selection in a format: the one door of the command line and the SDK."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fleetbox.errors import InputError
from fleetbox.extras import require
from fleetbox_query.exports.asked import as_plain, fixed, shown_by, window_of
from fleetbox_query.exports.job import Advance, Exported, Job, Options
from fleetbox_query.exports.output import Output
from fleetbox_query.selection import Selection
from fleetbox_query.units import mixed_units, units_of
from fleetbox_query.widening import rounded_lines

# Each format's module, loaded when it is asked for, and the extra it needs: none pays for another one's libraries.
FORMATS = {
    "mcap": ("fleetbox_query.exports.mcap", "export"),
    "parquet": ("fleetbox_query.exports.parquet", "query"),
    "csv": ("fleetbox_query.exports.csv", "query"),
    "hdf5": ("fleetbox_query.exports.hdf5", "export"),
    "safetensors": ("fleetbox_query.exports.safetensors", "query"),
    "mp4": ("fleetbox_query.exports.mp4", "query"),
    "png": ("fleetbox_query.exports.png", "query"),
    "jpeg": ("fleetbox_query.exports.jpeg", "query"),
}


class Format(Protocol):
    """What a format's module offers."""

    def is_folder(self, target: Path) -> bool:
        """Tell whether the target is to be a folder of files."""

    def write(self, job: Job) -> str | None:
        """Write everything into the output; return the finished file that is the whole, of a target that is one."""


def export(
    selection: Selection,
    format_: str,
    out: Path | str,
    options: Options | None = None,
    *,
    said: Mapping[str, Any] | None = None,
    advance: Advance = lambda done, text: None,
) -> Exported:
    """Write what a selection chooses into files, whole or not at all, and return what was written.

    said: the words a person used for some of the question ("-1h"), by which an interrupted export knows its own
    question again; `now` then means what it meant at first. advance: told how far it is.
    Raises InputError for an unknown format or a target that cannot be, NotFound when there are no such streams.
    """
    if format_ not in FORMATS:
        raise InputError(f"format {format_!r} is not known", f"use one of {', '.join(FORMATS)}")
    module, extra = FORMATS[format_]
    require(extra)
    made: Format = importlib.import_module(module)
    target, options = Path(out), options or Options()
    asked = {"format": format_, "query": as_plain(selection.question, said or {}), "options": _plain_options(options)}
    asked |= shown_by(selection.session, selection.question)
    with Output(target, asked, folder=made.is_folder(target)) as output:
        start, stop = output.remember("window_us", window_of(selection.session, selection.question))
        job = Job(selection, output, options, (start, stop), advance)
        _same_windows(job)
        question = fixed(selection.question, job.window)
        sources = selection.session.run(selection.session.prepare(question, films=True)).sources
        job.units, told = units_of(sources), tuple(mixed_units(sources))
        whole = made.write(job)
        size_bytes = sum(one.size_bytes for name, one in output.finished.items() if whole in (None, name))
        rounded = tuple(rounded_lines(job.rounding))
        output.finish({**job.tally.as_dict(), "units": job.units, "told": [*told, *rounded]}, whole)
    return Exported(target, job.tally, size_bytes, told, rounded)


def _same_windows(job: Job) -> None:
    """Begin anew where the question now means other stretches of time: events came since that an attempt lacks."""
    if job.selection.question.events is None and job.selection.question.episodes is None:
        return
    session = job.selection.session
    prepared = session.run(session.prepare(fixed(job.selection.question, job.window)))
    text = repr(sorted((source.name, source.windows) for source in prepared.sources))
    mark = hashlib.sha256(text.encode()).hexdigest()
    if job.out.remember("windows", mark) != mark:
        job.out.begin_anew({"window_us": list(job.window), "windows": mark})
        job.tally, job.next_us, job.state = type(job.tally)(), 0, {}


def _plain_options(options: Options) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in options.__slots__}
    return {name: value for name, value in given.items() if value != getattr(Options(), name)}
