"""Export everything as one MCAP file that Foxglove and the `mcap` tools open: indexed, with exact times in ns."""

from __future__ import annotations

from pathlib import Path

from fleetbox.errors import InputError
from fleetbox_query.exports.job import Job


def is_folder(target: Path) -> bool:
    """Tell whether the target is to be a folder: it never is."""
    if not target.suffix:
        raise InputError(f"MCAP is one file, and {target} names a folder", f"give a file: -o {target}.mcap")
    return False


def write(job: Job) -> str | None:
    """Write parts of a few hundred megabytes, each whole by itself, then join them without unpacking."""
    from fleetbox_query.exports.mcap.writing import write_parts

    return write_parts(job)
