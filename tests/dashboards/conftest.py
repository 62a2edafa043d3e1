"""An InfluxDB with a small fleet in it, loaded once, and a stand-in for Grafana's HTTP side."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from conftest import InfluxServer
from grafana_stand_in import StandIn
from small_fleet import Loaded, lines

from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx

LINES = 400  # a request stays below 1 MB, from which aiohttp wants it in another form


@pytest.fixture(scope="session")
def loaded(influx_server: InfluxServer) -> Loaded:
    """The small fleet in a bucket of its own."""
    influx = Influx(influx_server.url, influx_server.token, influx_server.org, f"boards-{uuid.uuid4().hex[:8]}")
    found = Loaded(influx, int(time.time()) // 60 * 60)

    async def load(scalars: ScalarStore) -> None:
        await scalars.ensure_bucket()
        text = list(lines(found.stop_s))
        for at in range(0, len(text), LINES):
            report = await scalars.write_lines(text[at : at + LINES])
            assert not report.refused, report.refusals[0]

    found.run(load)
    return found


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """The few endpoints of Grafana that a push speaks with."""
    with StandIn() as server:
        yield server
