"""The frames on a stick: what goes in comes out, and any damage is noticed where it is."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.errors import InputError
from fleetbox_edge.carrying.frames import (
    MARK,
    WHERE,
    Attached,
    Carried,
    End,
    Frame,
    Spoilt,
    Torn,
    end_of,
    frames,
    packed,
)

RECORD = Carried("media", "cam/front", 1_700_000_000_000_001, "image/jpeg", {"keep": "1", "seq": "7"}, b"\xff" * 1000)
END = End({("media", "cam/front"): [1_700_000_000_000_001]})


def part(*some: Frame) -> bytes:
    """Return a whole part of these frames; the last one is its end."""
    body = b"".join(packed(frame) for frame in some[:-1])
    return MARK + body + packed(some[-1]) + WHERE.pack(len(MARK) + len(body))


@given(
    stream=st.from_regex(r"[a-z]{1,20}(/[a-z]{1,20}){0,3}", fullmatch=True),
    time_us=st.integers(0, 1 << 62),
    labels=st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), st.text(max_size=50), max_size=5),
    data=st.binary(max_size=500),
)
def test_what_goes_in_comes_out(stream: str, time_us: int, labels: dict[str, str], data: bytes) -> None:
    """Any record, and a document beside it, come out of a part as they went in."""
    record = Carried("sensor", stream, time_us, "", labels, data)
    beside = Attached("sensor", stream, "schema", data)
    end = End({("sensor", stream): [time_us]})
    file = io.BytesIO(part(beside, record, end))
    assert list(frames(file)) == [beside, record, end]
    assert end_of(file) == end


@pytest.mark.parametrize("cut", [0, 5, 12, 30, 600, -9, -1])
def test_a_part_cut_anywhere_is_torn(cut: int) -> None:
    """Wherever a part ends too early, it has no end, and says where it stopped making sense."""
    whole = part(RECORD, RECORD, END)
    with pytest.raises(Torn):
        end_of(io.BytesIO(whole[:cut]))


@given(at=st.integers(len(MARK), len(part(RECORD, END)) - WHERE.size - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_never_passes(at: int, bit: int) -> None:
    """Whatever bit flips, no frame comes out that did not go in."""
    data = bytearray(part(RECORD, END))
    data[at] ^= 1 << bit
    out: list[Frame | Spoilt] = []
    with suppress(Torn):
        out.extend(frames(io.BytesIO(bytes(data))))
    assert out != [RECORD, END]
    assert all(frame in (RECORD, END) or isinstance(frame, Spoilt) for frame in out)


def test_a_foreign_file_is_no_part() -> None:
    """Any other file is refused at its first byte."""
    with pytest.raises(InputError, match="does not begin as a part does"):
        list(frames(io.BytesIO(b"PK\x03\x04" * 100)))
