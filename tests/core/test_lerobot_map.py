"""lerobot.toml: what it may say, and that every fault is told."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from fleetbox.errors import SettingsError
from fleetbox.settings.lerobot import LerobotMap, load_map, parse_map

FEATURES = {"observation.state": ["joints:position"], "observation.images.front": ["cam/front"]}


def parsed(**said: Any) -> LerobotMap:
    """Read a map with these values."""
    return parse_map({"fps": 30, "features": FEATURES, **said}, Path("lerobot.toml"))


def test_the_sample_can_be_used(tmp_path: Path) -> None:
    """The shipped sample is a map with a camera, a state and an action."""
    text = files("fleetbox").joinpath("samples", "lerobot.toml").read_text()
    (tmp_path / "lerobot.toml").write_text(text)
    found = load_map(tmp_path / "lerobot.toml")
    assert list(found.pictures) == ["observation.images.front"]
    assert list(found.numbers) == ["observation.state", "action"]
    assert found.reference == "cam/front"


def test_a_feature_may_say_otherwise_than_the_map() -> None:
    """A feature's own method and age stand before the map's."""
    rule = {"from": ["imu"], "method": "linear", "max_age": "20ms"}
    found = parsed(features={"observation.imu": rule, "action": "cmd"})
    imu, action = found.features.values()
    assert (found.method_of(imu), found.age_us(imu)) == ("linear", 20_000)
    assert (found.method_of(action), found.age_us(action)) == ("previous", 100_000)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"fps": 0}, "fps"),
        ({"fpss": 3}, "not a known key"),
        ({"reference": "cam/left"}, "is the stream of no feature"),
        ({"features": {}}, "features"),
        ({"features": {"observation/state": ["a"]}}, "no slash"),
        ({"features": {"timestamp": ["a"]}}, "written by the export itself"),
        ({"features": {"observation.image": ["a"]}}, "is a picture"),
        ({"features": {"observation.images.a": ["a", "b"]}}, "a camera is one stream"),
        ({"features": {"observation.images.a": {"from": ["a"], "method": "linear"}}}, "cannot be interpolated"),
        ({"features": {"observation.images.a": {"from": ["a"], "size": "641x480"}}}, "even numbers"),
        ({"features": {"state": ["joints*"]}}, "chooses several streams"),
        ({"features": {"state": {"from": ["a", "b"], "dtype": "string"}}}, "text comes from one field"),
        ({"max_age": 3}, "max_age"),
    ],
)
def test_faults_are_told(said: dict[str, Any], why: str) -> None:
    """What cannot be meant is refused, with the reason."""
    with pytest.raises(SettingsError, match=why):
        parsed(**said)
