"""The machine measured: real numbers, and nothing where nothing is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from fleetbox.machine import Machine, disk_of, finite, hottest


def test_this_machine_has_numbers(tmp_path: Path) -> None:
    """Percentages lie in their range; a folder that is not there yet is on the disk of the one above."""
    found = Machine().read(tmp_path / "later" / "state")
    assert 0 <= found["cpu"] <= 100
    assert 0 < found["ram"] <= 100
    assert 0 <= found["disk"] <= 100
    assert found["disk_free_bytes"] >= 0
    assert disk_of(tmp_path)["disk_free_bytes"] > 0


def test_the_processor_is_meant_where_it_is_known() -> None:
    """A hot disk is no hot processor; without any sensor there is no temperature."""

    def sensor(celsius: float | None) -> SimpleNamespace:
        return SimpleNamespace(current=celsius)

    assert hottest({"nvme": [sensor(80.0)], "coretemp": [sensor(50.0), sensor(61.0)]}) == 61.0
    assert hottest({"nvme": [sensor(80.0)], "odd": [sensor(None)]}) == 80.0
    assert hottest({}) is None


def test_what_is_no_number_is_left_out() -> None:
    """InfluxDB refuses a whole request for one NaN."""
    assert finite({"a": 1, "b": None, "c": float("nan"), "d": float("inf")}) == {"a": 1.0}
