"""The list of dead letters: durable, counted, settled, readable beside its writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbox.errors import FleetboxError, NotFound
from fleetbox_replication import dead_letters
from fleetbox_replication.dead_letters import DeadLetter, DeadLetters, letters_of, named

NOTE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from fleetbox_replication.dead_letters import DeadLetters, named
letters = DeadLetters(Path(sys.argv[1]))
letters.note_all(named("r1--cam", "front", [(at, 422, "no") for at in range(50)], 1))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    """An empty list."""
    made = DeadLetters(letters_of(tmp_path / "state"))
    yield made
    made.close()


def letter(time_us: int, status: int = 422, now_us: int = 10) -> DeadLetter:
    """Return a letter of one stream."""
    return DeadLetter("r1--cam", "front", time_us, status, "no", 1, now_us, now_us)


def test_noting_again_counts(letters: DeadLetters) -> None:
    """A letter refused again keeps its beginning, takes the last reason and counts both."""
    letters.note(letter(1))
    letters.note(letter(1, 413, now_us=20))
    (found,) = letters.open()
    assert (found.count, found.status, found.since_us, found.last_us) == (2, 413, 10, 20)
    assert "larger bodies" in found.next_step
    assert len(letters) == 1


def test_settling_strikes_and_counts(letters: DeadLetters) -> None:
    """A settled letter is gone, once; settling what is not there changes nothing."""
    letters.note_all(letter(at) for at in (1, 2, 3))
    assert letters.settle("r1--cam", "front", 2)
    assert not letters.settle("r1--cam", "front", 2)
    assert not letters.settle("r1--cam", "rear", 1)
    assert letters.settle_all("r1--cam", "front", [1, 2, 9]) == 1
    assert [found.time_us for found in letters.open()] == [3]
    assert letters.settled() == {"r1--cam": 2}


def test_groups_sum_up(letters: DeadLetters) -> None:
    """People see one line per stream and status, the largest first."""
    letters.note_all(letter(at) for at in range(5))
    letters.note_all(letter(at, 409, now_us=7) for at in (10, 11))
    first, second = letters.groups()
    assert (first.letters, first.status, first.first_us, first.newest_us) == (5, 422, 0, 4)
    assert (second.letters, second.status, second.since_us) == (2, 409, 7)
    assert len(letters.open("r1--cam", limit=3)) == 3
    assert letters.open("r2--cam") == []


def test_what_is_noted_survives_kill_9(tmp_path: Path) -> None:
    """A process killed right after noting leaves every letter behind, and noting them again adds none."""
    path = letters_of(tmp_path / "state")
    child = subprocess.run([sys.executable, "-c", NOTE_AND_DIE, str(path)], check=False, env=os.environ)
    assert child.returncode == -signal.SIGKILL
    letters = DeadLetters(path)
    letters.note_all(named("r1--cam", "front", [(at, 422, "no") for at in range(50)], 2))
    assert len(letters) == len(letters.open()) == 50
    letters.close()


def test_another_process_may_read_meanwhile(letters: DeadLetters, tmp_path: Path) -> None:
    """A reader sees what is written, cannot write, and is told when there is no list."""
    letters.note(letter(1))
    reader = DeadLetters.read(letters_of(tmp_path / "state"))
    letters.note(letter(2))
    assert [found.time_us for found in reader.open()] == [1, 2]
    with pytest.raises(FleetboxError, match="cannot be written"):
        reader.note(letter(3))
    reader.close()
    with pytest.raises(NotFound, match="no list of dead letters"):
        DeadLetters.read(letters_of(tmp_path))


def test_a_damaged_list_is_put_aside(tmp_path: Path) -> None:
    """A file that is no list any more does not keep the relay from starting; it stays for whoever wants to look."""
    path = letters_of(tmp_path)
    path.write_bytes(b"not a database" * 100)
    letters = DeadLetters(path)
    letters.note(letter(1))
    assert len(letters) == 1
    letters.close()
    assert path.with_suffix(".damaged").read_bytes().startswith(b"not a database")


def test_a_full_list_says_so(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound nothing is noted, so that nothing more is let through."""
    monkeypatch.setattr(dead_letters, "MOST", 2)
    letters.note_all([letter(1), letter(2)])
    with pytest.raises(FleetboxError, match="is full"):
        letters.note(letter(3))
    assert len(letters) == 2
