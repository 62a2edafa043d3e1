"""Damage to a spool costs the damaged frame alone."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_edge.spool import Stretch, frame, scan

payloads = st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=12)


def read(data: bytes) -> tuple[list[bytes], int]:
    """Return the payloads of all whole frames and the count of damaged ones."""
    damage: list[Stretch] = []
    return [payload for _, payload in scan(data, damage.append)], len(damage)


@given(payloads, st.integers(0, 500))
def test_whole_frames_come_back(written: list[bytes], room: int) -> None:
    """What was appended is read back in order, and the zeros behind it are no damage."""
    data = b"".join(map(frame, written)) + bytes(room)
    assert read(data) == (written, 0)


@given(payloads, st.data())
def test_one_flipped_bit_costs_one_frame(written: list[bytes], draw: st.DataObject) -> None:
    """Wherever a bit flips, in header or payload, every other frame is read, and the loss is counted once."""
    data = bytearray(b"".join(map(frame, written)) + bytes(64))
    at = draw.draw(st.integers(0, len(data) - 65))
    data[at] ^= 1 << draw.draw(st.integers(0, 7))
    ends = list(accumulate(len(frame(payload)) for payload in written))
    hit = next(index for index, end in enumerate(ends) if at < end)
    found, damaged = read(bytes(data))
    assert found == written[:hit] + written[hit + 1 :]
    assert damaged == 1


@given(payloads, st.data())
def test_a_torn_end_costs_the_last_frame(written: list[bytes], draw: st.DataObject) -> None:
    """A frame whose copying was cut short is left out; all before it are read."""
    framed = [frame(payload) for payload in written]
    cut = draw.draw(st.integers(1, len(framed[-1]) - 1))
    data = b"".join(framed)[:-cut] + bytes(cut + 40)
    found, damaged = read(data)
    assert found[: len(written) - 1] == written[:-1]
    whole = b"".join(framed) + bytes(40) == data  # the frame ended in zeros: nothing is missing
    assert len(found) == len(written) - (not whole)
    assert damaged == (not whole)
