"""Drops are counted, joined into ranges, and remembered by file until the ledger has them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.ledger import Drop
from fleetbox_edge.drops import SUFFIX, DropBook, read_drops

T = 1_700_000_000_000_000  # µs


def drop(first: int, rows: int = 1, stream: str = "cam/front", reason: str = "spool full") -> Drop:
    """Return a drop of the only session there is."""
    return Drop("media", stream, "20261121t055117-3f2a", first, rows, reason, T + first)


def written(folder: Path) -> list[tuple[Drop, bool]]:
    """Return what the files of a folder tell."""
    return [item for path in sorted(folder.glob(f"*{SUFFIX}")) for item in read_drops(path.read_bytes())]


def test_consecutive_drops_join(tmp_path: Path) -> None:
    """Numbers that follow on make one range per stream and reason; a gap begins another."""
    book = DropBook()
    book.keep_in(tmp_path)
    for first in range(5):
        book.note(drop(first))
        book.note(drop(first, stream="cam/rear"))
    book.note(drop(5, reason="disk floor"))
    book.note(drop(9, rows=3))
    found = {item for item, told in written(tmp_path) if not told}
    assert found == {drop(0, 5), drop(0, 5, "cam/rear"), drop(5, reason="disk floor"), drop(9, 3)}
    assert book.lost == {"spool full": 13, "disk floor": 1}
    assert {entry.drop for entry in book.take()} == found


def test_a_range_that_is_being_told_grows_no_more(tmp_path: Path) -> None:
    """What a page may hold already stays as it is: told twice, it is the same range."""
    book = DropBook()
    book.keep_in(tmp_path)
    book.note(drop(0))
    first = book.take()
    book.note(drop(1))
    assert [entry.drop for entry in book.take()] == [drop(0), drop(1)]
    book.told(first)
    assert sorted(written(tmp_path), key=str) == [(drop(0), True), (drop(1), False)]
    assert [entry.drop for entry in book.take()] == [drop(1)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans()), max_size=40), st.randoms())
def test_a_kill_at_any_moment_forgets_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]], dice: random.Random
) -> None:
    """With either copy of a range half-written, the other still tells all but what was just being noted."""
    folder = tmp_path_factory.mktemp("book")
    book = DropBook()
    book.keep_in(folder)
    numbers = [0, 0, 0]
    for stream, rows, gap in steps:
        numbers[stream] += gap
        before = sum(item.rows for item, _ in written(folder))
        book.note(drop(numbers[stream], rows, f"s{stream}"))
        numbers[stream] += rows
        (path,) = folder.glob(f"*{SUFFIX}")
        data = bytearray(path.read_bytes())
        entry = list(book._growing.values())[-1]
        length = (len(entry.payload()) + 12) * dice.randint(0, 1)
        data[entry.offset + length] = 0  # as a process killed in the middle of this copy leaves it
        told = sum(item.rows for item, _ in read_drops(bytes(data)))
        assert told in (before, before + rows)
    assert sum(item.rows for item, _ in written(folder)) == sum(book.lost.values())
    shutil.rmtree(folder)


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    """Thousands of ranges are all remembered."""
    book = DropBook()
    book.keep_in(tmp_path)
    for number in range(3_000):
        book.note(drop(2 * number))
    assert len(written(tmp_path)) == 3_000
    assert len(list(tmp_path.iterdir())) > 1


def test_a_disk_without_room_is_survived(tmp_path: Path) -> None:
    """Where no further file can be made, ranges are remembered as long as the process lives."""
    book = DropBook()
    folder = tmp_path / "made"
    folder.mkdir()
    book.keep_in(folder)
    shutil.rmtree(folder)
    for number in range(3_000):
        book.note(drop(2 * number))
    assert len({entry.drop.first for entry in book.take()}) == 2_000
    assert book.lost == {"spool full": 3_000}
