"""Changes: what a policy changes is said in the words and units of its file."""

from __future__ import annotations

from fleetbox.settings import parse_policy
from fleetbox_cloud.desk.changes import changes


def test_changes_are_told_with_their_units() -> None:
    """Durations as durations, lists as lists, what is not there as a dash; what is equal is not told."""
    before = parse_policy('version = 1\n[event.brake]\npre = "30s"\nstreams = ["imu"]\n')
    after = parse_policy(
        'version = 2\n[stream."cam/*"]\nring = "ram 20 s"\n[event.brake]\npre = "90s"\nstreams = ["imu", "cam/*"]\n'
    )
    lines = changes(before, after)
    assert "event.brake.pre: 30 s -> 90 s" in lines
    assert "event.brake.streams: imu -> imu, cam/*" in lines
    assert "stream.cam/*.ring: - -> 20 s" in lines
    assert "version: 1 -> 2" in lines
    assert not [line for line in lines if line.startswith("event.brake.post")]
    assert changes(after, after) == []
