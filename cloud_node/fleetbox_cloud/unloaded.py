"""Find chunks that the site's own ledger tells of and the loader has not loaded, and load them."""

from __future__ import annotations

from fleetbox.errors import NotFound
from fleetbox.ledger import MINUTE_US, Line, entry_of, read_pages
from fleetbox.naming import site_bucket, split_bucket
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.sources import LOADED_CLASSES
from fleetbox_cloud.sweeping import Sweep


class Unloaded:
    """Follow the site's pages about each robot as a log of changes; where they were read to stands in the cursor."""

    def __init__(self, loader: Loader, sweep: Sweep) -> None:
        self._loader = loader
        self._sweep = sweep

    async def look(self) -> int:
        """Compare the pages written since the last look; return how many chunks had to be loaded."""
        found = 0
        for bucket in await self._loader.store.buckets():
            robot, cls = split_bucket(bucket) or (bucket, "")
            if cls == "meta":
                found += await self._robot(robot, bucket)
        return found

    async def _robot(self, robot: str, bucket: str) -> int:
        found, cursor = 0, self._loader.cursor
        entries = (entry_of(self._loader.site, robot),)
        async for time_us, page in read_pages(self._loader.store, bucket, entries, start_us=cursor.page(robot) + 1):
            for line in page.lines:
                found += await self._line(robot, line)
            cursor.put_page(robot, time_us)  # only now: a page half compared is compared again
        return found

    async def _line(self, robot: str, line: Line) -> int:
        """Load the chunks of a minute if the store held more of them than are loaded; blobs are told apart there."""
        if line.cls not in LOADED_CLASSES:
            return 0
        bucket, stop_us = site_bucket(robot, line.cls), line.minute_us + MINUTE_US
        if self._loader.cursor.chunks(bucket, line.stream, line.minute_us, stop_us) >= line.held.records:
            return 0
        try:
            return await self._sweep.entry(bucket, line.stream, line.minute_us, stop_us)
        except NotFound:
            return 0  # the ring has taken them since
