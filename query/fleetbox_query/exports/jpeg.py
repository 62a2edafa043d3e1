"""Export pictures as JPEG files, byte for byte where they were recorded so."""

from __future__ import annotations

from fleetbox.types import images
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.picture_files import folder_only as is_folder
from fleetbox_query.exports.picture_files import write_files
from fleetbox_query.exports.pictures import as_array, encoded
from fleetbox_query.items import Item

__all__ = ["is_folder", "write"]


def write(job: Job) -> str | None:
    """Write ROBOT/STREAM/TIME.jpg."""

    def encode(item: Item) -> bytes:
        data = item.data or b""
        if not job.options.burn_time and images.sniff(data) == "image/jpeg":
            images.check_whole(data)
            return data
        return encoded(as_array(item, burn_time=job.options.burn_time), ".jpg")

    write_files(job, ".jpg", encode)
    return None
