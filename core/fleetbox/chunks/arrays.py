"""Turn a field's values into an Arrow array of one of the chunk's types."""

from __future__ import annotations

from typing import Any

from fleetbox.errors import InputError


def time_array(times_us: Any) -> Any:
    """Return stamps in µs as timestamp[us, UTC]."""
    import pyarrow as pa

    return array("time_us", times_us, whole=True).view(pa.timestamp("us", tz="UTC"))


def clock_array(name: str, values: Any) -> Any:
    """Return a clock in ns as int64, missing where a message had none."""
    return array(name, values, whole=True)


def array(name: str, values: Any, *, whole: bool = False) -> Any:
    """Return the field's values as float64, int64, uint64, bool, string, binary or lists of numbers.

    whole: only whole numbers within int64 will do. Raises InputError naming the field.
    """
    import numpy as np
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values
    made = _from_numpy(name, values) if isinstance(values, np.ndarray) else _from_sequence(name, list(values))
    if whole and made.null_count == len(made):
        return pa.nulls(len(made), pa.int64())
    if whole and made.type != pa.int64():
        raise InputError(f"{name!r} holds {made.type}, not whole numbers within int64", "give integers")
    return made


def _from_numpy(name: str, values: Any) -> Any:
    """Wrap numbers without a copy where the layout allows; nest further axes as fixed-size lists."""
    import numpy as np
    import pyarrow as pa

    if values.ndim == 0 or values.dtype.kind not in "fiub":
        return _from_sequence(name, values.tolist() if values.ndim else [values.item()])
    if 0 in values.shape[1:]:
        return _from_sequence(name, values.tolist())
    needs_uint64 = values.dtype.kind == "u" and values.size and values.max() > 2**63 - 1
    if values.dtype.kind == "b" or needs_uint64:
        flat = pa.array(values.ravel())
    else:
        dtype, arrow = (np.float64, pa.float64()) if values.dtype.kind == "f" else (np.int64, pa.int64())
        buffer = np.ascontiguousarray(values, dtype=dtype)
        flat = pa.Array.from_buffers(arrow, values.size, [None, pa.py_buffer(buffer)])
    for length in reversed(values.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, length)
    return flat


def _from_sequence(name: str, values: list[Any]) -> Any:
    """Type plain Python values by what they all are; None is a missing value."""
    import numpy as np
    import pyarrow as pa

    kinds = set(map(type, values))
    if any(issubclass(kind, np.generic) for kind in kinds):
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        kinds = set(map(type, values))
    if kinds and all(issubclass(kind, np.ndarray) for kind in kinds) and len({(v.shape, v.dtype) for v in values}) == 1:
        return _from_numpy(name, np.stack(values))
    if any(issubclass(kind, list | tuple | np.ndarray) for kind in kinds):
        return _from_nested(name, values)
    arrow = _scalar_type(name, kinds)
    try:
        return pa.array(values, arrow)
    except OverflowError:
        return _beyond_int64(name, values)
    except (pa.ArrowException, UnicodeError) as error:
        raise InputError(f"field {name!r} cannot be packed: {error}") from error


def _scalar_type(name: str, kinds: set[type]) -> Any:
    import pyarrow as pa

    left = kinds - {type(None)}
    if left and all(issubclass(kind, bool) for kind in left):
        return pa.bool_()
    if all(issubclass(kind, int) and kind is not bool for kind in left) and left:
        return pa.int64()
    if all(issubclass(kind, float | int) and kind is not bool for kind in left):
        return pa.float64()  # nothing but missing values, too: NaN and None are what a sensor's gap looks like
    if all(issubclass(kind, str) for kind in left):
        return pa.string()
    if all(issubclass(kind, bytes) for kind in left):
        return pa.binary()
    names = ", ".join(sorted(kind.__name__ for kind in left))
    raise InputError(
        f"field {name!r} holds {names}", "use one kind: numbers, truth values, text, bytes, lists of numbers"
    )


def _beyond_int64(name: str, values: list[Any]) -> Any:
    """Keep whole numbers exact up to 2^64 - 1, or refuse them."""
    import pyarrow as pa

    try:
        return pa.array(values, pa.uint64())
    except OverflowError:
        raise InputError(
            f"field {name!r} has a number outside int64 and uint64", "send it as text or a float"
        ) from None


def _from_nested(name: str, values: list[Any]) -> Any:
    """Make lists: of fixed size where all rows agree on it, else of varying length."""
    import numpy as np
    import pyarrow as pa

    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    arrow = _list_type(name, plain)
    try:
        return pa.array(plain, arrow)
    except (pa.ArrowException, OverflowError, TypeError, UnicodeError) as error:
        raise InputError(f"field {name!r} cannot be packed as {arrow}: {error}") from error


def _list_type(name: str, values: list[Any]) -> Any:
    import pyarrow as pa

    given = [value for value in values if value is not None]
    if not any(isinstance(value, list | tuple) for value in given):
        kind = _scalar_type(name, set(map(type, given)))
        if kind == pa.int64() and given and max(given) > 2**63 - 1:
            return pa.uint64()
        return kind
    if not all(isinstance(value, list | tuple) for value in given):
        raise InputError(f"field {name!r} mixes lists and single values", "use one shape per field")
    lengths = {len(value) for value in given}
    inner = _list_type(name, [item for value in given for item in value])
    fixed = len(lengths) == 1 and 0 not in lengths and len(given) == len(values)
    return pa.list_(inner, lengths.pop()) if fixed else pa.list_(inner)
