"""The uplink: rates as people write them, and the order of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox.errors import SettingsError
from fleetbox.settings import load_fleet, load_robot
from fleetbox.settings.uplink import ORDER
from fleetbox.settings.values import parse_rate

ROBOT = """
robot = "r1"
store_token = { env = "T" }
[uplink]
"""
FLEET = """
[site.cloud]
store = "http://127.0.0.1:1"
token = { env = "T" }
state = "cloud-files"
[site.edge-1]
store = "http://127.0.0.1:2"
token = { env = "T" }
next = "cloud"
uplink = { max = "1 MB/s", order = ["sensor"] }
"""


@pytest.mark.parametrize(
    ("text", "bytes_s"),
    [
        ("8 Mbit/s", 1_000_000),
        ("1 MB/s", 1_000_000),
        ("0.5 Gbit/s", 62_500_000),
        ("64 kbit/s", 8_000),
        ("8000B/s", 8_000),
    ],
)
def test_rates_are_read_in_bits_and_bytes(text: str, bytes_s: int) -> None:
    """A rate is bytes a second, whether written in bits or bytes."""
    assert parse_rate(text) == bytes_s


@pytest.mark.parametrize("text", ["8 Mbit", "8", 8_000_000, "8 mb/s", "-1 MB/s", "1 kbit/s", "8 MiB/s", None])
def test_what_is_no_rate_is_a_fault(text: object) -> None:
    """A rate without "/s", without a unit or too small to live on is refused with an example."""
    with pytest.raises(ValueError, match="/s'"):
        parse_rate(text)


def test_a_robot_without_one_has_no_cap(tmp_path: Path) -> None:
    """The default is no cap, events first and pictures last; what the order leaves out follows."""
    path = tmp_path / "robot.toml"
    path.write_text(ROBOT)
    assert load_robot(path, {}).uplink.max is None
    assert load_robot(path, {}).uplink.order == ORDER
    path.write_text(ROBOT + 'max = "8 Mbit/s"\norder = ["media", "meta"]')
    uplink = load_robot(path, {}).uplink
    assert (uplink.max, uplink.order) == (1_000_000, ("media", "meta", "log", "sensor", "small", "kept"))


def test_a_site_has_its_own(tmp_path: Path) -> None:
    """Each site says what may leave it, and where its own files are."""
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET)
    fleet = load_fleet(path)
    assert fleet.site["edge-1"].uplink.max == 1_000_000
    assert fleet.site["edge-1"].uplink.order[0] == "sensor"
    assert fleet.site["cloud"].uplink.max is None
    assert fleet.state_of("cloud") == tmp_path / "cloud-files"
    assert fleet.state_of("edge-1") == tmp_path / "state" / "edge-1"
    assert fleet.state_of("r9") is None


def test_every_fault_of_an_uplink_is_told(tmp_path: Path) -> None:
    """A wrong rate, an unknown class and one named twice are told together with file, key and value."""
    path = tmp_path / "fleet.toml"
    path.write_text(
        FLEET.replace('"1 MB/s"', '"fast"').replace('["sensor"]', '["sensor", "video"]')
        + '[site.x]\nstore = "http://h:1"\ntoken = { env = "T" }\nuplink = { order = ["meta", "meta"] }'
    )
    with pytest.raises(SettingsError) as caught:
        load_fleet(path)
    faults = {fault.key: fault.why for fault in caught.value.faults}
    assert "8 Mbit/s" in faults["site.edge-1.uplink.max"]
    assert "video: no such class" in faults["site.edge-1.uplink.order"]
    assert "twice" in faults["site.x.uplink.order"]
