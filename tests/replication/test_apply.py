"""Plan, apply and status against real stores, by function and by verb."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fleetbox import naming
from fleetbox.blobs import Store, TaskSpec
from fleetbox.cli.root import root
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_replication.apply import apply_fleet, plan_fleet, sources
from fleetbox_replication.checks import hops
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.status import status_of
from fleetbox_replication.tasks import is_ours
from tests.conftest import StoreServer
from tests.replication.conftest import Robot

CLASSES = len(naming.CLASSES)
PATIENT_S = 60.0  # on a busy machine the stores that run must answer in it
Fleet = Callable[..., FleetSettings]


@pytest.fixture
def stores(new_store_server: Callable[..., StoreServer]) -> tuple[StoreServer, StoreServer]:
    """A robot's store and a site's."""
    return new_store_server(), new_store_server()


@pytest.fixture
def fleet_of(tmp_path: Path) -> Callable[[StoreServer, StoreServer, str], FleetSettings]:
    """Write a fleet of one robot whose edge site and cloud share a store, as a fleet.toml on disk."""

    def write(robot: StoreServer, site: StoreServer, policy: str = "") -> FleetSettings:
        (tmp_path / "robot.token").write_text(robot.token)
        (tmp_path / "site.token").write_text(site.token)
        (tmp_path / "policy.toml").write_text(policy)
        (tmp_path / "fleet.toml").write_text(f"""
policy = "policy.toml"
[[robots]]
match = "r1"
site  = "edge-1"
store = "{robot.url}"
token = {{ file = "robot.token" }}
relay = "http://127.0.0.1:9"
[[robots]]
match = "wild-*"
site  = "edge-1"
[site.edge-1]
store = "{site.url}"
token = {{ file = "site.token" }}
next  = "cloud"
relay = "http://127.0.0.1:9"
[site.cloud]
store = "{site.url}"
token = {{ file = "site.token" }}
""")
        return load_fleet(tmp_path / "fleet.toml")

    return write


async def _provision(robot: StoreServer, site: StoreServer) -> None:
    async with Store(robot.url, robot.token) as own, Store(site.url, site.token) as there:
        await Robot(own, own=True).provision()
        await Robot(there, name="r1").provision()


def _run(path: Path, *args: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(root, ["replicate", *args, "--fleet", str(path), "--json"], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def test_a_second_apply_changes_nothing(stores: tuple[StoreServer, StoreServer], fleet_of: Fleet) -> None:
    """The first apply makes every task of robot and edge, the second finds them as wanted."""
    robot, site = stores
    asyncio.run(_provision(robot, site))
    path = fleet_of(robot, site, '[hop.cloud]\nskip = ["cam/**"]').source
    code, planned = _run(path, "plan")
    assert (code, [row["action"] for row in planned["tasks"]]) == (0, ["create"] * 2 * CLASSES)
    code, first = _run(path, "apply")
    assert (code, first["changed"]) == (0, 2 * CLASSES)
    code, second = _run(path, "apply")
    assert (code, second["changed"]) == (0, 0)
    assert {row["outcome"] for row in second["tasks"]} == {"kept"}
    code, renewed = _run(path, "apply", "--renew")
    assert (code, renewed["changed"]) == (0, 2 * CLASSES)


def test_drift_is_found_and_undone(stores: tuple[StoreServer, StoreServer], fleet_of: Fleet) -> None:
    """A changed task is updated with what differs named; a paused one stays paused; others' tasks are not ours."""
    robot, site = stores
    asyncio.run(_provision(robot, site))
    fleet = fleet_of(robot, site)

    async def scenario() -> None:
        await apply_fleet(fleet, sources(fleet))
        async with Store(robot.url, robot.token) as store:
            task = await store.task("media-to-edge-1")
            assert task is not None
            foreign = TaskSpec("backup-to-nas", "media", "nas", "http://127.0.0.1:9", "x")
            await store.put_task(foreign)
            other = {"$has": "keep", "&keep": {"$eq": 1}}
            await store.put_task(
                TaskSpec("media-to-edge-1", "media", "r1--media", "http://127.0.0.1:8", "", ("*",), other)
            )
            (plan, _) = await plan_fleet(fleet, sources(fleet))
            changes = {change.task: (change.action, change.differs) for change in plan.changes}
            assert changes["media-to-edge-1"] == ("update", ("dst_url", "when"))
            assert "backup-to-nas" not in changes
            assert sum(action == "keep" for action, _ in changes.values()) == CLASSES - 1
            report = await apply_fleet(fleet, sources(fleet))
            assert (report.changed, report.exit_code) == (1, 0)
            mended = await store.task("media-to-edge-1")
            assert mended is not None
            assert mended.spec == task.spec
            assert relay_secret(robot.token) not in repr(plan)

    asyncio.run(scenario())


def test_tasks_no_longer_wanted_wait_for_a_yes(stores: tuple[StoreServer, StoreServer], fleet_of: Fleet) -> None:
    """Removing a task drops what waits in it, so it needs --yes; without, the rest is done and the exit code is 3."""
    robot, site = stores
    asyncio.run(_provision(robot, site))
    path = fleet_of(robot, site).source
    assert _run(path, "apply")[0] == 0
    text = path.read_text()
    path.write_text(text[: text.index("[[robots]]")] + text[text.rindex("[[robots]]") :])
    code, held = _run(path, "apply")
    removals = [row for row in held["tasks"] if row["action"] == "remove"]
    assert (code, {row["outcome"] for row in removals}, len(removals)) == (3, {"held back"}, CLASSES)
    assert _run(path, "apply", "--yes")[0] == 0

    async def left() -> list[str]:
        async with Store(site.url, site.token) as store:
            return [task.spec.name for task in await store.tasks() if is_ours(task.spec) and "r1" in task.spec.name]

    assert asyncio.run(left()) == []


def test_robots_behind_a_glob_get_their_tasks_where_their_records_are(
    stores: tuple[StoreServer, StoreServer], fleet_of: Fleet
) -> None:
    """A robot that no file names is passed on once its buckets are at the edge, a stranger's never."""
    robot, site = stores
    asyncio.run(_provision(robot, site))
    fleet = fleet_of(robot, site)

    async def scenario() -> None:
        async with Store(site.url, site.token) as store:
            await Robot(store, name="wild-7").provision()
            await Robot(store, name="stranger").provision()
        (plan,) = await plan_fleet(fleet, [fleet.site_place("edge-1")])
        assert {change.task.split("--")[0] for change in plan.changes} == {"r1", "wild-7"}

    asyncio.run(scenario())


def test_a_missing_bucket_names_the_next_command(stores: tuple[StoreServer, StoreServer], fleet_of: Fleet) -> None:
    """A source without its bucket fails; a destination without its bucket makes the task wait, and both say so."""
    robot, site = stores
    path = fleet_of(robot, site).source
    code, report = _run(path, "apply", "--tier", "robot")
    assert code == 1
    assert {row["outcome"] for row in report["tasks"]} == {"failed"}

    async def own_buckets() -> None:
        async with Store(robot.url, robot.token) as store:
            await Robot(store, own=True).provision()

    asyncio.run(own_buckets())
    code, report = _run(path, "apply", "--tier", "robot")
    assert (code, report["changed"]) == (3, CLASSES)
    assert {row["next_step"] for row in report["tasks"]} == {"fleetbox site provision --site edge-1"}


def test_what_cannot_be_reached_is_named(stores: tuple[StoreServer, StoreServer], fleet_of: Fleet) -> None:
    """One place away: the other is done and the exit code is 3; every place away: 4; a wrong token: 5."""
    robot, site = stores
    asyncio.run(_provision(robot, site))
    path = fleet_of(robot, site).source
    assert _run(path, "apply", "--tier", "edge")[0] == 0
    robot.kill()
    code, report = _run(path, "apply")
    assert (code, list(report["unreachable"])) == (3, ["r1"])
    assert _run(path, "plan")[0] == 3
    assert _run(path, "status")[0] == 3
    site.kill()
    assert _run(path, "apply")[0] == 4
    site.start()
    (path.parent / "site.token").write_text("wrong")
    assert _run(path, "plan", "--site", "edge-1", "--tier", "edge")[0] == 5


def test_status_measures_both_ends(
    stores: tuple[StoreServer, StoreServer], fleet_of: Fleet, now_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no relay running the selected records wait: counted, aged, and never called delivered."""
    for module in ("status", "checks"):
        monkeypatch.setattr(f"fleetbox_replication.{module}.LIMIT_S", PATIENT_S)
    robot, site = stores
    asyncio.run(_provision(robot, site))
    fleet = fleet_of(robot, site)

    async def scenario() -> None:
        await apply_fleet(fleet, sources(fleet))
        async with Store(robot.url, robot.token) as own, Store(site.url, site.token) as there:
            source = Robot(own, name="r1", own=True)
            arrived = Robot(there, name="r1")
            times = [now_us - n * 1_000_000 for n in (60, 40, 20)]
            await source.write("log", "notes", times, keep="1")
            await source.write("log", "unselected", times)
            await arrived.write("log", "notes", times[:1], keep="1")
        checks = {(check.name, check.subject): check for check in await hops(fleet, "r1")}
        assert checks["relay", "r1"].verdict == "FAIL"
        assert (checks["hop", "r1"].verdict, checks["hop", "edge-1"].verdict) == ("WARN", "PASS")

    asyncio.run(scenario())
    code, answer = _run(fleet.source, "status")
    (row,) = [row for row in answer["hops"] if row["task"] == "log-to-edge-1"]
    assert (code, row["waiting"], row["furthest_behind"]) == (0, 2, "notes")
    assert 39 < row["lag_s"] < 41 + time.time() - now_us / 1e6
    assert "error" in answer["relays"]["r1"]
    text = CliRunner().invoke(root, ["replicate", "status", "--fleet", str(fleet.source)], catch_exceptions=False)
    assert "the engine's own words" in text.stderr
    for row in answer["hops"]:
        assert "token" not in json.dumps(row)


def test_a_site_uses_its_own_token_for_the_next(
    stores: tuple[StoreServer, StoreServer], fleet_of: Fleet, tmp_path: Path
) -> None:
    """Where the next site's own token is not known here, `next_token` is enough to find its buckets and measure lag."""
    robot, site = stores
    asyncio.run(_provision(robot, site))
    path = fleet_of(robot, site).source
    before, mark, cloud = path.read_text().partition("[site.cloud]")
    (tmp_path / "next.token").write_text(site.token)
    cloud = cloud.replace("site.token", "elsewhere.token")
    path.write_text(f'{before}next_token = {{ file = "next.token" }}\n{mark}{cloud}')
    fleet = load_fleet(path)
    edge = fleet.site_place("edge-1")

    report = asyncio.run(apply_fleet(fleet, [edge]))
    assert [item.error for item in report.done] == [None] * CLASSES
    (standing,) = asyncio.run(status_of(fleet, [edge], 0, PATIENT_S))
    assert [hop.error for hop in standing.hops] == [None] * CLASSES
