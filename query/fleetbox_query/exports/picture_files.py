"""Write pictures as files into a folder: ROBOT/STREAM/TIME.EXTENSION."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox_query.exports.ahead import Ahead
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.pictures import is_picture
from fleetbox_query.items import Item
from fleetbox_query.plan import FAR_US

BATCH = 256  # pictures that reach the disk together; a killed export makes at most these again

Encode = Callable[[Item], bytes]


def folder_only(target: Path) -> bool:
    """Tell that the target is a folder; raises InputError for the name of a picture."""
    if target.suffix.lower() in (".png", ".jpg", ".jpeg"):
        raise InputError(
            f"pictures go into a folder, and {target} names one picture", "one: `fleetbox get ... -o FILE`"
        )
    return True


def write_files(job: Job, extension: str, encode: Encode) -> None:
    """Write every picture that the question chooses."""
    records = job.records(job.prepared(films=True))
    try:
        items = Ahead(records)
        while not items.ended:
            with job.out.batch() as batch:
                taken, last_us = 0, -1
                while not items.ended and (taken < BATCH or items.next_us == last_us):
                    item = items.take()
                    taken, last_us = taken + 1, item.time_us
                    if is_picture(job, item):
                        _write(job, item, encode, batch.path, extension)
            job.tally.read(records.provenance)
            job.reached(FAR_US if items.ended else items.next_us)
            job.show(last_us)
        job.tally.read(records.provenance)
    finally:
        records.close()


def _write(job: Job, item: Item, encode: Encode, path_of: Callable[[str], Path], extension: str) -> None:
    try:
        data = encode(item)
    except InputError as error:
        job.tally.skip(f"{item.robot}/{item.stream} at {iso_time(item.time_us)}: {error.message}")
        return
    stamp = iso_time(item.time_us).replace(":", "").replace("-", "")
    path_of(f"{item.robot}/{item.stream}/{stamp}{extension}").write_bytes(data)
    job.tally.count(f"{item.robot}/{item.stream}", 1, len(data))
