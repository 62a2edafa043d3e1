"""Export pictures as PNG files; depth and alpha stay as they were recorded."""

from __future__ import annotations

from fleetbox.types import images
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.picture_files import folder_only as is_folder
from fleetbox_query.exports.picture_files import write_files
from fleetbox_query.exports.pictures import as_array, encoded
from fleetbox_query.items import Item

__all__ = ["is_folder", "write"]

END = b"IEND"  # the last part of a whole PNG
PADDING_BYTES = 64  # that cameras put behind it


def write(job: Job) -> str | None:
    """Write ROBOT/STREAM/TIME.png."""

    def encode(item: Item) -> bytes:
        data = item.data or b""
        if job.options.burn_time:
            return encoded(as_array(item, burn_time=True), ".png")
        if images.sniff(data) == "image/png" and END in data[-PADDING_BYTES:]:
            return data
        return encoded(images.decode(data), ".png")

    write_files(job, ".png", encode)
    return None
