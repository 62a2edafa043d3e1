"""Know what a ROS 2 recording holds, read with mcap and mcap-ros2-support alone, and compare it with what came back.

`read_truth` decodes the file; `check_store` compares it with a store's bucket, `check_objects` with the ndjson
lines of `fleetbox query`: every value of every field, all three clocks, and in a store every message's own bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from fleetbox import chunks
from fleetbox.blobs import Store

CAR = Path(__file__).parents[2] / "shared" / "data" / "car.mcap"
CAR_MESSAGES = 3_513


@dataclass(frozen=True, slots=True)
class Told:
    """What the file says of one message."""

    log_ns: int
    publish_ns: int
    header_ns: int | None
    cdr: bytes
    values: dict[str, Any]


Truth = dict[str, list[Told]]  # stream -> messages in the order of the file's log times


def car_or_skip() -> Path:
    """Return the real recording's path, or skip the test that needs it."""
    if not CAR.is_file():
        pytest.skip("../shared/data/car.mcap is not beside the checkout")
    return CAR


def read_truth(path: Path) -> Truth:
    """Decode every message of the file."""
    truth: Truth = {}
    with path.open("rb") as file:
        for _, channel, message, decoded in make_reader(
            file, decoder_factories=[DecoderFactory()]
        ).iter_decoded_messages():
            values = dict(_leaves(decoded, ""))
            told = Told(message.log_time, message.publish_time, _header_ns(decoded), message.data, values)
            truth.setdefault(channel.topic.strip("/"), []).append(told)
    return truth


async def check_store(store: Store, bucket: str, truth: Truth) -> int:
    """Compare everything with what the bucket holds; return the number of values compared."""
    compared = 0
    for stream, messages in truth.items():
        rows: list[dict[str, Any]] = []
        async for record in store.query(bucket, (stream,)):
            rows += chunks.rows(record.data)
        rows.sort(key=lambda row: row[chunks.TIME])
        assert len(rows) == len(messages), f"{bucket}/{stream}"
        for told, row in zip(messages, rows, strict=True):
            assert row.pop(chunks.CDR) == told.cdr, f"{stream} at {told.log_ns}: other bytes"
            compared += _check_row(stream, told, row.pop(chunks.TIME), row)
    return compared


def check_objects(objects: Iterable[Mapping[str, Any]], truth: Truth, robot: str) -> int:
    """Compare everything with objects as `fleetbox query --format ndjson` prints them; return the values compared."""
    by_stream: dict[str, list[Mapping[str, Any]]] = {}
    for item in objects:
        assert item["robot"] == robot
        by_stream.setdefault(item["stream"], []).append(item)
    compared = 0
    for stream, messages in truth.items():
        items = sorted(by_stream.get(stream, []), key=lambda item: item["time_us"])
        assert len(items) == len(messages), f"{robot}/{stream}"
        for told, item in zip(messages, items, strict=True):
            compared += _check_row(stream, told, item["time_us"], item["fields"])
    return compared


def _check_row(stream: str, told: Told, time_us: int, row: Mapping[str, Any]) -> int:
    where = f"{stream} at {told.log_ns}"
    clocks = {"log_ns": told.log_ns, "publish_ns": told.publish_ns}
    if told.header_ns is not None:
        clocks["header_ns"] = told.header_ns
    fields = dict(row)
    assert {name: fields.pop(name, None) for name in clocks} == clocks, where
    assert 0 <= time_us - told.log_ns // 1000 <= 1_000, where  # bumped by some µs where stamps collide
    assert fields.keys() == told.values.keys(), where
    for name, value in told.values.items():
        assert _bits(fields[name]) == _bits(value), f"{where}: {name}"
    return len(clocks) + len(fields)


def _bits(value: Any) -> Any:
    """Make floats comparable bit by bit, and keep 1, 1.0 and True apart."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_bits(item) for item in value]
    return struct.pack("<d", value) if isinstance(value, float) else (type(value).__name__, value)


def _leaves(message: Any, prefix: str) -> Iterable[tuple[str, Any]]:
    for name in message.__slots__:
        value = getattr(message, name)
        if hasattr(value, "__slots__"):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _header_ns(message: Any) -> int | None:
    header = getattr(message, "header", None)
    return header.stamp.sec * 10**9 + header.stamp.nanosec if header is not None else None
