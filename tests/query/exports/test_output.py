"""An output is the old one or the complete new one, whatever happens; what is finished is not made twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xxhash

from fleetbox.errors import FleetboxError, InputError
from fleetbox_query.exports.output import MANIFEST, Output

ASKED = {"query": "r1/**", "start": 1}


def _make(target: Path, files: dict[str, bytes], *, folder: bool = True, query: str = "r1/**") -> Path:
    with Output(target, {**ASKED, "query": query}, folder=folder) as out:
        for name, data in files.items():
            with out.part(name) as path:
                path.write_bytes(data)
        return out.finish({"counts": {"files": len(files)}})


def _write_half(out: Output) -> None:
    with out.part("two") as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError


def _write_full(out: Output) -> None:
    with out.part("whole"), Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")


def test_a_folder_and_its_manifest(tmp_path: Path) -> None:
    """The folder holds the files and a manifest with query, counts, sizes and hashes; nothing is left beside it."""
    target = _make(tmp_path / "out", {"a/b.bin": b"one", "c.bin": b"three"})
    said = json.loads((target / MANIFEST).read_text())
    assert (said["asked"], said["counts"]) == (ASKED, {"files": 2})
    assert [(one["path"], one["size_bytes"], one["xxh3"]) for one in said["files"]] == [
        ("a/b.bin", 3, xxhash.xxh3_64_hexdigest(b"one")),
        ("c.bin", 5, xxhash.xxh3_64_hexdigest(b"three")),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_has_its_manifest_beside_it(tmp_path: Path) -> None:
    """A target that is a file becomes the finished part; its manifest names it with its hash."""
    _make(tmp_path / "x.mcap", {"whole": b"data"}, folder=False)
    said = json.loads((tmp_path / "x.mcap.manifest.json").read_text())
    assert (tmp_path / "x.mcap").read_bytes() == b"data"
    assert said["files"][0]["xxh3"] == xxhash.xxh3_64_hexdigest(b"data")
    assert not (tmp_path / "x.mcap.partial").exists()


def test_an_old_output_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """No file of the old folder is left in the new one."""
    _make(tmp_path / "out", {"old": b"1", "both": b"1"})
    _make(tmp_path / "out", {"both": b"2"}, query="r2")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MANIFEST, "both"]
    assert (tmp_path / "out" / "both").read_bytes() == b"2"


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What was finished before an error is there for the same question, what was not is gone; so is what it noted."""
    target = tmp_path / "out"
    with Output(target, ASKED, folder=True) as out:
        assert out.remember("now_us", 7) == 7
        with out.part("one", {"rows": 3}) as path:
            path.write_bytes(b"1")
        with pytest.raises(ZeroDivisionError):
            _write_half(out)
    assert not target.exists()
    with Output(target, ASKED, folder=True) as out:
        assert {name: one.about for name, one in out.finished.items()} == {"one": {"rows": 3}}
        assert out.remember("now_us", 8) == 7
        assert [path.name for path in out.path_of("one").parent.iterdir()] == ["one"]


def test_another_question_begins_anew(tmp_path: Path) -> None:
    """Files of another question are not taken for one's own."""
    with Output(tmp_path / "out", ASKED, folder=True) as out, out.part("one") as path:
        path.write_bytes(b"1")
    with Output(tmp_path / "out", {"query": "other"}, folder=True) as out:
        assert not out.finished
        assert not out.path_of("one").exists()


def test_a_changed_finished_file_is_made_again(tmp_path: Path) -> None:
    """A finished file that lost bytes since does not count."""
    with Output(tmp_path / "out", ASKED, folder=True) as out, out.part("one") as path:
        path.write_bytes(b"whole")
    out.path_of("one").write_bytes(b"who")
    with Output(tmp_path / "out", ASKED, folder=True) as out:
        assert not out.finished


def test_a_step_is_dropped(tmp_path: Path) -> None:
    """A dropped file is neither in the output nor taken up again."""
    with Output(tmp_path / "x", ASKED) as out:
        for name in ("step", "whole"):
            with out.part(name) as path:
                path.write_bytes(name.encode())
        out.drop("step")
    with Output(tmp_path / "x", ASKED) as out:
        assert list(out.finished) == ["whole"]
        out.finish({})
    assert (tmp_path / "x").read_bytes() == b"whole"


def test_files_after_the_last_checkpoint_are_made_again(tmp_path: Path) -> None:
    """Of an output that says how far it has come, what was finished later does not count."""
    with Output(tmp_path / "out", ASKED, folder=True) as out:
        assert out.checkpoint is None
        for name in ("one", "two"):
            with out.batch() as batch:
                batch.path(name).write_bytes(b"1")
                batch.path(f"{name}-more").write_bytes(b"22")
            if name == "one":
                out.reached({"next_us": 5})
    with Output(tmp_path / "out", ASKED, folder=True) as out:
        assert out.checkpoint == {"next_us": 5}
        assert sorted(out.finished) == ["one", "one-more"]


def test_two_at_once(tmp_path: Path) -> None:
    """A second export into the same output is refused while the first is at it."""
    with Output(tmp_path / "out", ASKED, folder=True), pytest.raises(InputError, match="another export"):
        Output(tmp_path / "out", ASKED, folder=True).__enter__()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A folder that is no export is refused, and so is a file where a folder is to be."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    (tmp_path / "file").write_text("x")
    for name in ("home", "file"):
        with pytest.raises(InputError, match="give a"):
            Output(tmp_path / name, ASKED, folder=True).__enter__()
    assert (tmp_path / "home" / "letter").read_text() == "dear"


def test_a_full_disk_is_told_and_the_old_output_stands(tmp_path: Path) -> None:
    """A write the disk refuses is a clear error; the output from before is untouched."""
    _make(tmp_path / "x", {"whole": b"old"}, folder=False)
    with Output(tmp_path / "x", {"query": "new"}) as out:
        with pytest.raises(FleetboxError, match="No space left"):
            _write_full(out)
        assert not out.finished
    assert (tmp_path / "x").read_bytes() == b"old"


_KILLED = """
import sys, os
from pathlib import Path
from fleetbox_query.exports import output, swapping
from fleetbox_query.exports.output import Output

steps = int(sys.argv[2])
real = os.fsync
def counted(handle):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), 9)
    real(handle)
os.fsync = counted
with Output(Path(sys.argv[1]), {"round": sys.argv[3]}, folder=True) as out:
    for name in ("a", "b"):
        if name not in out.finished:
            with out.part(name) as path:
                path.write_text(sys.argv[3] * 1000)
    out.finish({})
print("finished")
"""


@pytest.mark.timeout(600)
def test_killed_at_every_step(tmp_path: Path) -> None:
    """Killed at each of its writes in turn, the folder is the old output or the new one, never a mixture."""
    target = tmp_path / "out"
    for step in range(40):
        old = target.is_dir() and (target / "a").read_text()[0]
        run = [sys.executable, "-c", _KILLED, str(target), str(step), chr(ord("A") + step % 26)]
        done = subprocess.run(run, capture_output=True, text=True, timeout=300)
        if target.is_dir():
            whole = {(target / name).read_text() for name in ("a", "b")}
            assert len(whole) == 1
            assert len(whole.pop()) == 1000
            said = json.loads((target / MANIFEST).read_text())
            assert said["asked"]["round"] == (target / "a").read_text()[0]
        assert target.is_dir() or not old
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.strip() == "finished"
    assert not (tmp_path / "out.partial").exists()
