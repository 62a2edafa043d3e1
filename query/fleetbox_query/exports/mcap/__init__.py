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
    """Write one file that grows by parts of a few hundred megabytes, each on the disk before it counts."""
    from fleetbox_query.exports.mcap.writing import write_whole

    return write_whole(job)
