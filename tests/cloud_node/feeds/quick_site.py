"""Run a site as `fleetbox site run` does, with feeds that look every moment and no pages of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from fleetbox.settings import load_fleet
from fleetbox_cloud.books_feed import Rhythm
from fleetbox_cloud.feeds import FeedRhythm
from fleetbox_cloud.feeds.hours import HourRhythm
from fleetbox_cloud.site import Site

HOURS = HourRhythm(look_s=0.2, settle_s=0.5, host_s=1.0, mended_s=1.0)


async def run(file: Path) -> None:
    """Run until SIGTERM."""
    fleet = load_fleet(file)
    site = Site(fleet, fleet.site_place("edge"))
    assert site._feeds is not None
    site._feeds._rhythm = FeedRhythm(robots_s=0.5, arrivals_s=0.2)
    site._feeds.hours.rhythm = HOURS
    site._feeds.renewals._look_s = 0.5
    site._books._rhythm = Rhythm(look_s=0.5, news_s=0.2, again_s=0.0, past_rest_s=0.1)
    every = site._runs
    site._runs = lambda url: {name: run for name, run in every(url).items() if name != "ledger"}  # type: ignore[method-assign]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await site.run(stop)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
