"""Rows reach who watches them through a folder on one machine; nobody waits, nothing is left behind."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fleetbox.tapping import DATAGRAM_BYTES, FOLDER, Ear, Row, Voice, packed, unpacked


def test_rows_as_datagrams() -> None:
    """Numbers, text and numpy's values arrive as they are, however many; what fits in no datagram is left out."""
    rows = [Row("imu", at, {"x": np.float64(at), "v": [1, 2], "s": "é"}, {"run": 7}) for at in range(5_000)]
    huge = [Row("imu", 1, {"x": "y" * DATAGRAM_BYTES}), Row("imu", 2, {"n": 2**80}), Row("imu", 3, {"x": 1})]
    found = [row for data in packed(rows) for row in unpacked(data)]
    assert found == [Row("imu", at, {"x": float(at), "v": [1, 2], "s": "é"}, {"run": 7}) for at in range(5_000)]
    assert [row.fields for data in packed(huge) for row in unpacked(data)] == [{"n": str(2**80)}, {"x": 1}]
    for wrong in (b"", b"\xc1", b"\x01", b"\x91\x01"):
        with pytest.raises(ValueError, match="are no rows"):
            unpacked(wrong)


def test_who_watches_hears(tmp_path: Path) -> None:
    """Each hears the streams it wants, however deep the folder lies; who leaves leaves nothing behind."""
    state = tmp_path / ("deep" * 30)
    state.mkdir()
    voice, one, other = Voice(state), Ear(state), Ear(state)
    assert voice.look() == frozenset()  # neither has said what
    one.want(["imu"])
    other.want(["imu", "gps"])
    assert voice.look() == {"imu", "gps"}
    voice.send([Row("imu", 1, {"x": 1.0}), Row("gps", 2, {"y": 2.0}), Row("arm", 3, {})])
    assert [row.stream for row in one.take()] == ["imu"]
    assert [row.stream for row in other.take()] == ["imu", "gps"]
    one.want(["gps"])
    assert voice.look() == {"imu", "gps"}
    other.close()
    assert voice.look() == {"gps"}
    one.close()
    assert voice.look() == frozenset()
    assert not list((state / FOLDER).iterdir())


def test_who_died(tmp_path: Path) -> None:
    """What a watcher that was killed left is removed; one that has no room loses rows, and nobody waits for it."""
    voice, dead, slow = Voice(tmp_path), Ear(tmp_path), Ear(tmp_path)
    dead.want(["imu"])
    slow.want(["imu"])
    dead.socket.close()
    tracemalloc.start()
    assert voice.look() == {"imu"}
    for _ in range(200):
        voice.send(Row("imu", at, {"x": 1.0}) for at in range(1_000))
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 20_000_000
    assert 0 < len(list(slow.take())) < 200_000
    assert {path.suffix for path in (tmp_path / FOLDER).iterdir()} == {".sock", ".want"}
    assert len(list((tmp_path / FOLDER).iterdir())) == 2
    slow.close()
    voice.close()


def test_no_folder(tmp_path: Path) -> None:
    """Where nobody ever watched there is no folder, and nothing to do; one that cannot be made is an error."""
    assert Voice(tmp_path).look() == frozenset()
    (tmp_path / FOLDER).write_text("")
    with pytest.raises(OSError, match=FOLDER):
        Ear(tmp_path)
