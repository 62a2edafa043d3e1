"""Read an Avro file of records by channel and signal, as `read_hdf5` reads HDF5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.extras import require
from fleetbox_query.exports.hdf5 import fill
from fleetbox_query.exports.reading_hdf5 import Data
from fleetbox_query.exports.staging import fitted, one_schema

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 16_384  # records turned into columns at once: plain Python objects take ten times a column's room
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_avro(path: Path | str) -> Data:
    """Read an Avro file of records: `data.channel.signal` is a numpy array, `print(data)` says what there is.

    The record's name is the channel; a record within it is a channel of its own (`data.pose.x`), with the same
    times. The first field of Avro's timestamp type becomes `time` in Unix s and exact `time_us`. Numbers missing
    somewhere are NaN, lists of one length rows of a matrix, other lists JSON. All of it lies in memory.
    Raises InputError for what is no Avro file of records, or a torn one.

    Example:
        data = fb.read_avro("drive.avro")
        data.imu.time, data.imu.ax
    """
    require("export")
    import fastavro
    import h5py

    path = Path(path)
    try:
        with path.open("rb") as file:
            reader = fastavro.reader(file)
            schema = reader.writer_schema
            if not isinstance(schema, dict) or schema.get("type") != "record":
                raise InputError(f"{path} holds no records: Avro type {_kind_of(schema)}", "give a file of records")
            columns = _columns(reader, str(schema["name"]).rpartition(".")[2])
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except InputError:
        raise
    except Exception as error:  # fastavro raises what its C code meets: EOFError, ValueError, IndexError, ...
        raise InputError(
            f"cannot read {path} as Avro: {error or type(error).__name__}", "check that its copy is whole"
        ) from error
    held = h5py.File(path.name, "w", driver="core", backing_store=False)
    for name, found in columns.items():
        fill(held.create_group(name), found, {})
    return Data(held, path)


@dataclass
class _Held:
    """Hold one channel's rows as tables in memory."""

    tables: list[pa.Table] = field(default_factory=list)
    schema: Any = None

    @property
    def rows(self) -> int:
        return sum(table.num_rows for table in self.tables)

    def column(self, name: str) -> Iterator[pa.ChunkedArray]:
        for table in self.tables:
            yield table[name]


def _columns(records: Iterator[Any], root: str) -> dict[str, _Held]:
    import pyarrow as pa

    held: dict[str, _Held] = {}
    while block := list(islice(records, BLOCK)):
        rows: dict[str, list[dict[str, Any]]] = {}
        for one in block:
            for name, row in _flat(root, one).items():
                rows.setdefault(name, []).append(row)
        for name, found in rows.items():
            names = dict.fromkeys(key for row in found for key in row)
            columns = {key: _array([row.get(key) for row in found]) for key in names}
            held.setdefault(name, _Held()).tables.append(pa.table(columns))
    for one in held.values():
        one.schema = one_schema([table.schema for table in one.tables])
        one.tables = [fitted(table, one.schema) for table in one.tables]
    return held


def _flat(name: str, record: Mapping[str, Any], time_us: int | None = None) -> dict[str, dict[str, Any]]:
    """Return a record's own values and those of the records within it, by channel."""
    own: dict[str, Any] = {}
    within: dict[str, Mapping[str, Any]] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            within[key] = value
        elif isinstance(value, datetime):
            exact = (value.replace(tzinfo=value.tzinfo or UTC) - _EPOCH) // datetime.resolution
            time_us = exact if time_us is None else time_us
            own[key] = exact
        else:
            own[key] = value
    out = {name: {chunks.TIME: time_us, **own} if time_us is not None else own}
    for key, value in within.items():
        out |= _flat(f"{name}/{key}", value, time_us)
    return out


def _array(values: list[Any]) -> pa.Array:
    """Return values as a column; what is no one kind becomes text."""
    import pyarrow as pa

    plain = [_plain(value) for value in values]
    widths = {len(value) for value in plain if isinstance(value, list)}
    try:
        made = pa.array(plain)
        if len(widths) == 1 and pa.types.is_list(made.type):
            return made.cast(pa.list_(made.type.value_type, widths.pop()))
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in plain], pa.string())
    return made if not pa.types.is_null(made.type) else made.cast(pa.float64())


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date | time | UUID):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _kind_of(schema: Any) -> str:
    return str(schema.get("type") if isinstance(schema, dict) else schema)[:80]
