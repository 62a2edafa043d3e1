"""Every verb that is about a range of time takes --last, and means by it the same as a start so long before now."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from .conftest import Tiers, chunk
from .test_cli import run

VERBS = (
    ("query", "r1/x"),
    ("export", "csv", "r1/x", "-o", "out"),
    ("export", "lerobot", "r1/x", "-o", "out"),
    ("view", "r1/x", "-o", "out.rrd"),
    ("replay", "r1/x"),
    ("event", "ls"),
    ("event", "search", "pallet"),
    ("episode", "new", "picks", "r1/x"),
)


def test_last_is_a_start_so_long_before_now(tiers: Tiers, tmp_path: Path, stream: str) -> None:
    """Of two hours with a row every ten minutes --last 35m shows what --start now-35m shows, and no more."""
    now_us = time.time_ns() // 1000
    ages_s = [at * 600 + 60 for at in range(12)]  # 1, 11, 21, 31, 41, ... minutes old
    tiers.put("edge", "sensor", [chunk(stream, [now_us - age * 1_000_000], {"age": [age]}) for age in ages_s])
    path, asked = tiers.write_fleet(tmp_path), ("query", f"{tiers.robot}/{stream}", "--format", "ndjson")
    last, start = run(path, *asked, "--last", "35m"), run(path, *asked, "--start", "now-35m")
    assert [json.loads(line)["fields"]["age"] for line in last.stdout.splitlines()] == [1860, 1260, 660, 60]
    assert (last.returncode, last.stdout) == (start.returncode, start.stdout)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: "-".join(verb[:2]))
def test_last_goes_with_neither_start_nor_stop(verb: tuple[str, ...], tmp_path: Path) -> None:
    """Two ways to say when, or a length that is none, are refused before anything is asked."""
    path = tmp_path / "fleet.toml"  # nothing stands there
    for words, said in (
        (("--last", "1h", "--start", "-2h"), "--last beside --start"),
        (("--stop", "now", "--last", "1h"), "--last beside --stop"),
        (("--last", "soon"), "duration 'soon' is not understood"),
        (("--last", "-1h"), "duration '-1h' is not understood"),
    ):
        done = run(path, *verb, *words)
        assert done.returncode == 2
        assert said in done.stderr
        assert "next: " in done.stderr
