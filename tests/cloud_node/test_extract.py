"""Extracting points: chunks of one shape become one value, odd ones do not stop the rest."""

from __future__ import annotations

from fleetbox import chunks
from fleetbox.points import lines
from fleetbox.records import Record
from fleetbox_cloud.extract import Chunk, opened, points, within


def record(time_us: int, data: bytes) -> Record:
    """Return a chunk as a task delivers it."""
    return Record("r1--sensor", "imu", time_us, len(data), {"rows": "1"}, chunks.CONTENT_TYPE, data)


def whole(*records: Record) -> list[Chunk]:
    """Open chunks that do open."""
    found, broken = opened(records)
    assert broken == []
    return found


def test_chunks_of_equal_columns_are_joined() -> None:
    """Three chunks, two of equal columns, become two values that hold all rows."""
    found = points(
        whole(
            record(1, chunks.encode([1, 2], {"a": [1.0, 2.0]})),
            record(3, chunks.encode([3], {"a": [3.0], "b": [True]})),
            record(4, chunks.encode([4], {"a": [4.0]})),
        ),
        "r1",
        "edge-1",
    )
    assert [len(part.time_us) for part in found] == [3, 1]
    assert lines(found[1]).text == ["imu,robot=r1,site=edge-1 a=3,b=1 3"]


def test_clocks_and_bytes_are_no_values() -> None:
    """The exact clocks and a message's own bytes stay in the chunk."""
    data = chunks.encode([1], {"a": [1]}, clocks={"log_ns": [1000]}, cdr=[b"raw"])
    found = points(whole(record(1, data)), "r1", "edge-1")
    assert list(found[0].fields) == ["a"]


def test_what_does_not_open_is_counted() -> None:
    """Foreign bytes, a torn chunk and Arrow without a time column are counted; the good chunk is there."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("a", pa.float64())])) as writer:
        writer.write_table(pa.table({"a": [1.0]}))
    good = chunks.encode([1], {"a": [1.0]})
    bad = [b"", b"junk", good[: len(good) // 2], sink.getvalue().to_pybytes()]
    found, broken = opened([record(n, data) for n, data in enumerate([good, *bad])])
    assert [chunk.data for chunk in broken] == bad
    assert [(one.record.time_us, one.first_us, one.last_us) for one in found] == [(0, 1, 1)]


def test_a_chunk_says_how_far_it_reaches() -> None:
    """First and last are those of the rows, whatever their order."""
    (found,) = whole(record(7, chunks.encode([9, 7, 8], {"a": [1.0, 2.0, 3.0]})))
    assert (found.first_us, found.last_us) == (7, 9)


def test_rows_are_cut_to_spans() -> None:
    """Rows inside of any of the spans stay, their ends excluded, missing values with them."""
    (part,) = points(whole(record(0, chunks.encode(range(8), {"a": [0.0, 1.0, None, *range(3, 8)]}))), "r1", "edge-1")
    (cut,) = within([part], [(1, 3), (5, 6)])
    assert cut.time_us.to_pylist() == [1, 2, 5]
    assert cut.fields["a"].to_pylist() == [1.0, None, 5.0]
