"""Export rows as HDF5: a group per stream with `time` and a dataset per signal."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.staging import stage
from fleetbox_query.plain import plain_value

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 16_384  # a chunk of a dataset: 128 kB of floats, as h5py itself would choose for long ones
GZIP = {"compression": "gzip", "compression_opts": 1, "shuffle": True}  # every reader of HDF5 knows it
WORTH = 0.8  # what it must leave at most: noise in full precision shrinks by a tenth, and takes ten times as long
NO_CLOCK = -(2**63)  # what stands for a missing time in whole ns


class Columns(Protocol):
    """Give a stream's values column by column."""

    @property
    def rows(self) -> int:
        """Return how many rows there are."""

    @property
    def schema(self) -> pa.Schema:
        """Return the columns' names and types."""

    def column(self, name: str) -> Iterator[pa.ChunkedArray]:
        """Yield one column's values, piece by piece."""


def is_folder(target: Path) -> bool:
    """Tell whether the target is to be a folder: it never is."""
    if not target.suffix:
        raise InputError(f"HDF5 is one file, and {target} names a folder", f"give a file: -o {target}.h5")
    return False


def write(job: Job) -> str | None:
    """Write ROBOT/STREAM groups: `time` (Unix s), `time_us` (exact), a dataset per signal with its unit.

    A missing number is NaN; a signal whose whole numbers are missing somewhere is float. Lists of one length are
    rows of a matrix, others JSON; blobs are byte arrays of their own length.
    """
    import h5py

    staged = stage(job)
    told = job.descriptions(job.prepared_whole().sources)
    with job.out.part("whole.h5") as path, h5py.File(path, "w") as file:
        for one in staged:
            said = told.get(one.name, {})
            group = file.create_group(one.name)
            robot, _, stream = one.name.partition("/")
            group.attrs.update({"robot": robot, "stream": stream, "type": str(said.get("type", "")), "rows": one.rows})
            fill(group, one, said.get("fields") or {})
    return "whole.h5"


def fill(group: Any, staged: Columns, fields: Mapping[str, Any]) -> None:
    """Write a stream's columns into its group; fields: what is said of each, such as its unit."""

    timed = chunks.TIME in staged.schema.names
    for name in staged.schema.names:
        target = f"{name}_" if name == "time" and timed else name  # `time` is the group's own
        if name == chunks.TIME:
            exact = _put(group, name, _Values(staged.rows, "i8"), map(_exact_us, staged.column(name)))
            seconds = (_exact_us(part) / 1e6 for part in staged.column(name))
            plain = _put(group, "time", _Values(staged.rows, "f8"), seconds)
            exact.attrs["units"], plain.attrs["units"] = "us since 1970-01-01 UTC", "s since 1970-01-01 UTC"
            continue
        shape = _Shape(staged.schema.field(name).type, name, staged)
        values = _Values(staged.rows, shape.dtype, shape.item)
        made = _put(group, target, values, map(shape.values, staged.column(name)))
        if unit := fields.get(name, {}).get("unit"):
            made.attrs["units"] = str(unit)


class _Shape:
    """Say how a column's values lie in a dataset."""

    def __init__(self, kind: pa.DataType, name: str, staged: Columns) -> None:
        import h5py
        import numpy as np
        import pyarrow as pa

        self.item: tuple[int, ...] = ()
        self._kind = kind
        self._list_kind = ""
        holes = any(part.null_count for part in staged.column(name))
        if name in chunks.CLOCKS:
            self.dtype: Any = "i8"
        elif pa.types.is_fixed_size_list(kind) and not pa.types.is_nested(kind.value_type):
            self.dtype, self.item, self._list_kind = kind.value_type.to_pandas_dtype(), (kind.list_size,), "matrix"
            self.dtype = "f8" if holes else self.dtype
        elif pa.types.is_nested(kind):
            self.dtype, self._list_kind = h5py.string_dtype(), "json"
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            self.dtype = h5py.vlen_dtype(np.uint8)
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            self.dtype = h5py.string_dtype()
        else:
            self.dtype = "f8" if holes else kind.to_pandas_dtype()

    def values(self, column: pa.ChunkedArray) -> Any:
        """Return values as the dataset takes them."""
        import numpy as np
        import pyarrow as pa

        if self._list_kind == "matrix":
            rows = [[np.nan] * self.item[0] if row is None else row for row in column.to_pylist()]
            return np.array(rows, self.dtype)
        if self._list_kind == "json":
            return np.array(["" if row is None else json.dumps(plain_value(row)) for row in column.to_pylist()], object)
        if pa.types.is_binary(self._kind) or pa.types.is_large_binary(self._kind):
            out = np.empty(len(column), object)
            for at, one in enumerate(column.to_pylist()):  # at once, numpy would make a matrix of equal lengths
                out[at] = np.frombuffer(one or b"", np.uint8)
            return out
        if pa.types.is_string(self._kind) or pa.types.is_large_string(self._kind):
            return np.array(["" if one is None else one for one in column.to_pylist()], object)
        if self.dtype == "i8" and column.null_count:
            column = column.fill_null(NO_CLOCK)
        if self.dtype == "f8":
            column = column.cast("float64", safe=False)
        return column.to_numpy()


def _exact_us(part: pa.ChunkedArray) -> Any:
    import numpy as np

    return np.asarray(part.cast("int64"))


@dataclass(frozen=True, slots=True)
class _Values:
    """Hold how many values a dataset has, of which dtype and of which shape each."""

    rows: int
    dtype: Any
    item: tuple[int, ...] = ()


def _put(group: Any, name: str, values: _Values, parts: Iterator[Any]) -> Any:
    """Make a dataset of parts, packed where its first ones say that this is worth the time."""
    import h5py

    chunk = (max(1, min(values.rows, ROWS // max(1, *values.item, 1))), *values.item)
    first = next(parts, None)
    packed = GZIP if first is None or _shrinks(first[: chunk[0]]) else {}
    shape = (values.rows, *values.item)
    dataset = group.create_dataset(name.replace("/", "_"), shape, values.dtype, chunks=chunk, **packed)
    at = 0
    ragged = dataset.dtype.kind == "O" and h5py.check_vlen_dtype(dataset.dtype) is not None
    for part in parts if first is None else itertools.chain([first], parts):
        if ragged:
            for row, one in enumerate(part):  # at once, h5py would take bytes of one length each for numbers
                dataset[at + row] = one
        else:
            dataset[at : at + len(part)] = part
        at += len(part)
    return dataset


def _shrinks(sample: Any) -> bool:
    import numpy as np

    if sample.dtype.kind not in "fiu" or not sample.size:
        return True
    shuffled = np.ascontiguousarray(sample).view(np.uint8).reshape(-1, sample.itemsize).T.tobytes()
    return len(zlib.compress(shuffled, 1)) <= WORTH * len(shuffled)
