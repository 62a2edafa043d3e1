"""Make small MCAP recordings with mcap's own writer."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer
from mcap_ros2.writer import Writer as Ros2Writer

T0_NS = 1_700_000_000_000_000_123
STAMPED = """std_msgs/Header header
float64 x
float32[3] force
int32[] counts
uint64 big
bool on
string note
demo/Wheel[] wheels
uint8 KIND=3
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: demo/Wheel
string name
float64[2] slip
int8 gear 1  # a default, and a comment
"""
COMPRESSED_IMAGE = """std_msgs/Header header
string format
uint8[] data
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
"""
IMAGE = """std_msgs/Header header
uint32 height
uint8[] data
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
"""


def header(stamp_ns: int, frame_id: str = "base") -> dict[str, Any]:
    """Return a std_msgs/Header."""
    return {"stamp": {"sec": stamp_ns // 10**9, "nanosec": stamp_ns % 10**9}, "frame_id": frame_id}


def stamped(number: int) -> dict[str, Any]:
    """Return a demo/Stamped message that differs with its number."""
    return {
        "header": header(T0_NS - 7 * 10**15 + number),
        "x": number + 0.1,
        "force": [number * 1.0, -0.0, 0.5],
        "counts": list(range(number % 4)),
        "big": 2**64 - 1 - number,
        "on": number % 2 == 0,
        "note": "é" * (number % 3),
        "wheels": [{"name": f"w{at}", "slip": [at * 0.5, 1.5], "gear": -at} for at in range(number % 3)],
    }


@dataclass(frozen=True)
class Said:
    """One message to record: topic, log time in ns, content."""

    topic: str
    log_ns: int
    message: dict[str, Any]
    definition: tuple[str, str] = ("demo/msg/Stamped", STAMPED)
    sequence: int = 0
    publish_ns: int | None = field(default=None)


def write_ros2(path: Path, said: Sequence[Said], compression: CompressionType = CompressionType.ZSTD) -> Path:
    """Write ROS 2 messages in small chunks."""
    with path.open("wb") as file:
        writer = Ros2Writer(file, chunk_size=4_096, compression=compression)
        schemas = {}
        for one in said:
            name, text = one.definition
            if name not in schemas:
                schemas[name] = writer.register_msgdef(name, text)
            publish_ns = one.log_ns - 50 if one.publish_ns is None else one.publish_ns
            writer.write_message(one.topic, schemas[name], one.message, one.log_ns, publish_ns, one.sequence)
        writer.finish()
    return path


def write_raw(path: Path, messages: Sequence[tuple[str, str, bytes]], schema: dict[str, Any] | None = None) -> Path:
    """Write (topic, message encoding, bytes) 10 ms apart, with an attachment and a metadata record."""
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start("fleetbox-test")
        schema_id = writer.register_schema("Demo", "jsonschema", json.dumps(schema).encode()) if schema else 0
        channels: dict[tuple[str, str], int] = {}
        for number, (topic, encoding, data) in enumerate(messages):
            key = (topic, encoding)
            if key not in channels:
                channels[key] = writer.register_channel(topic, encoding, schema_id if encoding == "json" else 0)
            log_ns = T0_NS + number * 10_000_000
            writer.add_message(channels[key], log_ns, data, log_ns - 9, number)
        writer.add_attachment(T0_NS, T0_NS, "calibration, front.yaml", "application/yaml", b"fx: 1\n")
        writer.add_metadata("run", {"operator": "ann"})
        writer.finish()
    return path


def damage_chunk(path: Path) -> Path:
    """Flip a byte in the last message of the first chunk, so that only the chunk's checksum can tell."""
    data = bytearray(path.read_bytes())
    at = 8
    while data[at] != 6:
        at += 9 + struct.unpack_from("<Q", data, at + 1)[0]
    data[at + 9 + struct.unpack_from("<Q", data, at + 1)[0] - 1] ^= 1
    path.write_bytes(data)
    return path
