"""An InfluxDB whose bucket is removed, or that is put back as it was: all that the store holds is there again."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import InfluxServer

from fleetbox import chunks
from fleetbox.errors import FleetboxError
from fleetbox.events import Event, make_id
from fleetbox.ledger import MINUTE_US, Line, Standing
from fleetbox.measurements import BOOKS, BOOKS_HOURS, EVENTS, HOST_HOURS, HOST_NUMBERS, LOGS, STREAMS
from fleetbox.measurements import HOST_STREAM as HOST
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.checks import judge
from fleetbox_cloud.feeds.renewals import Renewals
from fleetbox_local.processes import ask

from .conftest import NOW_US, Rig

HOUR_US, DAY_US = 60 * MINUTE_US, 1440 * MINUTE_US
PROGRAM = Path(__file__).with_name("quick_site.py")
DEADLINE_S = 120.0  # two busy cores; some seconds on a quiet machine
FED = {"imu": 60, HOST: 90}  # measurement -> points of all that `write_all` writes
FED |= {EVENTS.name: 42, LOGS.name: 3_004, BOOKS.name: 23, STREAMS.name: 23, HOST_HOURS.name: 1}
OLD = {LOGS.name: 2, BOOKS.name: 20, STREAMS.name: 20}  # of them those that a site does not tell of at its first start
BOOKED = (BOOKS.name, STREAMS.name)
SUMMED = {BOOKS_HOURS.name: (BOOKS.name, BOOKS.fields)}  # hours -> what they are made from and the fields they add up
SUMMED[HOST_HOURS.name] = (HOST, tuple(f"{name}.count" for name in HOST_NUMBERS))
LOADER = {"trouble": None, "robots": {}, "influx": "http://influx", "checks": None, "short": [], "refused": []}

Rows = dict[str, list[tuple[tuple[str, Any], ...]]]
Differences = dict[str, list[Any]]  # what is compared -> what is there or wanted, and not both


@dataclass
class Running:
    """A site's process beside a rig, and what its InfluxDB holds."""

    rig: Rig
    log: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        assert self.rig.fleet.site, "asking for the settings writes them"
        with self.log.open("ab") as log:
            argv = [sys.executable, str(PROGRAM), str(self.rig.folder / "fleet.toml")]
            self.child = subprocess.Popen(argv, stdout=log, stderr=log)

    def end(self, sign: int) -> None:
        """End it."""
        if self.child is not None:
            self.child.send_signal(sign)
            self.child.wait(30)

    async def held(self) -> Rows:
        """Return every point of every measurement whose past the store holds, sorted."""
        found: Rows = {}
        async with ScalarStore(self.rig.influx) as scalars:
            for name in (*FED, BOOKS_HOURS.name):
                rows = [
                    tuple((column, value) for column, value in zip(one.columns, row, strict=True) if value is not None)
                    for one in await scalars.query(f'SELECT * FROM "{name}"')
                    for row in one.rows
                ]
                found[name] = sorted(rows, key=str)
        return found

    async def until(self, differing: Callable[[Rows], Differences]) -> Rows:
        """Look until nothing differs; fail with what still does."""
        stop_s, left = time.monotonic() + DEADLINE_S, Differences()
        while time.monotonic() < stop_s:
            try:
                if not (left := differing(found := await self.held())):
                    return found
            except FleetboxError:
                pass  # the bucket is away
            await asyncio.sleep(0.1)
        raise AssertionError({what: differ[:20] for what, differ in left.items()}, self.log.read_text()[-3000:])

    async def stamped(self, more: int = 0) -> Rows:
        """Look until all is there, so many lines more too, and two stamps; return what is there and stays so."""
        while len(self.stamps()["stamps"]) < 2:  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.1)
        found = Rows()
        while (seen := await self.until(lambda rows: filled(rows, more))) != found:
            found = seen
            await asyncio.sleep(0.5)
        return found

    def stamps(self) -> Mapping[str, Any]:
        """Return what the process has written down of its stamps."""
        for file in self.rig.state.glob("stamps-*.json"):
            return dict(json.loads(file.read_text()))
        return {"number": 0, "stamps": []}


@pytest.fixture
def site(rig: Rig, tmp_path: Path) -> Iterator[Running]:
    """A running site; its state folder is named in the fleet."""
    running = Running(rig, tmp_path / "site.log")
    yield running
    if running.child is not None and running.child.poll() is None:
        running.end(signal.SIGKILL)


def filled(rows: Rows, more: int = 0) -> Differences:
    """Compare with all that a site tells of at its first start, with the hours it adds up to."""
    wanted = {name: number - OLD.get(name, 0) for name, number in FED.items()}
    wanted[LOGS.name] += more
    return between({**counts(rows), **summed(rows)}, {**wanted, **summed(rows, of_minutes=True)})


def counts(rows: Rows) -> dict[str, Any]:
    """Count the points of all that is fed."""
    return {name: len(rows[name]) for name in FED}


def lines_of_logs(rows: Rows, number: int) -> Differences:
    """Compare how many lines of logs there are."""
    return between({LOGS.name: len(rows[LOGS.name])}, {LOGS.name: number})


def summed(rows: Rows, *, of_minutes: bool = False) -> dict[str, Any]:
    """Add up by hour the fields of which hours hold the sum: those of the hours, or of what they are made from."""
    found: dict[str, Counter[tuple[int, str]]] = {}
    for name, (source, fields) in SUMMED.items():
        found[f"sums of {name}"] = Counter()
        for row in map(dict, rows[source if of_minutes else name]):
            found[f"sums of {name}"].update({(row["time"] // HOUR_US, field): row.get(field, 0) for field in fields})
    return {name: +counted for name, counted in found.items()}


def between(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> Differences:
    """Return what is not the same in both, of each its parts that are in one alone."""
    return {name: _apart(there[name], some) for name, some in wanted.items() if there[name] != some}


def _apart(one: Any, other: Any) -> list[Any]:
    if isinstance(one, int):
        return [one, other]
    parts = [list(some.items()) if isinstance(some, Mapping) else list(some) for some in (one, other)]
    return [
        f"{sign} {part}"
        for sign, here, there in (("+", *parts), ("-", *parts[::-1]))
        for part in here
        if part not in there
    ]


async def write_all(rig: Rig, line: Callable[..., Line]) -> Rows:
    """Write a robot's numbers, events, lines and pages; return the books as a site told them that ran all the while."""
    beside = Rig(rig.server, replace(rig.influx, bucket=f"{rig.influx.bucket}-beside"), rig.folder.with_name("beside"))
    feeds = beside.feeds()
    books = beside.books(feeds)
    for ago in (4320, 4319, 4318, 3000, 2999, *range(1600, 1585, -1), 5, 4, 3):
        there, late_us = (9 if ago == 3000 else 10), (180 if ago == 2999 else 1) * MINUTE_US
        at_us = NOW_US - ago * MINUTE_US
        await rig.tell("r1", line("arm", ago, (10, 10, 10)), at_us=at_us + MINUTE_US)
        await beside.look(feeds, books, at_us + MINUTE_US)
        lost = (Standing("edge", "sensor", "arm", at_us, 0, {}, {"evicted": 1}),) if there < 10 else ()
        await rig.tell("edge", line("arm", ago, (there,) * 3), at_us=at_us + late_us, standings=lost)
        await beside.look(feeds, books, at_us + late_us)
    await write_records(rig)
    held = await Running(beside, Path()).held()
    return {name: held[name] for name in BOOKED}


async def write_records(rig: Rig) -> None:
    """Write numbers, lines and events, some of which have the same µs."""
    imu = [NOW_US - 600_000_000 + at * 1_000_000 for at in range(60)]
    host_us = NOW_US - NOW_US % (60 * MINUTE_US) - 60 * MINUTE_US
    host = [host_us + at * 1_000_000 for at in range(90)]
    numbers = {name: [float(at % 50) for at in range(90)] for name in HOST_NUMBERS}
    await rig.write(
        "r1--sensor", chunk("imu", imu, {"ax": [float(at) for at in range(60)]}), chunk(HOST, host, numbers)
    )
    lines = [text(NOW_US - at * 1_000_000, f"line {at}") for at in range(3_000)]
    lines += [text(NOW_US - 30 * DAY_US, "a month ago"), text(NOW_US - 20 * DAY_US, "old"), text(NOW_US + 5, "new")]
    for at in range(0, len(lines), 500):
        await rig.write("r1--log", *lines[at : at + 500])
    await rig.write("r1--log", Draft("log/b", NOW_US, b"at the same time", {"type": "log"}, "text/plain"))
    for number in range(40):
        await rig.mark(event(NOW_US - number * DAY_US), NOW_US - number * DAY_US)
    pair = [event(NOW_US + 1, 1), event(NOW_US + 1, 2)]
    for one in pair:
        await rig.mark(one, NOW_US + 1)
    await rig.mark(replace(pair[0], state="labelled", labelled={"imu": 7}), NOW_US + 20_000_000)


def chunk(entry: str, times_us: list[int], columns: dict[str, list[float]]) -> Draft:
    """Pack rows into a record."""
    labels = {"rows": str(len(times_us)), "t_end": str(times_us[-1]), "type": "time_series"}
    return Draft(entry, times_us[0], chunks.encode(times_us, columns), labels, chunks.CONTENT_TYPE)


def text(at_us: int, line: str) -> Draft:
    """Return a line of a log."""
    return Draft("log/a", at_us, line.encode(), {"type": "log"}, "text/plain")


def event(at_us: int, noise: int = 0) -> Event:
    """Return an event of r1."""
    return Event(make_id("brake", at_us, noise), "brake", "r1", at_us, at_us - 1_000_000, at_us + 1_000_000)


def remove_bucket(influx: Influx, *, make_again: bool = False) -> None:
    """Remove the bucket as a person would, and make another of its name."""
    port = int(influx.url.rpartition(":")[2])
    found = json.loads(ask(port, "GET", f"/api/v2/buckets?name={influx.bucket}", token=influx.token).body)["buckets"]
    assert ask(port, "DELETE", f"/api/v2/buckets/{found[0]['id']}", token=influx.token).status == 204
    if make_again:
        body = {"orgID": found[0]["orgID"], "name": influx.bucket, "retentionRules": []}
        assert ask(port, "POST", "/api/v2/buckets", body, influx.token).status in {201, 422}, (
            "422: the site was quicker"
        )


def whole(rows: Rows, before: Rows, books: Rows, more: Mapping[str, int] | None = None) -> Differences:
    """Compare with all that was there and what is older and so many points more; no point may be there twice."""
    extra = more or {}
    same = {name: some for name, some in before.items() if name not in (*OLD, *extra, BOOKS_HOURS.name)} | books
    lost = {f"lost of {name}": set(before[name]).difference(rows[name]) for name in (LOGS.name, EVENTS.name)}
    return between(
        {**{f"rows of {name}": rows[name] for name in same}, **counts(rows), **lost, **summed(rows)},
        {
            **{f"rows of {name}": some for name, some in same.items()},
            **{name: number + extra.get(name, 0) for name, number in FED.items()},
            **dict.fromkeys(lost, frozenset()),
            **summed(rows, of_minutes=True),
        },
    )


def said(site: Running) -> int:
    """Count how often the log tells of it."""
    return site.log.read_text().count("InfluxDB's bucket was removed or is an older copy")


@pytest.mark.slow
@pytest.mark.parametrize("make_again", [False, True], ids=["removed", "made_again"])
def test_after_its_bucket_was_removed_every_point_is_there_again(
    site: Running, line: Callable[..., Line], make_again: bool
) -> None:
    """Numbers, hours, events, lines, books and streams: the same points with the same values, none twice."""

    async def told() -> None:
        books = await write_all(site.rig, line)
        site.start()
        before = await site.stamped()
        await asyncio.to_thread(remove_bucket, site.rig.influx, make_again=make_again)
        rows = await site.until(lambda rows: whole(rows, before, books))
        assert len(set(rows[LOGS.name])) == FED[LOGS.name]
        assert said(site) == site.stamps()["number"] == 1
        await site.rig.write("r1--log", text(NOW_US + 9, "and on it goes"))
        await site.until(lambda rows: lines_of_logs(rows, FED[LOGS.name] + 1))

    asyncio.run(told())


@pytest.mark.slow
def test_killed_while_it_feeds_again_a_site_goes_on(site: Running, line: Callable[..., Line]) -> None:
    """Killed -9 right after it has noticed, and twice with a part of the lines there: nothing is left out or double."""

    async def told() -> None:
        books = await write_all(site.rig, line)
        site.start()
        before = await site.stamped()
        await asyncio.to_thread(remove_bucket, site.rig.influx)
        while site.stamps()["number"] != 1:  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.01)
        await asyncio.to_thread(site.end, signal.SIGKILL)
        for part in (1, 2_001):
            site.start()
            await site.until(lambda rows, part=part: {} if part <= len(rows[LOGS.name]) else lines_of_logs(rows, part))
            await asyncio.to_thread(site.end, signal.SIGKILL)
        site.start()
        rows = await site.until(lambda rows: whole(rows, before, books))
        assert len(set(rows[LOGS.name])) == FED[LOGS.name]
        assert site.stamps()["number"] == 1
        assert said(site) <= 1, "none when it was killed between writing it down and saying it"

    asyncio.run(told())


@pytest.mark.slow
def test_an_influxdb_put_back_as_it_was_is_fed_what_it_lacks(
    rig: Rig, site: Running, line: Callable[..., Line], influx_server: InfluxServer, tmp_path: Path
) -> None:
    """Away for a while and back as an older copy, bucket and all: what came before, after and meanwhile is there."""
    server = InfluxServer(tmp_path / "influx")
    server.start()
    rig.influx = Influx(server.url, server.token, server.org, "restored")

    async def told() -> None:
        site.start()
        await rig.write("r1--log", text(NOW_US - 9, "before the copy"))
        await site.until(lambda rows: lines_of_logs(rows, 1))
        await asyncio.to_thread(server.stop)
        shutil.copytree(server.data_dir, tmp_path / "copy")
        await asyncio.to_thread(server.start)
        books = await write_all(rig, line)
        before = await site.stamped(1)
        await asyncio.to_thread(server.stop)
        await rig.write("r1--log", text(NOW_US - 7, "while it was away"))
        await rig.mark(event(NOW_US - 7), NOW_US - 7)
        shutil.rmtree(server.data_dir)
        shutil.copytree(tmp_path / "copy", server.data_dir)
        await asyncio.to_thread(server.start)
        rows = await site.until(lambda rows: whole(rows, before, books, {LOGS.name: 2, EVENTS.name: 1}))
        assert len(set(rows[LOGS.name])) == FED[LOGS.name] + 2
        assert said(site) == site.stamps()["number"] == 1

    try:
        asyncio.run(told())
    finally:
        server.kill()


def test_doctor_says_what_is_fed_again_and_for_a_day_that_it_was() -> None:
    """A warning while something is still to come, then a line for a day, then nothing."""
    now_us = time.time_ns() // 1000

    def says(at_us: int, *behind: str) -> list[tuple[str, str]]:
        part = {"state": "running", "failures": 0, "why": None}
        renewed = {"at_us": at_us, "bucket": "fleet", "behind": list(behind)}
        found = judge("edge", {"parts": {"stamps": part}, "loader": LOADER, "renewed": renewed})
        return [(one.verdict, one.text) for one in found if one.name == "renewed"]

    ((verdict, words),) = says(now_us, "books")
    assert (verdict, words.endswith("being fed again: books")) == ("WARN", True)
    ((verdict, words),) = says(now_us)
    assert (verdict, "fed again" in words) == ("PASS", True)
    assert says(now_us - 2 * DAY_US) == []


def test_stamps_that_retention_took_mean_nothing(rig: Rig) -> None:
    """A site that was off for longer than its bucket keeps points begins nothing anew; in a new bucket it does."""

    async def told() -> list[bool]:
        found, now_us = [], time.time_ns() // 1000
        async with ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
            for at in range(2):
                await Renewals(rig.influx, "edge", rig.state).look(scalars, now_us - 7200_000_000 + at)
            await asyncio.to_thread(remove_bucket, rig.influx, make_again=True)
            await scalars.ensure_bucket(3600)
            found.append(await Renewals(rig.influx, "edge", rig.state).look(scalars, now_us))
            found.append(await Renewals(rig.influx, "edge", rig.state).look(scalars, now_us + 1))
            await asyncio.to_thread(remove_bucket, rig.influx, make_again=True)
            await scalars.ensure_bucket(7200)
            found.append(await Renewals(rig.influx, "edge", rig.state).look(scalars, now_us + 2))
            return found

    assert asyncio.run(told()) == [False, False, True]


def test_a_bucket_made_again_keeps_points_as_the_settings_say(rig: Rig) -> None:
    """Made for the first time, and made again after somebody removed it, the bucket has the retention of fleet.toml."""
    influx, now_us = replace(rig.influx, retention_s=7200), time.time_ns() // 1000

    async def told() -> list[int | None]:
        renewals, found = Renewals(influx, "edge", rig.state), []
        async with ScalarStore(influx) as scalars:
            for at in range(2):
                await renewals.look(scalars, now_us + at)
                found.append(await scalars.retention_s())
                await asyncio.to_thread(remove_bucket, influx)
        return found

    assert asyncio.run(told()) == [7200, 7200]
