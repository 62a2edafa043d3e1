"""A stick brings what a broken link could not, and the robot's reconciler closes its books when the link is back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from fleetbox.blobs import Store
from fleetbox.selectors import Selector
from fleetbox.settings import find_fleet
from fleetbox_edge.carrying.carry import carry, look
from fleetbox_edge.carrying.landing import folders_on, land
from fleetbox_edge.recorder import Recorder
from fleetbox_replication.audit import audit
from fleetbox_replication.census import Census, census_of_site
from fleetbox_replication.reconcile.peeking import read_proven
from tests.edge_node.pulling.conftest import Far
from tests.edge_node.pulling.test_far import now_us, until


@pytest.mark.faults
def test_the_books_close_when_the_link_is_back(far: Far, tmp_path: Path) -> None:
    """What came by hand is stored once although the engine sends it again, proven to the robot, and counted as such."""
    stick = tmp_path / "stick"
    stick.mkdir()
    (far.robot.folder / "policy.toml").write_text('[stream."log/**"]\nship = "always"\n')
    began_us = now_us() - 120_000_000
    far.link.cut()
    with Recorder(far.robot.file) as recorder:
        for number in range(50):
            recorder.log("log/app", f"line {number}", time=began_us + number * 1_000_000)
        recorder.flush(60)
        fleet = find_fleet(far.robot.file)
        done = carry(look(fleet, stick))
        assert done.records > 50
        (folder,) = folders_on(stick)
        landed = asyncio.run(land(folder, far.fleet, far.fleet.site_place("edge")))
        assert (landed.failed_count, landed.written) == (0, done.records)
        assert len(far.at_site("log", "log/app")) == 50
        far.link.heal()
        asyncio.run(_count_at_site(far, tmp_path))
        state = far.robot.folder / "state" / "reconcile-edge.sqlite"
        until(lambda: _proven(state, far.robot.id) == 50, 150)
    books = asyncio.run(audit(far.fleet, Selector.parse(f"{far.robot.id}/log/*"), began_us, now_us(), now_us()))
    (hop,) = books.hops(far.robot.id)
    assert (hop.arrived, hop.by_hand, hop.waiting, books.exit_code) == (50, 50, 0, 0)
    assert len(far.at_site("log", "log/app")) == 50


async def _count_at_site(far: Far, folder: Path) -> None:
    """Write the site's pages, as its process does."""
    async with Store(far.site.url, far.site.token) as store:
        census = Census(lambda: store, census_of_site("edge", lambda: store), folder / "census")
        deadline_s = time.monotonic() + 60
        while not await census.flush():
            assert time.monotonic() < deadline_s, "the site's census told nothing"


def _proven(state: Path, robot: str) -> int:
    return read_proven(state, robot).records("log", "log/app")
