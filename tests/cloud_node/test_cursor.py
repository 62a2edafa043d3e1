"""The cursor: the loaded set and the counts change together and outlive the process."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_cloud.cursor import Cursor


def test_it_outlives_the_process(tmp_path: Path) -> None:
    """What was noted is there when the file is opened again, per bucket and entry."""
    first = Cursor(tmp_path / "state" / "loader.sqlite")
    first.add("r1--sensor", "imu", [1, 2], "r1", {"chunks": 2, "points": 10})
    first.add("r1--kept", "imu", [3], "r1", {"chunks": 1, "refused:type": 4, "points": 0})
    first.close()
    again = Cursor(tmp_path / "state" / "loader.sqlite")
    assert again.missing("r1--sensor", "imu", [1, 2, 3]) == {3}
    assert again.missing("r1--kept", "imu", [1, 2, 3]) == {1, 2}
    assert again.counts() == {"r1": {"chunks": 3, "points": 10, "refused:type": 4}}
    again.close()


def test_it_forgets_what_the_store_let_go(tmp_path: Path) -> None:
    """Chunks older than the store's oldest leave the set of that entry only; the counts stay."""
    cursor = Cursor(tmp_path / "loader.sqlite")
    cursor.add("r1--sensor", "imu", [1, 2, 3], "r1", {"chunks": 3})
    cursor.add("r1--sensor", "gps", [1], "r1", {"chunks": 1})
    cursor.forget_before("r1--sensor", "imu", 3)
    assert cursor.missing("r1--sensor", "imu", [1, 2, 3]) == {1, 2}
    assert cursor.missing("r1--sensor", "gps", [1]) == set()
    assert cursor.counts()["r1"]["chunks"] == 4
    cursor.close()


@given(st.lists(st.integers(0, 2**53), max_size=30), st.lists(st.integers(0, 2**53), max_size=30))
def test_missing_is_the_difference(noted: list[int], asked: list[int]) -> None:
    """Whatever times are noted, those asked for and not noted are missing."""
    cursor = Cursor(Path(":memory:"))
    cursor.add("b", "e", noted, "r1", {})
    assert cursor.missing("b", "e", asked) == set(asked) - set(noted)
    cursor.close()
