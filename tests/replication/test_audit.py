"""Books closed from real stores: pages read where they answer, open minutes listed, silent places named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store
from fleetbox.checks import Check
from fleetbox.cli.root import root
from fleetbox.errors import AccessDenied, InputError, NotFound, Unreachable
from fleetbox.ledger import MINUTE_US, Count, Drop, Line, Page, Span, Standing, count_of, minute_of, write_page
from fleetbox.naming import CLASSES
from fleetbox.records import Draft, Head
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_replication.audit import Books, audit, checks, gathering, reaching

NOW_US = minute_of(1_790_000_040_000_000) + 30_000_000
START_US = minute_of(NOW_US) - 30 * MINUTE_US
ALL = Selector.parse("*")
GONE = "http://127.0.0.1:9"  # nobody answers there


@dataclass
class Rig:
    """A robot, its edge and the cloud, each a real store; what they tell is written by hand."""

    fleet: FleetSettings
    servers: dict[str, StoreServer]

    def bucket(self, place: str, cls: str) -> str:
        """Name a bucket as the place has it."""
        return cls if place == "r1" else f"r1--{cls}"

    async def make(self) -> None:
        """Make the robot's buckets everywhere."""
        for place, server in self.servers.items():
            async with Store(server.url, server.token) as store:
                for cls in CLASSES:
                    await store.ensure_bucket(self.bucket(place, cls), BucketSpec("NONE", 0))

    async def tell(self, place: str, *lines: Line, at: Sequence[str] = (), **more: object) -> None:
        """Write a page of a place into the stores that have it, by default its own and the sites behind."""
        page = Page(place, "r1", NOW_US - 150_000_000, tuple(lines), **more)  # type: ignore[arg-type]
        names = list(self.servers)
        for name in at or names[names.index(place) :]:
            async with Store(self.servers[name].url, self.servers[name].token) as store:
                await write_page(store, self.bucket(name, "meta"), page)

    async def write(self, place: str, stream: str, times_us: Sequence[int], keep: str | None = None) -> None:
        """Write records."""
        labels = {"keep": keep} if keep else {}
        async with Store(self.servers[place].url, self.servers[place].token) as store:
            drafts = [Draft(stream, at, b"x", {**labels, "xxh": f"{at:x}"}, "x/y") for at in times_us]
            report = await store.write(self.bucket(place, "sensor"), drafts)
            assert not report.refused

    async def books(self, selector: Selector = ALL, **how: object) -> Books:
        """Close the books of the last half hour."""
        return await audit(self.fleet, selector, START_US, NOW_US, NOW_US, **how)  # type: ignore[arg-type]


@pytest.fixture
def rig(new_store_server: Callable[..., StoreServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Start three stores and write the fleet's settings; on a busy machine what runs must answer in time."""
    monkeypatch.setattr(reaching, "REACH_S", 60.0)
    monkeypatch.setattr(checks, "LIMIT_S", 60.0)
    servers = {name: new_store_server() for name in ("r1", "edge", "cloud")}
    rig = Rig(settings(tmp_path, servers), servers)
    asyncio.run(rig.make())
    return rig


def settings(folder: Path, servers: dict[str, StoreServer], **urls: str) -> FleetSettings:
    """Write and load a fleet.toml of these stores; `urls` puts others in their place."""
    for name, server in servers.items():
        (folder / f"{name}.token").write_text(server.token)
    url = {name: urls.get(name, server.url) for name, server in servers.items()}
    (folder / "fleet.toml").write_text(
        f'[[robots]]\nmatch = "r1"\nsite = "edge"\nstore = "{url["r1"]}"\ntoken = {{ file = "r1.token" }}\n'
        f'[site.edge]\nstore = "{url["edge"]}"\ntoken = {{ file = "edge.token" }}\nnext = "cloud"\n'
        f'[site.cloud]\nstore = "{url["cloud"]}"\ntoken = {{ file = "cloud.token" }}\n'
    )
    return load_fleet(folder / "fleet.toml")


def count(times: Sequence[int]) -> Count:
    """Count records known by their times."""
    return count_of(Head("b", "s", at, 1, {"xxh": f"{at:x}"}, "x/y") for at in times)


def line(stream: str, minute: int, held: int, keep: int = 0, cloud: int = 0, **changes: object) -> Line:
    """Return a line of the minute so many before now; records are numbered from its start, selected ones first."""
    minute_us = minute_of(NOW_US) - minute * MINUTE_US
    times = [minute_us + at for at in range(held)]
    whole = Line(
        "sensor", stream, minute_us, count(times), count(times[:keep]), count(times[:cloud]), held,
        minute_us, minute_us + max(0, held - 1),
    )  # fmt: skip
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_the_cloud_alone_can_close_the_books(rig: Rig) -> None:
    """Its own disk holds everybody's pages: both hops balance without asking anybody else."""

    async def told() -> Books:
        await rig.tell("r1", line("imu", 9, 10, 6, 4), line("cam", 8, 5, 5, 5))
        await rig.tell("edge", line("imu", 9, 6, 6, 4), line("cam", 8, 5, 5, 5))
        await rig.tell("cloud", line("imu", 9, 4, 4, 4), line("cam", 8, 5, 5, 5))
        alone = replace_fleet(rig, r1=GONE, edge=GONE)
        return await audit(alone, ALL, START_US, NOW_US, NOW_US, site="cloud")

    books = asyncio.run(told())
    edge, cloud = books.hops("r1")
    assert (edge.recorded, edge.selected, edge.kept_on_robot, edge.arrived) == (15, 11, 4, 11)
    assert (cloud.selected, cloud.arrived) == (9, 9)
    assert books.exit_code == 0
    assert books.unreached == ()
    assert set(books.until_us["r1"]) == {"r1", "edge", "cloud"}


def replace_fleet(rig: Rig, **urls: str) -> FleetSettings:
    """Return the fleet with some places where nobody answers."""
    return settings(rig.fleet.source.parent, rig.servers, **urls)


def test_what_has_not_arrived_waits_or_is_what_the_reconciler_says(rig: Rig) -> None:
    """Refused and lost are told by reason, the worst stream first, and the exit code says that something is lost."""

    async def told() -> Books:
        standings = (
            Standing("edge", "sensor", "cam", minute_of(NOW_US) - 8 * MINUTE_US, 1, {"507 disk full": 2}),
            Standing("edge", "sensor", "lidar", minute_of(NOW_US) - 7 * MINUTE_US, lost={"evicted": 3}),
        )
        lines = (line("imu", 9, 10, 6), line("cam", 8, 5, 5), line("lidar", 7, 4, 4))
        await rig.tell("edge", line("imu", 9, 2, 2), line("cam", 8, 2, 2), line("lidar", 7, 1, 1))
        await rig.tell("r1", *lines, standings=standings)
        return await audit(replace_fleet(rig, r1=GONE), ALL, START_US, NOW_US, NOW_US, site="edge")

    books = asyncio.run(told())
    assert [row.stream for row in books.rows] == ["lidar", "cam", "imu"]
    lidar, cam, imu = books.rows
    assert (lidar.arrived, dict(lidar.lost)) == (1, {"evicted": 3})
    assert (cam.arrived, cam.waiting, dict(cam.refused)) == (2, 1, {"507 disk full": 2})
    assert (imu.arrived, imu.waiting) == (2, 4)
    assert (books.exit_code, books.balanced) == (3, True)


def test_the_open_minute_is_listed_where_a_store_can_be_reached(rig: Rig) -> None:
    """Records that no page tells of yet count at both ends, and those on their way wait."""

    async def told() -> Books:
        times = [minute_of(NOW_US) + at for at in range(5)]
        await rig.write("r1", "imu", times[:4], "1")
        await rig.write("r1", "imu", times[4:])
        await rig.write("edge", "imu", times[:3], "1")
        return await rig.books()

    books = asyncio.run(told())
    edge = books.hops("r1")[0]
    assert (edge.recorded, edge.selected, edge.arrived, edge.waiting) == (5, 4, 3, 1)
    assert books.exit_code == 0


def test_a_clock_that_ran_ahead_hides_nothing_of_now(rig: Rig) -> None:
    """A page tells of tomorrow already: what is written now is listed all the same."""

    async def told() -> Books:
        await rig.tell("r1", line("imu", -1440, 3, 3))
        await rig.write("r1", "imu", [minute_of(NOW_US) + 1440 * MINUTE_US + at for at in range(3)], "1")
        await rig.write("r1", "imu", [minute_of(NOW_US) + at for at in range(4)], "1")
        return await audit(rig.fleet, Selector.parse("r1/imu"), START_US, NOW_US + 1500 * MINUTE_US, NOW_US)

    edge = asyncio.run(told()).hops("r1")[0]
    assert (edge.recorded, edge.selected, edge.waiting) == (7, 7, 7)


def test_a_minute_that_differs_is_listed_at_both_ends(rig: Rig) -> None:
    """What the source still holds waits; what is gone from a store whose ring never turned is unexplained."""

    async def told() -> Books:
        first_us = minute_of(NOW_US) - 9 * MINUTE_US
        await rig.write("r1", "imu", [first_us + at for at in (0, 1, 2, 3, 4)], "1")
        await rig.write("edge", "imu", [first_us + at for at in (0, 1, 2)], "1")
        await rig.tell("r1", line("imu", 9, 6, 6, 6))  # the sixth has vanished since
        await rig.tell("edge", line("imu", 9, 3, 3, 3))
        return await rig.books(Selector.parse("r1/imu"))

    books = asyncio.run(told())
    (row,) = [row for row in books.rows if row.hop == "edge"]
    assert (row.selected, row.arrived, row.waiting, row.unexplained) == (6, 3, 2, 1)
    assert books.exit_code == 3


def test_what_has_gone_from_both_ends_fails_the_checks(rig: Rig) -> None:
    """The pages alone would call it waiting; `doctor` lists and says what `audit` says."""

    async def told() -> list[Check]:
        first_us = minute_of(NOW_US) - 9 * MINUTE_US
        for place in ("r1", "edge"):
            await rig.write(place, "imu", [first_us + at for at in (0, 1, 2)], "1")
        await rig.tell("r1", line("imu", 9, 5, 5))
        await rig.tell("edge", line("imu", 9, 3, 3))
        return await checks.books(rig.fleet, "r1", lambda: NOW_US)

    (check,) = asyncio.run(told())
    assert (check.verdict, check.text) == ("FAIL", "2 records unexplained")


def test_rescued_records_have_arrived(rig: Rig) -> None:
    """What came through `kept` counts as arrived, by digest, or by the reconciler's word for it."""

    async def told() -> Books:
        one, two = line("imu", 9, 4, 4), line("cam", 8, 4, 4)
        kept = [replace(it, cls="kept", held=it.held - line(it.stream, at, 3).held) for it, at in ((one, 9), (two, 8))]
        kept[1] = replace(kept[1], held=line("cam", 8, 2).held)  # one of them had arrived by itself, too
        saved = Standing("edge", "sensor", "cam", two.minute_us, refused={"saved in kept": 1})
        await rig.tell("edge", line("imu", 9, 3, 3), line("cam", 8, 3, 3), *kept)
        await rig.tell("r1", one, two, *kept, standings=(saved,))
        return await rig.books(live=False)

    rows = {row.stream: row for row in asyncio.run(told()).rows if row.hop == "edge" and row.cls == "sensor"}
    for stream in ("imu", "cam"):
        assert (rows[stream].selected, rows[stream].arrived, rows[stream].waiting) == (4, 4, 0)
        assert rows[stream].refused == {}


def test_pages_are_read_behind_a_place_that_is_away(rig: Rig) -> None:
    """The robot is off: its pages are read at the edge, and it is named."""

    async def told() -> Books:
        await rig.tell("r1", line("imu", 9, 10, 6), at=["edge"])
        await rig.tell("edge", line("imu", 9, 6, 6))
        return await audit(replace_fleet(rig, r1=GONE, cloud=GONE), ALL, START_US, NOW_US, NOW_US)

    books = asyncio.run(told())
    assert {one.place for one in books.unreached} == {"r1", "cloud"}
    assert books.hops("r1")[0].arrived == 6


def test_what_is_further_on_has_passed(rig: Rig) -> None:
    """The edge is away with its pages: what the cloud proves to hold has arrived at the edge, too."""

    async def told() -> Books:
        await rig.tell("r1", line("imu", 9, 10, 6, 6), line("cam", 8, 5, 5, 2))
        await rig.tell("cloud", line("imu", 9, 6, 6, 6), line("cam", 8, 2, 2, 2))
        return await audit(replace_fleet(rig, edge=GONE), ALL, START_US, NOW_US, NOW_US)

    rows = {row.stream: row for row in asyncio.run(told()).rows if row.hop == "edge" and row.cls == "sensor"}
    assert (rows["imu"].selected, rows["imu"].arrived) == (6, 6)
    assert (rows["cam"].selected, rows["cam"].arrived, rows["cam"].waiting) == (5, 2, 3)


def test_when_nothing_answers_the_reason_is_raised(rig: Rig) -> None:
    """No place at all: out of reach, or a wrong token, never an empty balance."""
    away = replace_fleet(rig, r1=GONE, edge=GONE, cloud=GONE)
    with pytest.raises(Unreachable):
        asyncio.run(audit(away, ALL, START_US, NOW_US, NOW_US))
    fleet = replace_fleet(rig)
    for name in rig.servers:
        (fleet.source.parent / f"{name}.token").write_text("wrong")
    with pytest.raises(AccessDenied):
        asyncio.run(audit(fleet, Selector.parse("r1/imu"), START_US, NOW_US, NOW_US))


def test_many_robots_are_shared_out(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own close the same books, and name the same silent places."""
    monkeypatch.setattr(gathering, "ROBOTS_A_PROCESS", 1)

    async def told() -> list[Books]:
        await rig.tell("r1", line("imu", 9, 10, 6), at=["edge"])
        fleet = replace_fleet(rig, r1=GONE, cloud=GONE)
        text = fleet.source.read_text()
        fleet.source.write_text(text + '[[robots]]\nmatch = "r2"\nsite = "edge"\n')
        both = load_fleet(fleet.source)
        return [await audit(both, ALL, START_US, NOW_US, NOW_US, processes=number) for number in (1, 2)]

    alone, shared = asyncio.run(told())
    assert shared.rows == alone.rows
    assert shared.until_us == alone.until_us
    assert {one.place for one in shared.unreached} == {one.place for one in alone.unreached} == {"r1", "cloud"}


def test_an_unknown_robot_is_said(rig: Rig) -> None:
    """A name or a glob that no robot has, and a site its records do not pass, raise."""
    for text in ("r9/*", "x*/*"):
        with pytest.raises(NotFound):
            asyncio.run(rig.books(Selector.parse(text)))
    with pytest.raises(NotFound):
        asyncio.run(rig.books(site="nowhere"))


def test_a_stream_that_nobody_knows_is_said(rig: Rig) -> None:
    """A selector that chooses no stream raises, naming what is there; one whose records are of another day does not."""

    async def told() -> None:
        await rig.write("r1", "imu/raw", [START_US - 60 * MINUTE_US], "1")
        with pytest.raises(NotFound) as raised:
            await rig.books(Selector.parse("r1/imu/row"))
        assert "imu/raw" in (raised.value.next_step or "")
        assert (await rig.books(Selector.parse("r1/imu/raw"))).rows == ()
        await rig.tell("r1", line("gone", 9, 3))
        assert [row.stream for row in (await rig.books(Selector.parse("r1/gone"))).rows] == ["gone"]

    asyncio.run(told())


def test_drops_missing_and_holes_stand_beside(rig: Rig) -> None:
    """A hole that a drop names is dropped; one that nothing names is a gap, and no gap is forgiven."""
    session = "20260101t000000-abcd"
    spans = [Span(session, 0, 100, 100), Span(session, 110, 200, 90), Span(session, 205, 300, 95)]

    async def told() -> Books:
        lines = [line("imu", 9 - at, 3, missing=at, spans=(span,), rows=span.rows) for at, span in enumerate(spans)]
        drop = Drop("sensor", "imu", session, 100, 10, "spool full", minute_of(NOW_US) - 8 * MINUTE_US)
        await rig.tell("r1", *lines, drops=(drop,))
        return await rig.books(Selector.parse("r1/imu"), live=False)

    books = asyncio.run(told())
    (row,) = [row for row in books.rows if row.hop == "edge"]
    assert (dict(row.dropped), row.missing, row.gaps) == ({"spool full": 10}, 3, 5)
    assert books.exit_code == 3


def test_a_record_of_times_to_come_may_be_what_is_missing(rig: Rig) -> None:
    """No page tells of it before: neither the books nor the checks call its number a gap."""
    spans = [Span("20260101t000000-abcd", 0, 100, 100), Span("20260101t000000-abcd", 101, 200, 99)]

    async def told(ahead: bool) -> tuple[int, set[str]]:
        if ahead:
            await rig.write("r1", "imu", [NOW_US + 3_600_000_000])
        books, found = await rig.books(), await checks.books(rig.fleet, "r1", lambda: NOW_US)
        return sum(row.gaps for row in books.rows), {check.verdict for check in found}

    asyncio.run(rig.tell("r1", *(line("imu", 9 - at, 3, spans=(span,)) for at, span in enumerate(spans))))
    assert asyncio.run(told(ahead=False)) == (1, {"FAIL"})
    assert asyncio.run(told(ahead=True)) == (0, {"PASS"})


@pytest.fixture
def told(rig: Rig) -> Rig:
    """A fleet with one loss in it, in minutes that are long over."""

    async def tell() -> None:
        lost = Standing("edge", "sensor", "lidar", minute_of(NOW_US) - 7 * MINUTE_US, lost={"evicted": 3})
        await rig.tell("edge", line("imu", 9, 6, 6, 6), line("lidar", 7, 1, 1, 1))
        await rig.tell("cloud", line("imu", 9, 6, 6, 6), line("lidar", 7, 1, 1, 1))
        await rig.tell("r1", line("imu", 9, 10, 6, 6), line("lidar", 7, 4, 4, 4), standings=(lost,))

    asyncio.run(tell())
    return rig


def ask(rig: Rig, *words: str) -> tuple[int, str]:
    """Run `fleetbox audit` over the half hour and return its exit code and what it printed."""
    when = ["--start", str(START_US), "--stop", str(NOW_US)]
    found = CliRunner().invoke(root, ["audit", *words, *when, "--fleet", str(rig.fleet.source)], standalone_mode=False)
    if found.exception:
        raise found.exception
    return found.return_value, found.stdout


def test_the_answer_can_be_read_over_the_phone(told: Rig) -> None:
    """The balance comes first, in one line; then the worst streams and what to do."""
    code, text = ask(told)
    assert code == 3
    first, *rest = text.splitlines()
    assert first == (
        "r1: recorded 14 = 10 selected + 4 kept on robot; 7 arrived at edge; "
        "7 selected to go on, 7 arrived at cloud; LOST 3 (evicted)"
    )
    assert rest[1].split()[:3] == ["r1", "lidar", "edge"]
    assert any(line.startswith("next: lost: ") for line in rest)
    assert sum(line.startswith("ledger of ") for line in rest) == 3


def test_programs_get_every_term_as_an_integer(told: Rig) -> None:
    """One JSON object with a schema version, the terms of every row, and how far each ledger reaches."""
    code, text = ask(told, "r1/*", "--json")
    found = json.loads(text)
    assert (code, found["schema_version"], found["lost"], found["unexplained"]) == (3, 1, 3, 0)
    for row in found["rows"]:
        assert row["recorded"] == row["selected"] + row["kept_on_robot"]
        rest = sum(row["refused"].values()) + sum(row["lost"].values()) + row["waiting"] + row["unexplained"]
        assert row["selected"] == row["arrived"] + rest
    assert set(found["until_us"]["r1"]) == {"r1", "edge", "cloud"}


def test_a_time_without_length_is_said() -> None:
    """An empty range is blamed on the option that gave it."""
    for words, blamed in ((["--last", "0s"], "--last must"), (["--start", "2000000", "--stop", "1000000"], "--start")):
        found = CliRunner().invoke(root, ["audit", *words], standalone_mode=False)
        assert isinstance(found.exception, InputError)
        assert str(found.exception.message).startswith(blamed)


def test_one_tier_is_asked_alone(told: Rig) -> None:
    """With --tier only that place is read; what it cannot know is said to be unknown."""
    code, text = ask(told, "--tier", "edge")
    assert (code, "cloud" in text.splitlines()[0]) == (3, False)
    code, text = ask(told, "r1/imu", "--tier", "robot", "--all")
    assert code == 0
    assert "is not known here" in text
