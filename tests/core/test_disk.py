"""Files that are replaced whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fleetbox.disk import OWNER_ONLY, write_whole


@pytest.mark.parametrize("durable", [False, True])
def test_a_reader_sees_the_old_text_or_the_new(tmp_path: Path, durable: bool) -> None:
    """While a file is written again and again, whoever reads gets one of its texts, never a part of one."""
    path, seen, done = tmp_path / "state" / "notes.json", set[str](), threading.Event()
    texts = {letter * 100_000 for letter in "ab"}
    write_whole(path, "a" * 100_000, durable=durable)

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text(encoding="utf-8"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            for text in texts:
                write_whole(path, text, durable=durable)
    finally:
        done.set()
        reader.join()
    assert seen <= texts
    assert seen
    assert [file.name for file in path.parent.iterdir()] == ["notes.json"]


def test_a_mode_holds_from_the_first_byte_on(tmp_path: Path) -> None:
    """A secret is its owner's whatever the umask, and whatever a crash has left open to others."""
    path = tmp_path / "r1.token"
    left = tmp_path / "r1.token.new"
    left.write_text("half")
    left.chmod(0o666)
    before = os.umask(0)
    try:
        write_whole(path, "secret", OWNER_ONLY)
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, path.read_text(encoding="utf-8"), left.exists()) == (0o600, "secret", False)


def test_what_cannot_be_written_leaves_the_old_text(tmp_path: Path) -> None:
    """Where the new text finds no place the error is told and the old one stands."""
    path = tmp_path / "notes.json"
    write_whole(path, "old")
    (tmp_path / "notes.json.new").mkdir()
    with pytest.raises(OSError, match=r"notes\.json\.new"):
        write_whole(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
