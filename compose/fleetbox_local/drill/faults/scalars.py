"""Faults of the InfluxDB beside the edge site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fleetbox_local.drill.scene import Scene


@contextmanager
def influx_away(scene: Scene) -> Iterator[None]:
    """Kill the edge's InfluxDB; then start it again."""
    influx = scene.local.influx
    assert influx is not None, "this scenario's setting has an InfluxDB"
    influx.kill()
    try:
        yield
    finally:
        influx.start()
        influx.wait_ready()
