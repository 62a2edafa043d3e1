"""What is packed into a chunk comes back value by value, with and without pyarrow."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetbox import chunks
from fleetbox.errors import InputError

INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = {
    "float": st.floats(),
    "int": INT64,
    "uint": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "text": st.text(),
    "bytes": st.binary(),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[int], dict[str, list[Any]]]:
    """Draw stamps with columns of every kind, missing values among them."""
    count = draw(st.integers(1, 12))
    names = draw(
        st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), unique=True, max_size=4)
    )
    columns: dict[str, list[Any]] = {}
    for name in set(names) - chunks.RESERVED_COLUMNS:
        kind = SCALARS[draw(st.sampled_from(sorted(SCALARS)))]
        cell = draw(st.sampled_from([kind, st.none() | kind, st.lists(st.floats() | INT64.map(float), max_size=3)]))
        columns[name] = draw(st.lists(cell, min_size=count, max_size=count))
    return draw(st.lists(INT64, min_size=count, max_size=count)), columns


def exact(value: Any) -> Any:
    """Make values comparable bit by bit: NaN equals itself, -0.0 differs from 0.0, 1 from True."""
    if isinstance(value, list):
        return [exact(item) for item in value]
    return struct.pack("<d", value) if isinstance(value, float) else (type(value).__name__, value)


@settings(deadline=None)  # a busy machine is no failure
@given(tables(), st.sampled_from(["none", "lz4", "zstd"]))
def test_rows_return_every_value(
    drawn: tuple[list[int], dict[str, list[Any]]], compression: chunks.Compression
) -> None:
    """Every stamp and value survives, by nanoarrow and by pyarrow, compressed or not."""
    times_us, columns = drawn
    data = chunks.encode(times_us, columns, compression=compression)

    rows = chunks.rows(data)

    assert [row[chunks.TIME] for row in rows] == times_us
    for name, values in columns.items():
        assert exact([row[name] for row in rows]) == exact(values)
        assert exact(chunks.table(data)[name].to_pylist()) == exact(values)


@settings(deadline=None)  # a busy machine is no failure
@given(tables())
def test_equal_input_gives_equal_bytes(drawn: tuple[list[int], dict[str, list[Any]]]) -> None:
    """Packing twice gives the same bytes, so that a second ingest finds its own records."""
    assert chunks.encode(*drawn) == chunks.encode(*drawn)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.floats(width=64), min_size=1, max_size=50), st.sampled_from(["<f8", ">f8", "<f4"]))
def test_arrays_and_lists_pack_alike(values: list[float], dtype: str) -> None:
    """Numpy arrays of any float layout give the bytes that the same numbers in a list give."""
    with np.errstate(over="ignore"):
        array = np.asarray(values, dtype=dtype)
    times_us = np.arange(len(values))

    assert chunks.encode(times_us, {"x": array}) == chunks.encode(times_us.tolist(), {"x": array.tolist()})


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "uint16", "uint32", "int64", "uint64", "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3), (4, 0)])
def test_arrays_of_any_shape_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    """Arrays with one, two and three axes come back as numbers and nested lists."""
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)

    rows = chunks.rows(chunks.encode(np.arange(4), {"x": values}))

    assert [row["x"] for row in rows] == values.tolist()


def test_columns_have_the_stated_arrow_types() -> None:
    """Numbers widen to 64 bits, arrays become fixed-size lists, ragged ones variable lists."""
    data = chunks.encode(
        [10, 20],
        {
            "half": np.zeros(2, np.float16),
            "small": np.ones(2, np.int8),
            "matrix": np.zeros((2, 3)),
            "even": [[1, 2], [3, 4]],
            "ragged": [[1.5], [2.5, 3.5]],
            "huge": [2**64 - 1, 0],
            "text": ["", "x"],
            "mixed": [1, 2.5],
        },
        clocks={"header_ns": [None, 7], "log_ns": [10_001, 20_002]},
        cdr=[b"\0\1", b""],
    )

    schema = chunks.table(data).schema

    assert schema.names[:3] == [chunks.TIME, "log_ns", "header_ns"]
    assert schema.names[-1] == "cdr"
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert types[chunks.TIME] == "timestamp[us, tz=UTC]"
    assert types["log_ns"] == types["header_ns"] == types["small"] == "int64"
    assert types["half"] == types["mixed"] == "double"
    assert schema.field("matrix").type == pa.list_(pa.float64(), 3)
    assert schema.field("even").type == pa.list_(pa.int64(), 2)
    assert schema.field("ragged").type == pa.list_(pa.float64())
    assert (types["huge"], types["text"], types["cdr"]) == ("uint64", "string", "binary")


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ({"dtype": "float64"}, {"dtype": "int64"}, {"dtype": "float64"}),
        ({"dtype": "int64"}, {"dtype": "float64"}, {"dtype": "float64"}),
        ({"dtype": "int16"}, {"dtype": "int64"}, {"dtype": "int64"}),
        ({"dtype": "int64"}, {"dtype": "uint64"}, {"dtype": "float64"}),
        ({"dtype": "int64", "unit": "m"}, {"dtype": "float64"}, {"dtype": "float64", "unit": "m"}),
        ({"dtype": "float64"}, {"dtype": "string"}, {"dtype": "string"}),
        ({"dtype": "float64", "shape": [3]}, {"dtype": "int64", "shape": [2]}, {"dtype": "float64", "shape": [None]}),
        ({"dtype": "float64", "shape": [3]}, {"dtype": "int64"}, {"dtype": "int64"}),
    ],
)
def test_what_is_told_of_a_field_widens(before: dict[str, Any], after: dict[str, Any], joined: dict[str, Any]) -> None:
    """A number once told as a float stays one; another kind or another number of dimensions replaces the one before."""
    assert chunks.widened({"a": before, "gone": {"dtype": "bool"}}, {"a": after, "new": {"dtype": "bool"}}) == {
        "a": joined, "gone": {"dtype": "bool"}, "new": {"dtype": "bool"},
    }  # fmt: skip


def test_clocks_and_bytes_come_back_exactly() -> None:
    """Source clocks keep their ns, messages their bytes, and metadata its text."""
    data = chunks.encode(
        [5], {}, clocks={"publish_ns": [2**62 + 1], "log_ns": [-1]}, cdr=[b"\xff\0"], metadata={"clock": "log"}
    )

    assert chunks.rows(data) == [{"time_us": 5, "log_ns": -1, "publish_ns": 2**62 + 1, "cdr": b"\xff\0"}]
    assert chunks.metadata(data) == {"clock": "log"}


def test_fields_describe_dtype_and_shape() -> None:
    """The schema's description names dtype and shape, without the columns every chunk has."""
    data = chunks.encode([1], {"a": [1.0], "b": [True], "m": np.zeros((1, 2, 3)), "v": [[]]}, clocks={"log_ns": [1]})

    assert chunks.fields(data) == {
        "a": {"dtype": "float64"},
        "b": {"dtype": "bool"},
        "m": {"dtype": "float64", "shape": [2, 3]},
        "v": {"dtype": "float64", "shape": [None]},
    }


@pytest.mark.parametrize(("rows", "compressed"), [(1_000, False), (10_000, True)])
def test_only_large_chunks_are_compressed(rows: int, compressed: bool) -> None:
    """Below 64 KiB a chunk stays as it is, above it shrinks."""
    data = chunks.encode(np.arange(rows), {"x": np.zeros(rows)})

    assert (len(data) < 16 * rows) == compressed


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"": [1, 2]}, "'' is not usable"),
        ({"a\0b": [1, 2]}, "is not usable"),
        ({"x": [1.0]}, "'x' has 1 values for 2 times"),
        ({"x": [1, "a"]}, "'x' holds int, str"),
        ({"x": [True, 1]}, "'x' holds bool, int"),
        ({"x": [2**64, 0]}, "'x' has a number outside int64"),
        ({"x": [2**63, -1]}, "'x' has a number outside int64"),
        ({"x": [[1], 2]}, "'x' mixes lists and single values"),
        ({"x": [1j, 2j]}, "'x' holds complex"),
        ({"x": ["\ud800", ""]}, "'x' cannot be packed"),
        ({"cdr": [1, 2]}, "'cdr' is reserved"),
    ],
)
def test_wrong_columns_are_named(columns: dict[str, Any], named: str) -> None:
    """A column that cannot be packed is refused by name and reason."""
    with pytest.raises(InputError, match=named):
        chunks.encode([1, 2], columns)


def test_wrong_times_are_refused() -> None:
    """Stamps must be whole numbers, and there must be one."""
    with pytest.raises(InputError, match="time_us"):
        chunks.encode([1.5], {"x": [1]})
    with pytest.raises(InputError, match="without rows"):
        chunks.encode([], {})
    with pytest.raises(InputError, match="clock 'wall_ns'"):
        chunks.encode([1], {}, clocks={"wall_ns": [1]})


@pytest.mark.parametrize("damage", [b"", b"no chunk", None])
def test_damaged_bytes_are_refused(damage: bytes | None) -> None:
    """Bytes that are no chunk, or half of one, raise InputError instead of giving fewer rows."""
    data = chunks.encode(np.arange(100), {"x": np.arange(100.0)})[:900] if damage is None else damage

    for read in (chunks.rows, chunks.table, chunks.fields):
        with pytest.raises(InputError, match="do not open as a chunk"):
            read(data)


def test_several_batches_read_as_one() -> None:
    """A chunk written by another program in several batches, with other dtypes, reads whole."""
    table = pa.table({"time_us": pa.array([1, 2, 3], pa.timestamp("us", "UTC")), "x": pa.array([1.5, None, 2], "f4")})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table, max_chunksize=2)

    rows = chunks.rows(bytes(sink.getvalue()))

    assert rows == [{"time_us": 1, "x": 1.5}, {"time_us": 2, "x": None}, {"time_us": 3, "x": 2.0}]
    assert math.isclose(rows[0]["x"], 1.5)


def test_reading_needs_neither_pyarrow_nor_numpy(tmp_path: Path) -> None:
    """The bare install reads chunks, compressed ones too."""
    rows = 3
    for compression in ("none", "lz4", "zstd"):
        columns = {"x": np.arange(rows) / 2, "m": np.zeros((rows, 2)), "s": ["a"] * rows, "b": [True, None, False]}
        path = tmp_path / compression
        path.write_bytes(chunks.encode(np.arange(rows), columns, compression=compression))
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['pyarrow', 'numpy', 'pandas', 'cv2']))\n"
        "from pathlib import Path; from fleetbox import chunks\n"
        "for data in (Path(arg).read_bytes() for arg in sys.argv[1:]): print(chunks.rows(data)[1], chunks.fields(data))"
    )
    paths = [str(path) for path in sorted(tmp_path.iterdir())]

    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)

    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 1
    assert lines[0].startswith("{'time_us': 1, 'x': 0.5, 'm': [0.0, 0.0], 's': 'a', 'b': None}")
