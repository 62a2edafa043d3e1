"""A pipe into a file: all of it arrives, and a file that takes no more never holds up whoever writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleetbox_query.viewing.pouring import poured

FULL = Path("/dev/full")


def test_all_of_it_arrives(tmp_path: Path) -> None:
    """What is written through the pipe, piece by piece, is the file."""
    data = os.urandom(3_000_000)
    with poured(tmp_path / "x") as (pipe, check):
        for at in range(0, len(data), 100_000):
            with pipe.open("ab") as file:
                file.write(data[at : at + 100_000])
            check()
    assert (tmp_path / "x").read_bytes() == data


def test_nobody_writes(tmp_path: Path) -> None:
    """Without a writer it ends, and the file is empty."""
    with poured(tmp_path / "x"):
        pass
    assert (tmp_path / "x").read_bytes() == b""


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_no_room_left() -> None:
    """A file without room takes the writer's bytes all the same, and says so once asked and at the end."""

    def fill() -> None:
        with poured(FULL) as (pipe, check):
            pipe.write_bytes(bytes(10_000_000))
            pipe.write_bytes(b"more")
            with pytest.raises(OSError, match="No space"):
                check()

    with pytest.raises(OSError, match="No space"):
        fill()
