"""What `doctor` says of room on the disk: from what the keeper wrote down, in plain words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fleetbox_edge.retention.checks import judged
from fleetbox_edge.retention.memory import AGAIN_US, FILE, Memory, read_memory, write_memory

HOUR_US = 3_600_000_000
CALM = Memory(2 * HOUR_US, HOUR_US, records={"room on the disk": 120}, sizes={"room on the disk": 4_800_000})


def test_a_disk_with_room_passes_and_says_what_went() -> None:
    """What nobody selected may go: that is no trouble."""
    check = judged("r1", CALM, CALM.at_us)
    assert (check.verdict, check.text) == (
        "PASS", "the disk has room; removed in 60 min: 120 (room on the disk, 4.8 MB)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({"short_bytes": 2_000_000}, "WARN", "2.0 MB short"),
        ({"short_bytes": 2_000_000, "below_bytes": 1_000_000}, "FAIL", "1.0 MB below its floor"),
        ({"records": {"room on the disk, not delivered": 7}}, "FAIL", "7 records were given up"),
    ],
)
def test_a_disk_without_room_is_told_with_what_to_do(changes: dict[str, object], verdict: str, said: str) -> None:
    """Near the floor it is a warning, below it or with records given up a failure."""
    check = judged("r1", replace(CALM, **changes), CALM.at_us)  # type: ignore[arg-type]
    assert check.verdict == verdict
    assert said in check.text
    assert check.next_step


def test_an_old_word_is_told_with_its_age() -> None:
    """An agent that has stopped looks at no disk."""
    assert "(as its agent told 60 min ago)" in judged("r1", CALM, CALM.at_us + HOUR_US).text


def test_it_is_written_when_it_says_something_new_and_read_back(tmp_path: Path) -> None:
    """Each minute, and at once when records went or the disk has reached another stage."""
    write_memory(tmp_path, CALM)
    assert read_memory(tmp_path) == CALM
    assert not replace(CALM, at_us=CALM.at_us + 1).is_news(CALM)
    assert replace(CALM, at_us=CALM.at_us + AGAIN_US).is_news(CALM)
    assert replace(CALM, short_bytes=1).is_news(CALM)
    assert replace(CALM, records={"room on the disk": 121}).is_news(CALM)
    (tmp_path / FILE).write_text("{")
    assert read_memory(tmp_path) is None
