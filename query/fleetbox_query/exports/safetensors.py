"""Export numbers as one safetensors file: a tensor per signal, another for its times."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.staging import Staged, stage

if TYPE_CHECKING:
    import pyarrow as pa

# numpy's kinds by the names the format has for them
_NAMES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "b1": "BOOL",
          "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8"}  # fmt: skip


def is_folder(target: Path) -> bool:
    """Tell whether the target is to be a folder: it never is."""
    if not target.suffix:
        raise InputError(f"safetensors is one file, and {target} names a folder", f"give: -o {target}.safetensors")
    return False


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Hold where one tensor's values come from and what they are."""

    name: str
    staged: Staged
    column: str
    kind: str
    item: tuple[int, ...] = ()

    @property
    def size_bytes(self) -> int:
        size = int(self.kind[1:]) * self.staged.rows
        for length in self.item:
            size *= length
        return size

    def pieces(self) -> Iterator[bytes]:
        """Yield its bytes, little-endian, row by row of the tensor."""
        for part in self.staged.column(self.column):
            yield _numbers(part, self.item).astype(f"<{self.kind}" if self.kind != "b1" else "?").tobytes()


def write(job: Job) -> str | None:
    """Write "robot/stream/time_us" and "robot/stream/SIGNAL" tensors; text, blobs and ragged lists are left out.

    A missing number is NaN; a signal whose whole numbers are missing somewhere is F64.
    """
    tensors = [tensor for staged in stage(job) for tensor in _tensors(job, staged)]
    tensors.sort(key=lambda one: -int(one.kind[1:]))  # wide items first: each lies at a multiple of its item's size
    about = {"made_by": "fleetbox", "time_us": "µs since 1970-01-01 UTC", "units": json.dumps(_units(job, tensors))}
    header: dict[str, Any] = {"__metadata__": about}
    at = 0
    for one in tensors:
        shape = [one.staged.rows, *one.item]
        header[one.name] = {"dtype": _NAMES[one.kind], "shape": shape, "data_offsets": [at, at + one.size_bytes]}
        at += one.size_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data begins at a multiple of eight, so that it can be mapped
    with job.out.part("whole.safetensors") as path, path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for one in tensors:
            for piece in one.pieces():
                file.write(piece)
    return "whole.safetensors"


def _units(job: Job, tensors: Sequence[_Tensor]) -> dict[str, str]:
    """Return what the tensors are measured in, by their names."""
    told = job.units
    named = {one.name: told.get(one.staged.name, {}).get(one.column) for one in tensors}
    return {name: unit for name, unit in named.items() if unit}


def _tensors(job: Job, staged: Staged) -> list[_Tensor]:
    found = []
    for field in staged.schema:
        kind = _kind(field.type, any(part.null_count for part in staged.column(field.name)))
        if kind is None:
            job.tally.skip(f"{staged.name}:{field.name}: {field.type} is no tensor", staged.rows)
        else:
            found.append(_Tensor(f"{staged.name}/{field.name}", staged, field.name, *kind))
    return found


def _kind(kind: pa.DataType, holes: bool) -> tuple[str, tuple[int, ...]] | None:
    import numpy as np
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return "i8", ()
    if pa.types.is_fixed_size_list(kind):
        inner = _kind(kind.value_type, holes)
        return None if inner is None else (inner[0], (kind.list_size, *inner[1]))
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        return None
    return ("f8" if holes else np.dtype(kind.to_pandas_dtype()).str[1:]), ()


def _numbers(part: pa.ChunkedArray, item: tuple[int, ...]) -> Any:
    import numpy as np

    if str(part.type).startswith("timestamp"):
        return np.asarray(part.cast("int64"))
    if item:
        holes = np.full(item, np.nan).tolist()
        return np.array([holes if row is None else row for row in part.to_pylist()])
    return part.cast("float64", safe=False).to_numpy() if part.null_count else part.to_numpy()
