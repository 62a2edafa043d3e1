"""Read a chunk back, with pyarrow as a table or with nanoarrow as plain Python values."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from fleetbox.chunks.words import RESERVED_COLUMNS
from fleetbox.errors import InputError

_DTYPES = {"double": "float64", "float": "float32", "large_string": "string", "large_binary": "binary"}


def table(data: bytes) -> Any:
    """Return the chunk as a pyarrow.Table, without copying uncompressed columns."""
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(data, error) from error


def columns(data: bytes) -> dict[str, list[Any]]:
    """Return the chunk as name -> values; stamps are whole µs since the epoch."""
    children, views = _children(data)
    return {schema.name: _column(child, schema) for schema, child in zip(children, views, strict=True)}


def rows(data: bytes) -> list[dict[str, Any]]:
    """Return the chunk's rows as dicts of plain Python values; `time_us` is whole µs since the epoch."""
    by_name = columns(data)
    names = tuple(by_name)
    return [dict(zip(names, row, strict=True)) for row in zip(*by_name.values(), strict=True)]


def fields(data: bytes) -> dict[str, dict[str, Any]]:
    """Describe the chunk's fields for a schema: name -> {"dtype", "shape"?}; a varying length is null."""
    schemas, _ = _children(data)
    return {schema.name: _describe(schema) for schema in schemas if schema.name not in RESERVED_COLUMNS}


def metadata(data: bytes) -> dict[str, str]:
    """Return what `encode` was given as metadata."""
    found = _open(data).schema.metadata
    return {key.decode(): value.decode() for key, value in found.items()} if found else {}


def _open(data: bytes) -> Any:
    import nanoarrow as na

    try:
        return na.ArrayStream.from_readable(data)
    except Exception as error:  # nanoarrow raises its own and the C library's errors without a common root
        raise _unreadable(data, error) from error


def _children(data: bytes) -> tuple[list[Any], list[Any]]:
    stream = _open(data)
    try:
        whole = stream.read_all()
    except Exception as error:
        raise _unreadable(data, error) from error
    return list(whole.schema.fields), list(whole.iter_children())


def _unreadable(data: bytes, error: Exception) -> InputError:
    return InputError(f"{len(data)} bytes do not open as a chunk (an Arrow IPC stream): {error}")


def _column(child: Any, schema: Any) -> list[Any]:
    values: list[Any] = []
    for view in child.iter_chunk_views():
        values += _values(view)
    return values


def _values(view: Any) -> list[Any]:
    """Return a column's values in one go: item by item, nanoarrow takes twenty times as long."""
    start, stop = view.offset, view.offset + view.length
    values: list[Any]
    if not view.length:
        return []
    if view.storage_type == "bool":
        values = [bool(bit) for bit in view.buffer(1).elements(start, view.length)]
    elif view.storage_type == "fixed_size_list":
        values = _grouped(view, start, stop)
    elif view.storage_type in ("list", "large_list"):
        values = _sliced(view, _values(view.child(0)), start, stop)
    elif view.storage_type in ("string", "large_string"):
        text = bytes(view.buffer(2))
        values = [item.decode() for item in _sliced(view, text, start, stop)]
    elif view.storage_type in ("binary", "large_binary"):
        values = _sliced(view, bytes(view.buffer(2)), start, stop)
    else:
        values = memoryview(view.buffer(1))[start:stop].tolist()
    if not view.null_count:
        return values
    valid = view.buffer(0).elements(start, view.length)
    return [value if present else None for value, present in zip(values, valid, strict=True)]


def _sliced(view: Any, items: Any, start: int, stop: int) -> list[Any]:
    bounds = memoryview(view.buffer(1))[start : stop + 1].tolist()
    return [items[a:b] for a, b in pairwise(bounds)]


def _grouped(view: Any, start: int, stop: int) -> list[Any]:
    items = _values(view.child(0))
    size = len(items) // stop if stop else 0
    return [items[at * size : (at + 1) * size] for at in range(start, stop)]


def _describe(schema: Any) -> dict[str, Any]:
    shape: list[int | None] = []
    while schema.type.name in ("LIST", "LARGE_LIST", "FIXED_SIZE_LIST"):
        shape.append(schema.list_size if schema.type.name == "FIXED_SIZE_LIST" else None)
        schema = schema.value_type
    name = schema.type.name.lower()
    return {"dtype": _DTYPES.get(name, name)} | ({"shape": shape} if shape else {})
