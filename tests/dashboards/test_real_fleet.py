"""Real fleets fill the boards: robots, sites, loader and feeds as `fleetbox up` starts them, compared with chunks."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

import fleetbox as fb
from fleetbox.blobs import Store
from fleetbox.errors import MissingServer
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import load_fleet
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.checking import check
from fleetbox_dashboards.filling import Filling, queries
from fleetbox_local.processes import find_server
from fleetbox_local.running import state_of

MINUTE_US = 60_000_000
HOUR_MS = 3_600_000
POLICY = """version = 1
name = "boards"
[stream.imu]
ship = "always"
expect = "100 Hz"
[stream."log/**"]
ship = "always"
[stream."**"]
ship = "event"
"""
CHOSEN: Mapping[str, str] = {"site": ".*", "kind": ".*", "robots": "", "robot": "r1", "stream": "imu", "field": "ax"}
ALWAYS_EMPTY = {  # what a fleet of processes on one machine has none of
    "Sites: temperature",
    "Robots: temperature",
    "Relay: held",
}
NUMBERS = ("Robots", "Silent", "Dead letters", "Lost", "Unexplained")
FIELD = "${stream:raw}: ${field:raw}"  # the panel of a field
Row = dict[str, Any]
Got = TypeVar("Got")


def fleetbox(*words: str, partial: bool = False) -> str:
    """Run a command and return what it says."""
    done = subprocess.run([sys.executable, "-m", "fleetbox", *words], capture_output=True, text=True, timeout=240)
    assert done.returncode in ((0, 3) if partial else (0,)), done.stderr
    return done.stdout


@dataclass
class Fleet:
    """A running fleet of `fleetbox up` and the minute, long over, that its robots tell of."""

    folder: Path
    minute_us: int
    _beat_s: float = 0.0

    @property
    def file(self) -> str:
        """Return its fleet.toml."""
        return str(self.folder / "fleet.toml")

    @property
    def minute(self) -> tuple[int, int]:
        """Return the minute as a range: a graph's ends with its last ms."""
        return self.minute_us, self.minute_us + MINUTE_US - 1000

    @contextmanager
    def recorder(self, robot: str) -> Iterator[fb.Recorder]:
        """Record as one of its robots; all is in the robot's store afterwards."""
        with fb.Recorder(self.folder / robot / "robot.toml", duties=False) as recorder:
            yield recorder
            recorder.flush(60)

    def rows(self, robot: str, hz: int, minutes_ago: int = 0) -> None:
        """Record a minute of `imu`."""
        start_us = self.minute_us - minutes_ago * MINUTE_US
        times = [start_us + number * 1_000_000 // hz for number in range(60 * hz)]
        with self.recorder(robot) as recorder:
            recorder.log_columns("imu", times, {"ax": [math.sin(at_us / 7e6) for at_us in times]})

    def chunks(self, selection: str) -> list[float]:
        """Return the field ax of every row that the chunks hold."""
        with fb.connect(self.file) as fleet:
            return [float(value) for value in fleet.select(selection).arrow()[selection]["ax"].to_pylist()]

    def ask(self, influxql: str) -> list[Row]:
        """Ask the InfluxDB of the fleet's edge."""

        async def go() -> list[Row]:
            influx = load_fleet(self.file).site_place("edge").influx
            assert influx is not None
            async with ScalarStore(influx) as scalars:
                found = await scalars.query(influxql)
            return [{**one.tags, **dict(zip(one.columns, row, strict=True))} for one in found for row in one.rows]

        return asyncio.run(go())

    def panel(self, board: str, title: str, within: tuple[int, int] | None = None, **chosen: str) -> list[Row]:
        """Return the rows of a panel's first query, over the last hour unless a range is given."""
        asked = next(one for one in queries(boards()["fleetbox-" + board]) if one.place == title)
        now_us = time.time_ns() // 1000
        start_us, stop_us = within or (now_us - 60 * MINUTE_US, now_us)
        filling = Filling(start_us // 1000, stop_us // 1000, {**CHOSEN, **chosen})
        return self.ask(filling.fill(asked.influxql, asked.least_interval))

    def value(self, board: str, title: str) -> Any:
        """Return the large number of a panel, None while it has none."""
        return next((row["value"] for row in self.panel(board, title)), None)

    def at_site(self, site: str, what: Callable[[Store], Awaitable[Got]]) -> Got:
        """Do something with a site's store."""

        async def go() -> Got:
            async with Store.at(load_fleet(self.file).site_place(site)) as store:
                return await what(store)

        return asyncio.run(go())

    @contextmanager
    def without_influxdb(self) -> Iterator[None]:
        """Stop InfluxDB: it answers nobody, as a machine that has run out of memory."""
        running = state_of(self.folder)
        assert running is not None
        pid = next(one.pid for one in running.processes if one.name == "influx")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def checked(self) -> set[str]:
        """Return the places whose queries have no row, those of alerts as `alert NAME`, by `fleetbox dashboards`."""
        return empty(
            json.loads(fleetbox("dashboards", "check", "--fleet", self.file, "--robot", "r1", "--json"))["queries"]
        )

    def empty(self) -> set[str]:
        """Return the same without a process of its own: polled, those take the fleet's processors."""

        async def go() -> list[dict[str, Any]]:
            influx = load_fleet(self.file).site_place("edge").influx
            assert influx is not None
            now_ms = time.time_ns() // 1_000_000
            async with ScalarStore(influx) as scalars:
                return [one.told() for one in await check(scalars, now_ms - HOUR_MS, now_ms, "r1")]

        return empty(asyncio.run(go()))

    def beat(self) -> None:
        """Have r1 and r2 record something each minute: who records nothing for 180 s is silent."""
        if time.monotonic() >= self._beat_s:
            self._beat_s = time.monotonic() + 60.0
            for robot in ("r1", "r2"):
                with self.recorder(robot) as recorder:
                    recorder.log("beat", {"at": 1.0})

    def empty_while_alive(self) -> set[str]:
        """Return the same while r1 and r2 are not silent."""
        self.beat()
        return self.empty()

    def numbers(self) -> list[int]:
        """Return the large numbers of the first board while r1 and r2 are not silent."""
        self.beat()
        return [self.value("fleet", title) for title in NUMBERS]


def empty(told: list[dict[str, Any]]) -> set[str]:
    """Return which of the queries that were run have no row; none may be refused."""
    assert [one for one in told if one["fault"]] == []
    named = {f"alert {one['place']}" if one["kind"] == "alert" else one["place"] for one in told if not one["rows"]}
    return named - ALWAYS_EMPTY


@contextmanager
def started(folder: Path, robots: int) -> Iterator[Fleet]:
    """Start robots, an edge with InfluxDB and a cloud."""
    try:
        find_server("influxdb")
    except MissingServer as missing:
        pytest.skip(f"{missing.message}; install it: fleetbox servers install --influx")
    (folder / "policy.toml").write_text(POLICY)
    try:
        fleetbox("up", "--dir", str(folder), "--robots", str(robots), "--influx", "--detach")
        yield Fleet(folder, (time.time_ns() // 1000 // MINUTE_US - 2) * MINUTE_US)
    finally:
        fleetbox("down", "--dir", str(folder), partial=True)


def until(what: Callable[[], Got], is_so: Callable[[Got], object], deadline_s: float = 150.0) -> Got:
    """Look again and again; return what was seen when it was so, fail with what was seen last."""
    stop_s = time.monotonic() + deadline_s
    while not is_so(seen := what()):
        assert time.monotonic() < stop_s, seen
        time.sleep(1)
    return seen


def becomes(what: Callable[[], Got], expected: Got) -> None:
    """Look until it is what is expected: feeds and robots tell in their own time."""
    until(what, lambda seen: seen == expected)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_one_robot_shows_up_on_its_board(tmp_path: Path) -> None:
    """A minute of numbers, a line and a mark are on the boards as they are in the chunks."""
    with started(tmp_path, 1) as fleet:
        fleet.rows("r1", 10)
        with fleet.recorder("r1") as recorder:
            recorder.log("log/nav", "ERROR lost the way", time=fleet.minute_us)
            recorder.mark("look", note="for the boards")
        values = fleet.chunks("r1/imu")
        assert len(values) == 600
        counted = 'SELECT sum("ax.count") AS "rows" FROM imu WHERE "robot" = \'r1\''
        until(lambda: fleet.ask(counted), lambda rows: rows and rows[0]["rows"] == 600)
        seconds = fleet.panel("robot", FIELD, fleet.minute)
        assert len(seconds) == 60
        for number, row in enumerate(seconds):
            held = values[10 * number : 10 * number + 10]
            assert (row["least"], row["mean"], row["most"]) == pytest.approx((min(held), sum(held) / 10, max(held)))
        (line,) = until(lambda: fleet.panel("robot", "Log"), len)
        assert (line["level"], line["stream"], line["text"]) == ("error", "log/nav", "ERROR lost the way")
        (event,) = until(lambda: fleet.panel("events", "Every event"), len)
        assert (event["robot"], event["kind"], event["note"]) == ("r1", "look", "for the boards")
        until(lambda: fleet.value("fleet", "Robots"), lambda number: number == 1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fleet_with_faults_fills_every_panel(tmp_path: Path) -> None:
    """Refusals, a silent robot, a stream below what is expected, InfluxDB away: each shows, with the books' numbers."""
    with started(tmp_path, 3) as fleet:
        disputed_us = fleet.minute_us + 1
        foreign = Draft("log/nav", disputed_us, b"somebody else was here", {"type": "log"}, "text/plain")
        fleet.at_site("edge", lambda store: store.write("r1--log", [foreign]))
        fleet.rows("r1", 10)  # of 100 Hz expected
        fleet.rows("r2", 100)
        fleet.rows("r3", 20, minutes_ago=10)  # and nothing since
        with fleet.recorder("r1") as recorder, fleet.without_influxdb():
            recorder.log("log/nav", "the robot's own line", time=disputed_us)
            for number in range(5):
                recorder.log("log/nav", f"line {number}", time=disputed_us + 1 + number)
                recorder.mark("left", time=fleet.minute_us + number * 1_000_000, labels={"lat": 48.1, "lon": 11.5})
            recorder.log("cam/front", b"\xff\xd8\xff\xd9", time=fleet.minute_us)
            recorder.flush(60)
            for site in ("edge", "cloud"):
                until(lambda site=site: fleet.at_site(site, lines_there), lambda found: found >= 6)

        # every panel and alert that can fire within minutes has rows, from real robots
        until(fleet.empty_while_alive, lambda empty: not empty, 240.0)
        becomes(fleet.checked, set())
        becomes(fleet.numbers, [3, 1, 1, 0, 0])
        until(
            lambda: {row["robot"]: row for row in fleet.panel("fleet", "The 20 robots with the most trouble")},
            lambda ranked: (
                (ranked["r1"]["dead_letters"], ranked["r1"]["refused"]) == (1, 1)
                and ranked["r1"]["trouble"] > max(ranked["r2"]["trouble"], ranked["r3"]["trouble"])
                and ranked["r3"]["age_s"] > 600 > ranked["r2"]["age_s"]
            ),
        )
        becomes(lambda: rates(fleet), {"r1": (10.0, 100.0), "r2": (100.0, 100.0)})
        becomes(lambda: letters(fleet), [("409 conflict", 1)])

        # what came while InfluxDB was away is all there
        texts = [*(f"line {number}" for number in range(5)), "somebody else was here"]
        becomes(lambda: sorted(row["text"] for row in fleet.panel("robot", "Log")), texts)
        becomes(lambda: fleet.value("events", "Events"), 5)
        becomes(lambda: len(fleet.panel("events", "Where")), 5)

        # the balance is that of `fleetbox audit` (the cloud has no InfluxDB to tell of its hop), numbers the chunks'
        _, books = until(lambda: (balance(fleet), audited(fleet)), lambda both: both[0] == both[1])
        assert books["refused"] == 1
        for robot in ("r1", "r2"):
            values = fleet.chunks(f"{robot}/imu")
            becomes(lambda robot=robot: reach(fleet, robot), pytest.approx((min(values), max(values))))

        # the foreign record goes, also where the edge has sent it; the letter arrives, the boards are well again
        for site in ("cloud", "edge"):
            fleet.at_site(site, lambda store: store.delete("r1--log", "log/nav", [disputed_us]))
        until(lambda: fleet.value("fleet", "Dead letters"), lambda number: number == 0, 200.0)
        becomes(lambda: letters(fleet), [("409 conflict", 0)])


def rates(fleet: Fleet) -> dict[str, tuple[float, float]]:
    """Return what r1 and r2 delivered of `imu` in the minute, beside what is expected, as the board shows it."""
    slow = fleet.panel("fleet", "The 20 streams furthest below what is expected", fleet.minute)
    of = ("r1", "r2")
    return {
        row["robot"]: (row["hz"], row["expect_hz"]) for row in slow if row["stream"] == "imu" and row["robot"] in of
    }


def reach(fleet: Fleet, robot: str) -> tuple[float, float]:
    """Return the least and the most of a robot's field in the minute, as the board shows it."""
    seconds = fleet.panel("robot", FIELD, fleet.minute, robot=robot)
    return min((row["least"] for row in seconds), default=0.0), max((row["most"] for row in seconds), default=0.0)


def letters(fleet: Fleet) -> list[tuple[str, int]]:
    """Return how many dead letters the board shows for each reason."""
    return [(row["reason"], row["letters"]) for row in fleet.panel("books", "Dead letters by reason")]


async def lines_there(store: Store) -> int:
    """Count the lines of r1 at a site."""
    return next((info.records for info in await store.entries("r1--log") if info.name == "log/nav"), 0)


BALANCE = ("recorded", "selected", "kept_on_robot", "arrived", "waiting", "refused", "lost", "unexplained")


def balance(fleet: Fleet) -> dict[str, int]:
    """Return the sums of r1's first hop as the board shows them."""
    found = {row["site"]: row for row in fleet.panel("books", "The balance of each hop", fleet.minute, robots="r1")}
    return {name: found["edge"][name] for name in BALANCE}


def audited(fleet: Fleet) -> dict[str, int]:
    """Return the same as `fleetbox audit` tells."""
    times = [f"{at_us}" for at_us in (fleet.minute_us, fleet.minute_us + MINUTE_US)]
    words = ("--start", times[0], "--stop", times[1], "--fleet", fleet.file, "--json")
    told = json.loads(fleetbox("audit", "r1/**", *words, partial=True))
    hop = next(one for one in told["robots"]["r1"] if one["hop"] == "edge")
    return {name: sum(hop[name].values()) if isinstance(hop[name], dict) else hop[name] for name in BALANCE}
