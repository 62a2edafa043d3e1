"""An Avro file reads back by channel and signal, whatever Avro's types are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from fleetbox.errors import InputError
from fleetbox_query.exports import reading_avro
from fleetbox_query.exports.reading_avro import read_avro

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SCHEMA: dict[str, Any] = {
    "type": "record", "name": "imu", "namespace": "robots.v1",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "ax", "type": "double"},
        {"name": "count", "type": ["null", "long"]},
        {"name": "mode", "type": {"type": "enum", "name": "mode", "symbols": ["on", "off"]}},
        {"name": "acc", "type": {"type": "array", "items": "float"}},
        {"name": "ragged", "type": {"type": "array", "items": "int"}},
        {"name": "pose", "type": {"type": "record", "name": "pose", "fields": [{"name": "x", "type": "float"}]}},
        {"name": "raw", "type": "bytes"},
    ],
}  # fmt: skip


def _rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "at": START + timedelta(microseconds=10_000 * at + 1), "ax": at / 2, "count": None if at == 1 else at,
            "mode": "on" if at % 2 else "off", "acc": [1.0, 2.0, 3.0], "ragged": [1] * (at % 3), "pose": {"x": -at},
            "raw": bytes([at % 256]),
        }
        for at in range(count)
    ]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of a hundred records."""
    with (tmp_path / "x.avro").open("wb") as file:
        fastavro.writer(file, SCHEMA, _rows(100), codec="deflate")
    return tmp_path / "x.avro"


def test_channels_and_signals(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data.channel.signal with exact times, missing numbers NaN, lists as matrices, a record within as a channel."""
    monkeypatch.setattr(reading_avro, "BLOCK", 30)
    with read_avro(path) as data:
        start_us = int(START.timestamp()) * 1_000_000
        assert data.imu.time_us.tolist() == [start_us + 10_000 * at + 1 for at in range(100)]
        assert data.imu.time[0] == pytest.approx(START.timestamp())
        assert data.ax.tolist() == [at / 2 for at in range(100)]
        assert np.isnan(data.imu.count[1])
        assert data.imu.count[2] == 2
        assert data.imu.mode[:2].tolist() == ["off", "on"]
        assert data.imu.acc.shape == (100, 3)
        assert data.imu.ragged[:3].tolist() == ["[]", "[1]", "[1, 1]"]
        assert data.pose.x.tolist() == [-at for at in range(100)]
        assert data.pose.time_us[0] == start_us + 1
        assert bytes(data.imu.raw[3]) == b"\x03"
        assert "imu  100 rows  2026-11-21T12:00:00.000001Z" in str(data)


def test_what_is_no_avro_says_so(path: Path, tmp_path: Path) -> None:
    """A torn file, other bytes, a file of plain numbers, and none at all: each an InputError."""
    torn, other, numbers = tmp_path / "torn.avro", tmp_path / "other.avro", tmp_path / "numbers.avro"
    other.write_bytes(b"no avro")
    with numbers.open("wb") as file:
        fastavro.writer(file, {"type": "long"}, [1, 2])
    data = path.read_bytes()
    for part in range(8):
        torn.write_bytes(data[: len(data) * part // 8])
        with pytest.raises(InputError, match=r"torn\.avro"):
            read_avro(torn)
    for one in (tmp_path, other, numbers, tmp_path / "none.avro"):
        with pytest.raises(InputError):
            read_avro(one)
