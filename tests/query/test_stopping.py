"""Ctrl-C ends every long verb at once, with exit code 130 and without a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from .conftest import MAIN, PATIENT, Tiers, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000
ENDS_S = 60.0  # for an interrupted program to end, on a busy machine; by itself none of these would


@contextmanager
def started(fleet_file: Path, code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python code with the command line's words in a program of its own."""
    environment = {**os.environ, "FLEETBOX_FLEET": str(fleet_file), "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    program = [sys.executable, "-c", code, *words]
    with subprocess.Popen(program, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        late = Timer(2 * ENDS_S, process.kill)
        late.start()
        try:
            yield process
        finally:
            late.cancel()
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C; return what stderr says once the program has ended as it should."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=ENDS_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err, err
    return err


@pytest.mark.parametrize(
    "words",
    [
        ("live", "{}", "--port", "0"),
        ("live", "{}", "--text"),
        ("replay", "{}", "--port", "0"),
        ("replay", "{}", "--to", "text", "--rate", "0.01"),
    ],
    ids=" ".join,
)
def test_what_shows_streams_ends(tiers: Tiers, tmp_path: Path, stream: str, words: tuple[str, ...]) -> None:
    """live and replay, to Foxglove or as text, once they show something or wait for somebody who watches."""
    times = [T0 + at * SECOND for at in range(10)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"x": list(range(10))}, robot=tiers.robot)])
    asked = [word.format(f"{tiers.robot}/{stream}") for word in words]
    with started(tiers.write_fleet(tmp_path), MAIN, *asked) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), process.stderr
        interrupted(process)


@pytest.fixture
def silent(tiers: Tiers, tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    """A fleet whose places take requests and answer none: whatever asks them waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield tiers.write_fleet(tmp_path, urls=dict.fromkeys(("robot", "edge", "cloud"), url)), server


@pytest.mark.parametrize(
    "words",
    [
        ("query", "r1/x"),
        ("export", "csv", "r1/x", "-o", "{}/out"),
        ("view", "r1/x", "-o", "{}/out.rrd"),
        ("lake", "sync", "--to", "{}/lake"),
    ],
    ids=" ".join,
)
def test_what_waits_for_a_place_ends(
    silent: tuple[Path, socket.socket], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A place that never answers holds nobody, and no output appears."""
    fleet_file, server = silent
    asked = [word.format(tmp_path) for word in words]
    with started(fleet_file, MAIN, *asked) as process, server.accept()[0] as connection:
        connection.recv(1)
        interrupted(process)
    assert not [one for one in tmp_path.glob("out*") if one.suffix != ".partial"]


def test_frames_end(silent: tuple[Path, socket.socket]) -> None:
    """In Python frames() raises KeyboardInterrupt, and the program may go on."""
    fleet_file, server = silent
    code = (
        f"{PATIENT}import sys, fleetbox as fb\n"
        "try:\n"
        "    fb.connect().select('r1/x').frames()\n"
        "except KeyboardInterrupt:\n"
        "    print('goes on')\n"
        "    sys.exit(130)\n"
    )
    with started(fleet_file, code) as process, server.accept()[0] as connection:
        connection.recv(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=ENDS_S)
    assert (process.returncode, out) == (130, "goes on\n"), err
    assert "Traceback" not in err
