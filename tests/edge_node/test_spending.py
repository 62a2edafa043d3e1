"""Selected bytes are summed up over processes, restarts and a day."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox_edge.spending import DAY_US, HOUR_US, MINUTE_US, Spending

T = 1_763_700_000_000_000 // HOUR_US * HOUR_US


class Clock:
    """A clock that a test sets."""

    us = T

    def __call__(self) -> int:
        """Return µs since the epoch."""
        return self.us


def test_processes_share_their_sum(tmp_path: Path) -> None:
    """What two processes selected is known to both and to the next start, once it is written down."""
    clock = Clock()
    first, second = Spending(tmp_path / "spent", clock), Spending(tmp_path / "spent", clock)
    first.add(100)
    second.add(30)
    assert (first.since(0), second.since(0)) == (100, 30)
    first.flush()
    second.flush()
    assert (first.since(0), second.since(0), Spending(tmp_path / "spent", clock).since(0)) == (130, 130, 130)
    first.add(5)
    first.flush()  # not due yet: a line costs a write
    assert (first.since(0), second.since(0)) == (135, 130)
    first.flush(now=True)
    assert second.since(0) == 135


def test_a_day_is_looked_back(tmp_path: Path) -> None:
    """Bytes count for 24 h, and since any minute of them; older files are removed."""
    clock = Clock()
    spending = Spending(tmp_path, clock)
    for _ in range(30):
        spending.add(1)
        spending.flush(now=True)
        clock.us += HOUR_US
    assert spending.since(0) == 24
    assert spending.since(clock.us - 2 * HOUR_US) == 2
    assert spending.since(clock.us - 2 * HOUR_US + MINUTE_US) == 1
    spending.prune()
    assert len(list(tmp_path.iterdir())) <= 27
    assert spending.since(0) == Spending(tmp_path, clock).since(0) == 24
    clock.us += 2 * DAY_US
    assert spending.since(0) == 0


@pytest.mark.parametrize("litter", [b"176370", b"x y\n", b"\xff\xfe\n", b"1 2 3\n", b"-5 -7\n"])
def test_a_line_cut_short_costs_itself_only(tmp_path: Path, litter: bytes) -> None:
    """Whatever a full disk or a power cut left in a file, the rest counts."""
    clock = Clock()
    spending = Spending(tmp_path, clock)
    spending.add(7)
    spending.flush(now=True)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes() + litter)
    assert spending.since(0) == 7
    spending.add(3)
    spending.flush(now=True)
    assert Spending(tmp_path, clock).since(0) == 10


def test_a_folder_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    """Where no file can be written nothing is counted, and nothing raised."""
    (tmp_path / "spent").write_text("a file stands where the folder should")
    spending = Spending(tmp_path / "spent", Clock())
    spending.add(7)
    spending.flush(now=True)
    spending.prune()
    assert spending.since(0) == 0
