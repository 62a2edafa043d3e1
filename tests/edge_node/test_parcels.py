"""A parcel knows what of it the store still lacks."""

from __future__ import annotations

from fleetbox_edge.packing import Shape
from fleetbox_edge.parcels import Address, Parcel

T = 1_700_000_000_000_000  # µs
SHAPE = Shape(1, ("x",), ("d",), loose=False)
ADDRESS = Address("20261121t055117-3f2a", "sensor", "imu", "time_series", "application/vnd.apache.arrow.stream")


def chunk(rows: int) -> Parcel:
    """Return a chunk of rows 1 µs apart."""
    parts = [SHAPE.pack(number, T + number, (0.5,)) for number in range(rows)]
    return Parcel(ADDRESS, 0, T, T + rows - 1, rows, 100, shape=SHAPE, parts=parts)


def test_a_tail_is_a_chunk_of_its_own() -> None:
    """What follows the first rows keeps its numbers and stamps; no tail follows the last row."""
    tail = chunk(10).tail(4)
    assert tail is not None
    assert (tail.seq, tail.time_us, tail.rows, tail.state) == (4, T + 4, 6, "waiting")
    assert chunk(10).tail(10) is None


def test_a_parcel_is_unsettled_until_its_rest_is() -> None:
    """A chunk that the store had in part is settled when the rest of it is."""
    parcel = chunk(10)
    assert parcel.unsettled() is parcel
    parcel.rest = parcel.tail(4)
    parcel.state = "done"
    assert parcel.rest is not None
    assert parcel.unsettled() is parcel.rest
    parcel.rest.state = "lost"
    assert parcel.unsettled() is None
