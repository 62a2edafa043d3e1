"""Pack stamped rows into the bytes of one chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleetbox.chunks.arrays import array, clock_array, time_array
from fleetbox.chunks.words import CDR, CLOCKS, COMPRESS_ABOVE_BYTES, RESERVED_COLUMNS, TIME, Compression
from fleetbox.errors import InputError


def encode(
    times_us: Any,
    columns: Mapping[str, Any],
    *,
    clocks: Mapping[str, Any] | None = None,
    cdr: Sequence[bytes] | None = None,
    metadata: Mapping[str, str] | None = None,
    compression: Compression | None = None,
) -> bytes:
    """Pack rows into an Arrow IPC stream; equal input gives equal bytes.

    times_us: int64 stamps in µs since the epoch, one per row. columns: field name -> values,
    one per row: numpy arrays (2-D and more become fixed-size lists), sequences of numbers,
    truth values, text, bytes or nested lists of numbers (None is a missing value), or Arrow
    arrays, taken as they are. Floats become float64, whole numbers int64 (uint64 where only
    that holds them). clocks: `log_ns`, `publish_ns`, `header_ns`, in ns. cdr: the messages'
    own bytes. compression: none below 64 KiB and zstd above, unless given.

    Raises InputError naming the field and what is wrong with it.
    """
    arrays = _arrays(times_us, columns, clocks or {}, cdr)
    rows = len(arrays[TIME])
    if not rows:
        raise InputError("a chunk without rows", "write at least one row")
    for name, values in arrays.items():
        if len(values) != rows:
            raise InputError(f"field {name!r} has {len(values)} values for {rows} times", "give one value per time")
    return _stream(arrays, metadata, compression)


def _arrays(times_us: Any, columns: Mapping[str, Any], clocks: Mapping[str, Any], cdr: Any) -> dict[str, Any]:
    if unknown := clocks.keys() - set(CLOCKS):
        raise InputError(f"clock {min(unknown)!r} is not known", f"use {', '.join(CLOCKS)}")
    if taken := RESERVED_COLUMNS & columns.keys():
        raise InputError(f"field name {min(taken)!r} is reserved for fleetbox", "choose another name")
    for name in columns:
        if not isinstance(name, str) or not name or "\0" in name:  # Arrow ends a name at its first NUL
            raise InputError(f"field name {name!r} is not usable", "use text without NUL characters")
    arrays = {TIME: time_array(times_us)}
    arrays |= {name: clock_array(name, clocks[name]) for name in CLOCKS if name in clocks}
    arrays |= {name: array(name, values) for name, values in columns.items()}
    if cdr is not None:
        arrays[CDR] = array(CDR, cdr)
    return arrays


def _stream(arrays: dict[str, Any], metadata: Mapping[str, str] | None, compression: Compression | None) -> bytes:
    import pyarrow as pa

    schema = pa.schema([(name, values.type) for name, values in arrays.items()], metadata=metadata or None)
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema)
    if compression is None:
        compression = "zstd" if batch.nbytes > COMPRESS_ABOVE_BYTES else "none"
    codec = None if compression == "none" else compression
    sink = pa.BufferOutputStream()
    # One thread: a chunk is small, and a robot's other cores belong to the robot.
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)) as out:
        out.write_batch(batch)
    return bytes(sink.getvalue())
