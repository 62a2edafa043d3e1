"""The cursor: the loaded set and the books change together and outlive the process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fleetbox.ledger import MINUTE_US
from fleetbox.tallies import Minutes, Tally
from fleetbox_cloud.cursor import Cursor, Loaded, Short


def tallies() -> st.SearchStrategy[Minutes]:
    """Return what a few minutes may look like."""
    refused = st.dictionaries(st.sampled_from(["nan", "type", "retention"]), st.integers(1, 9), max_size=2)
    one = st.builds(Tally, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), refused)
    return st.dictionaries(st.integers(0, 5).map(lambda at: at * MINUTE_US), one, max_size=4)


def test_it_outlives_the_process(tmp_path: Path) -> None:
    """What was noted is there when the file is opened again, per bucket and entry."""
    path = tmp_path / "state" / "loader.sqlite"
    first = Cursor(path)
    first.add("r1--sensor", "imu", Loaded([1, 2], {0: Tally(11, 10, 20, {"nan": 2})}, longest_us=7))
    first.add("r1--kept", "imu", Loaded([3], {0: Tally(4, 0, 0, {"type": 4})}, words={"type": "float"}))
    first.close()
    again = Cursor(path)
    assert again.missing("r1--sensor", "imu", [1, 2, 3]) == {3}
    assert again.missing("r1--kept", "imu", [1, 2, 3]) == {1, 2}
    assert again.counts() == {"r1": {"chunks": 3, "points": 10, "values": 20, "refused:nan": 2, "refused:type": 4}}
    assert again.given(["r1--sensor", "r1--kept"], "imu", 0) == {0: Tally(15, 10, 20, {"nan": 2, "type": 4})}
    assert (again.longest_us("r1--sensor", "imu"), again.streams()) == (7, [("r1", "imu")])
    assert [(bucket, one.reason, one.n, one.message) for bucket, _, one in again.refused()] == [
        ("r1--kept", "type", 4, "float"),
        ("r1--sensor", "nan", 2, ""),
    ]
    again.close()


def test_it_forgets_what_the_store_let_go(tmp_path: Path) -> None:
    """Chunks and minutes older than the store's oldest leave that entry only; the robot's counts stay."""
    cursor = Cursor(tmp_path / "loader.sqlite")
    minutes = {0: Tally(1, 1, 1, {"nan": 1}), MINUTE_US: Tally(1, 1, 1)}
    cursor.add("r1--sensor", "imu", Loaded([1, 2, MINUTE_US], minutes))
    cursor.add("r1--sensor", "gps", Loaded([1], minutes))
    cursor.forget_before("r1--sensor", "imu", MINUTE_US)
    assert cursor.missing("r1--sensor", "imu", [1, 2, MINUTE_US]) == {1, 2}
    assert cursor.given(["r1--sensor"], "imu", 0) == {MINUTE_US: Tally(1, 1, 1)}
    assert cursor.missing("r1--sensor", "gps", [1]) == set()
    assert cursor.given(["r1--sensor"], "gps", 0) == minutes
    assert cursor.counts()["r1"] == {"chunks": 4, "points": 4, "values": 4, "refused:nan": 2}
    cursor.close()


def test_another_version_begins_anew(tmp_path: Path) -> None:
    """A file with other tables is emptied: loading again changes nothing in InfluxDB."""
    path = tmp_path / "loader.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE loaded (other TEXT)")
    db.close()
    cursor = Cursor(path)
    assert cursor.missing("r1--sensor", "imu", [1]) == {1}
    cursor.close()


def test_short_minutes_are_replaced_when_checked_again(tmp_path: Path) -> None:
    """A minute that was checked keeps only what the last check said; others stay; old ones are dropped in time."""
    cursor = Cursor(tmp_path / "loader.sqlite")
    a, b, c = (Short("r1", "imu", at * MINUTE_US, n, "no chunk") for at, n in ((1, 5), (2, 7), (3, 6)))
    cursor.put_short("r1", "imu", [MINUTE_US, 2 * MINUTE_US], [a, b])
    cursor.put_short("r1", "gps", [], [Short("r1", "gps", 0, 1, "no chunk")])
    cursor.put_short("r1", "imu", [2 * MINUTE_US, 3 * MINUTE_US], [c])
    assert cursor.shorts("r1", "imu") == [c, a]
    assert len(cursor.shorts()) == 3
    cursor.forget_short(2 * MINUTE_US)
    assert cursor.shorts() == [c]
    cursor.close()


@given(st.lists(st.integers(0, 2**53), max_size=30), st.lists(st.integers(0, 2**53), max_size=30))
def test_missing_is_the_difference(noted: list[int], asked: list[int]) -> None:
    """Whatever times are noted, those asked for and not noted are missing."""
    cursor = Cursor(Path(":memory:"))
    cursor.add("b", "e", Loaded(noted))
    assert cursor.missing("b", "e", asked) == set(asked) - set(noted)
    assert cursor.chunks("b", "e", 0, 2**54) == len(set(noted))
    cursor.close()


@given(st.lists(tallies(), max_size=4), tallies())
def test_minutes_written_anew_replace_the_old(added: list[Minutes], anew: Minutes) -> None:
    """The sum of the minutes is always what the robot's counts say, also after minutes were written anew."""
    cursor = Cursor(Path(":memory:"))
    for at, minutes in enumerate(added):
        cursor.add("r1--sensor", "imu", Loaded([at], minutes))
    cursor.put("r1--sensor", "imu", anew, {})
    read = cursor.given(["r1--sensor"], "imu", 0)
    assert {at: read[at] for at in anew} == anew
    whole, counts = cursor.sum(["r1--sensor"], "imu", 0, 10 * MINUTE_US), cursor.counts().get("r1", {})
    assert (whole.points, whole.values) == (counts.get("points", 0), counts.get("values", 0))
    assert {f"refused:{reason}": n for reason, n in whole.refused.items()} == {
        what: n for what, n in counts.items() if what.startswith("refused:")
    }
    cursor.close()
