"""The verdict on what a robot delivers, read from its own ledger or from the edge's copy of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.checks import Check
from fleetbox.ledger import MINUTE_US, Count, Line, Page, minute_of, write_page
from fleetbox.settings import load_fleet
from fleetbox_replication import expect_checks
from fleetbox_replication.expect_checks import Deliveries, expect, judge
from tests.conftest import StoreServer

NOW_US = minute_of(1_790_000_000_000_000) + 30_000_000
POLICY = '[stream."cam/front"]\nexpect = "30 Hz"\n[stream."imu"]\nexpect = "100 Hz"\n'


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer than people do: on a busy machine the stores that run must answer in time."""
    monkeypatch.setattr(expect_checks, "ANSWER_S", 60.0)


def shares(**found: float) -> Deliveries:
    """Return deliveries of some streams among 30 others; one with a share below zero never was."""
    names = {name.replace("__", "/"): share for name, share in found.items()}
    there = {name: share for name, share in names.items() if share >= 0}
    others = {f"s{n}" for n in range(30)}
    return Deliveries(there, frozenset(others | there.keys()), frozenset(names), "r1")


@pytest.mark.parametrize(
    ("found", "verdict", "phrase"),
    [
        (shares(cam__front=0.99, imu=0.9), "PASS", None),
        (shares(cam__front=0.89, imu=1.0), "FAIL", "31 of 32 streams, cam/front at 89%"),
        (shares(cam__front=-1, imu=1.0), "FAIL", "31 of 32 streams, cam/front missing"),
        (shares(cam__front=0.0, imu=-1), "FAIL", "30 of 32 streams, cam/front at 0%, imu missing"),
    ],
)
def test_below_nine_tenths_fails(found: Deliveries, verdict: str, phrase: str | None) -> None:
    """The phrase says how many deliver and names the worst; a failure says what to do."""
    check = judge("r1", found)
    assert (check.verdict, check.phrase) == (verdict, phrase)
    assert bool(check.next_step) == (verdict == "FAIL")


def test_many_short_streams_are_counted_not_listed() -> None:
    """Three are named, the rest is a number."""
    assert "and 4 more" in (judge("r1", shares(**{f"c{n}": 0.1 for n in range(7)})).phrase or "")


def _fleet(folder: Path, robot: StoreServer | None, edge: StoreServer, policy: str = POLICY) -> Path:
    (folder / "policy.toml").write_text(policy)
    (folder / "edge.token").write_text(edge.token)
    own = ""
    if robot is not None:
        (folder / "robot.token").write_text(robot.token)
        own = f'store = "{robot.url}"\ntoken = {{ file = "robot.token" }}\n'
    (folder / "fleet.toml").write_text(
        f'policy = "policy.toml"\n[[robots]]\nmatch = "r1"\nsite = "edge"\n{own}'
        f'[site.edge]\nstore = "{edge.url}"\ntoken = {{ file = "edge.token" }}\n'
    )
    return folder / "fleet.toml"


def _page(missing: int, ago_us: int = 0) -> Page:
    """Return a page of three minutes in which a camera misses frames."""
    lines = [
        Line("media", "cam/front", minute_of(NOW_US - ago_us) - n * MINUTE_US, Count(1800 - missing, 9, 9), Count(),
             Count(), 1800 - missing, NOW_US, NOW_US, missing=missing)
        for n in (2, 3, 4)
    ]  # fmt: skip
    lines += [Line("sensor", "imu", line.minute_us, Count(12, 9, 9), Count(), Count(), 6000, 1, 1) for line in lines]
    return Page("r1", "r1", NOW_US - ago_us - 10, tuple(lines))


async def _write(server: StoreServer, bucket: str, page: Page) -> None:
    async with Store(server.url, server.token) as store:
        await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
        await write_page(store, bucket, page)


def _checked(path: Path) -> list[Check]:
    return asyncio.run(expect(load_fleet(path), None, lambda: NOW_US))


def test_the_robots_own_ledger_is_asked_and_else_the_edges_copy(
    new_store_server: Callable[..., StoreServer], tmp_path: Path
) -> None:
    """With the robot's store reachable its pages speak; when it is away, those that reached the edge do."""
    robot, edge = new_store_server(), new_store_server()
    asyncio.run(_write(robot, "meta", _page(0)))
    asyncio.run(_write(edge, "r1--meta", _page(900)))
    path = _fleet(tmp_path, robot, edge)
    assert [(check.verdict, check.subject) for check in _checked(path)] == [("PASS", "r1")]
    robot.kill()
    (check,) = _checked(path)
    assert (check.verdict, check.phrase) == ("FAIL", "1 of 2 streams, cam/front at 50%")
    (check,) = _checked(_fleet(tmp_path, None, edge))
    assert check.verdict == "FAIL"


def test_old_pages_and_none_are_a_warning(new_store_server: Callable[..., StoreServer], tmp_path: Path) -> None:
    """What nobody has told of lately is neither in order nor a fault; without an expectation nothing is said."""
    edge = new_store_server()
    path = _fleet(tmp_path, None, edge)
    assert [check.phrase for check in _checked(path)] == ["deliveries unknown"]
    asyncio.run(_write(edge, "r1--meta", _page(900, 6 * MINUTE_US)))
    assert [check.verdict for check in _checked(path)] == ["WARN"]
    assert _checked(_fleet(tmp_path, None, edge, '[stream."**"]\nship = "event"\n')) == []


def test_robots_behind_a_glob_are_found_at_their_site(
    new_store_server: Callable[..., StoreServer], tmp_path: Path
) -> None:
    """A rule that names no robot is filled from the buckets that have come."""
    edge = new_store_server()
    asyncio.run(_write(edge, "r1--meta", _page(0)))
    path = _fleet(tmp_path, None, edge)
    path.write_text(path.read_text().replace('match = "r1"', 'match = "r*"'))
    checks = _checked(path)
    assert [check.subject for check in checks] == ["r1"]
