"""A site's process: provisions itself, loads, survives kill -9, stops when told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import Store, TokenSpec
from fleetbox.errors import Unreachable
from fleetbox.naming import CLASSES
from fleetbox.settings import Influx, load_fleet
from fleetbox_cloud.site import Site
from fleetbox_cloud.status import ask_site
from fleetbox_cloud.tokens import robot_token
from fleetbox_local.ports import free_port

NOW_US = int(time.time()) * 1_000_000
ENDS_S = 60.0  # for a site that was told to end, on a busy machine
VERB = [sys.executable, "-c", "from fleetbox.cli.root import main; main()", "site"]


class Process:
    """`fleetbox site run` as a process of its own."""

    def __init__(self, fleet: Path, site: str) -> None:
        self.argv = [*VERB, "run", "--fleet", str(fleet), "--site", site]
        self.log = fleet.with_name(f"{site}.log")
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(self.argv, stderr=log, stdout=log)

    def end(self, sign: int) -> int:
        """Send a signal and return the exit code."""
        assert self.child is not None
        self.child.send_signal(sign)
        return self.child.wait(ENDS_S)


@pytest.fixture
def run_site() -> Iterator[Callable[[Path, str], Process]]:
    """Start site processes; none outlives its test."""
    made: list[Process] = []

    def start(fleet: Path, site: str) -> Process:
        process = Process(fleet, site)
        made.append(process)
        process.start()
        return process

    yield start
    for process in made:
        if process.child and process.child.poll() is None:
            process.end(signal.SIGKILL)


def write_fleet(folder: Path, stores: dict[str, Any], influx: Influx | None = None) -> Path:
    """Write a fleet of edge-1 (and cloud, if there is a store for it) with two robots."""
    lines = ['fleet = "test"', "[[robots]]", 'match = "r1"', 'site = "edge-1"']
    lines += ["[[robots]]", 'match = "r2"', 'site = "edge-1"']
    for name, store in stores.items():
        (folder / f"{name}.token").write_text(store.token)
        lines += [f"[site.{name}]", f'store = "{store.url}"', f'token = {{ file = "{name}.token" }}']
        lines += [f'state = "state/{name}"', f'relay = "http://127.0.0.1:{free_port()}"']
        if name == "edge-1" and "cloud" in stores:
            lines += ['next = "cloud"']
        lines += ['quota = { sensor = "1 GB", media = "1 GB", log = "1 GB", kept = "1 GB" }']
        if influx and name == "edge-1":
            (folder / "influx.token").write_text(influx.token)
            lines += [f"[site.{name}.influx]", f'url = "{influx.url}"', 'token = { file = "influx.token" }']
            lines += [f'org = "{influx.org}"', f'bucket = "{influx.bucket}"']
    path = folder / "fleet.toml"
    path.write_text("\n".join(lines))
    return path


async def report(folder: Path) -> dict[str, Any]:
    """Return a site's report, or nothing while it does not answer."""
    try:
        return await asyncio.to_thread(ask_site, folder)
    except Unreachable:
        return {}


@pytest.mark.slow
def test_killed_mid_flow_it_loses_nothing_and_counts_exactly(
    rig: Any, make_chunk: Any, wait_until: Any, run_site: Any, tmp_path: Path
) -> None:
    """Killed -9 five times while chunks stream in: in the end every value is there and each chunk counted once."""
    fleet = write_fleet(tmp_path, {"edge-1": rig.server}, rig.influx)
    rig.state = tmp_path / "state" / "edge-1"
    site = run_site(fleet, "edge-1")
    drafts = [
        make_chunk(f"s{stream}", [NOW_US + at * 50_000 + stream + row for row in range(40)], {"v": list(range(40))})
        for at in range(300)
        for stream in range(3)
    ]

    async def main() -> None:
        async def ready() -> bool:
            return bool((await report(rig.state)).get("loader", {}).get("running"))

        await wait_until(ready)
        for at in range(0, len(drafts), 90):
            await rig.write(drafts[at : at + 90])
            if at in (90, 180, 360, 540, 720):
                await asyncio.to_thread(site.end, signal.SIGKILL)
                await rig.write([make_chunk("dark", [NOW_US - at], {"v": [at]})])
                site.start()
        dark = [make_chunk("dark", [NOW_US - at], {"v": [at]}) for at in (90, 180, 360, 540, 720)]
        await wait_until(lambda: rig.holds(drafts + dark))
        await wait_until(counted)

    async def counted() -> bool:
        counts = (await report(rig.state)).get("loader", {}).get("robots", {}).get("r1", {})
        assert counts.get("chunks", 0) <= len(drafts) + 5, "a chunk was counted twice"
        return bool(counts == {"chunks": 905, "points": 900 * 40 + 5, "values": 900 * 40 + 5})

    asyncio.run(main())
    shown = subprocess.run([*VERB, "status", "--fleet", str(fleet)], capture_output=True, text=True, check=True).stdout
    assert "36 005" in shown, "the books are shown to people too"
    hours = asyncio.run(report(rig.state))["loader"]["checks"]["last_hour"]
    assert all(row["rows"] == row["points"] and not row["short"] for row in hours)
    assert site.end(signal.SIGTERM) == 0


def test_a_site_provisions_itself_and_passes_records_on(
    new_store_server: Any, make_chunk: Any, wait_until: Any, run_site: Any, tmp_path: Path
) -> None:
    """With nothing prepared, an edge site and the cloud make buckets, tokens and tasks, and selected records travel."""
    stores = {"edge-1": new_store_server(), "cloud": new_store_server()}
    fleet = write_fleet(tmp_path, stores)
    sites = [run_site(fleet, name) for name in stores]

    async def main() -> None:
        async with (
            Store(stores["edge-1"].url, stores["edge-1"].token) as edge,
            Store(stores["cloud"].url, stores["cloud"].token) as cloud,
        ):

            async def ready() -> bool:
                parts = (await report(tmp_path / "state" / "edge-1")).get("parts", {})
                tasks = await edge.tasks()
                return len(tasks) == 2 * len(CLASSES) and all(part["state"] != "waiting" for part in parts.values())

            await wait_until(ready)
            await wait_until(lambda: _has(cloud, "r2--kept"))
            chosen = make_chunk("imu", [NOW_US], {"v": [1.0]}, {"keep": "1", "policy": "0" * 8})
            stays = make_chunk("imu", [NOW_US + 1], {"v": [1.0]}, {"keep": "edge", "policy": "0" * 8})
            await edge.write("r1--sensor", [chosen, stays])

            async def arrived() -> bool:
                return [head.time_us async for head in cloud.query("r1--sensor", head=True)] == [NOW_US]

            await wait_until(arrived)

    asyncio.run(main())
    token = tmp_path / "state" / "edge-1" / "tokens" / "r1.token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state" / "cloud" / "tokens" / "edge-1.token").exists()
    assert [site.end(signal.SIGINT) for site in sites] == [0, 0]


def test_a_deleted_bucket_is_made_again_and_no_token_is_touched(
    new_store_server: Any, wait_until: Any, tmp_path: Path
) -> None:
    """A running site makes again what is deleted, by itself: a bucket, then all of a robot's with its token.

    A token whose rights somebody changed is left alone.
    """
    server = new_store_server()
    fleet = load_fleet(write_fleet(tmp_path, {"edge-1": server}))
    file = tmp_path / "state" / "edge-1" / "tokens" / "r1.token"

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(Site(fleet, fleet.site_place("edge-1"), buckets_every_s=0.1).run(stop))
        async with Store(server.url, server.token) as store:
            everything = {f"{robot}--{cls}" for robot in ("r1", "r2") for cls in (*CLASSES, "desk")} | {"desk"}

            async def whole() -> bool:
                return set(await store.buckets()) == everything and file.exists()

            await wait_until(whole)
            first = file.read_text()
            changed = TokenSpec("r2", ("r2--*",), ())
            await store.ensure_token(changed)
            await store.remove_bucket("r1--sensor")
            await wait_until(whole)
            assert file.read_text() == first
            await store.remove_token("r1")
            for cls in (*CLASSES, "desk"):
                await store.remove_bucket(f"r1--{cls}")
            await wait_until(whole)
            await wait_until(lambda: asyncio.sleep(0, file.read_text() != first))
            async with Store(server.url, file.read_text()) as robot:
                assert await robot.whoami() == robot_token("r1")
            assert await store.ensure_token(changed) is None, "nobody changed it back"
        stop.set()
        await running

    asyncio.run(main())


def test_after_a_new_store_token_records_still_travel(
    new_store_server: Any, make_chunk: Any, wait_until: Any, run_site: Any, tmp_path: Path
) -> None:
    """A site started again with another token of its store writes its tasks anew: they show the relay its secret."""
    stores = {"edge-1": new_store_server(), "cloud": new_store_server()}
    fleet = write_fleet(tmp_path, stores)
    site = run_site(fleet, "edge-1")
    run_site(fleet, "cloud")

    async def main() -> None:
        async with (
            Store(stores["edge-1"].url, stores["edge-1"].token) as edge,
            Store(stores["cloud"].url, stores["cloud"].token) as cloud,
        ):

            async def travels(time_us: int) -> None:
                chosen = make_chunk("imu", [time_us], {"v": [1.0]}, {"keep": "1", "policy": "0" * 8})
                await edge.write("r1--sensor", [chosen])

                async def arrived() -> bool:
                    return time_us in [head.time_us async for head in cloud.query("r1--sensor", head=True)]

                await wait_until(arrived)

            await wait_until(lambda: _tasks(edge))
            await wait_until(lambda: _has(cloud, "r1--sensor"))
            await travels(NOW_US)
            value = await edge.ensure_token(TokenSpec("admin-2", full=True))
            await asyncio.to_thread(site.end, signal.SIGTERM)
            await asyncio.to_thread((tmp_path / "edge-1.token").write_text, value)
            site.start()
            await travels(NOW_US + 1)

    asyncio.run(main())


def test_a_new_store_token_is_followed_while_it_runs(
    new_store_server: Any, influx: Influx, make_chunk: Any, wait_until: Any, run_site: Any, tmp_path: Path
) -> None:
    """With its token replaced and the old one revoked, a running site goes on relaying and loading by itself."""
    stores = {"edge-1": new_store_server(), "cloud": new_store_server()}
    fleet = write_fleet(tmp_path, stores, influx)
    file, folder = tmp_path / "edge-1.token", tmp_path / "state" / "edge-1"

    async def parts() -> Any:
        return (await report(folder)).get("parts", {})

    async def main() -> None:
        async with (
            Store(stores["edge-1"].url, stores["edge-1"].token) as edge,
            Store(stores["cloud"].url, stores["cloud"].token) as cloud,
        ):
            await asyncio.to_thread(file.write_text, str(await edge.ensure_token(TokenSpec("one", full=True))))
            run_site(fleet, "edge-1")
            run_site(fleet, "cloud")

            async def travels(time_us: int) -> None:
                chosen = make_chunk("imu", [time_us], {"v": [1.0]}, {"keep": "1", "policy": "0" * 8})
                before = ((await report(folder)).get("loader") or {}).get("robots", {}).get("r1", {}).get("chunks", 0)
                await edge.write("r1--sensor", [chosen])

                async def arrived() -> bool:
                    loader = (await report(folder)).get("loader") or {}
                    loaded = loader.get("robots", {}).get("r1", {}).get("chunks", 0) > before
                    return loaded and time_us in [head.time_us async for head in cloud.query("r1--sensor", head=True)]

                await wait_until(arrived)

            await wait_until(lambda: _has(cloud, "r1--sensor"))
            await wait_until(lambda: _has(edge, "r1--sensor"))
            await wait_until(lambda: _ships(edge, "r1--sensor"))
            await travels(NOW_US)
            mark = (folder / "tasks.mark").read_text()
            value = await edge.ensure_token(TokenSpec("two", full=True))
            await asyncio.to_thread(file.write_text, str(value))
            await wait_until(lambda: asyncio.sleep(0, (folder / "tasks.mark").read_text() not in ("", mark)))
            await edge.remove_token("one")
            await travels(NOW_US + 1)

            async def running() -> bool:  # a part that the old token ended begins anew by itself
                found = await parts()
                return all(found.get(part, {}).get("state") == "running" for part in ("relay", "loader"))

            await wait_until(running)

    asyncio.run(main())


async def _tasks(store: Store) -> bool:
    return len(await store.tasks()) == 2 * len(CLASSES)


async def _ships(store: Store, bucket: str) -> bool:
    """Tell whether a bucket's tasks stand, onward and to the loader: what comes before them waits for a look."""
    return len([task for task in await store.tasks() if task.spec.src_bucket == bucket]) == 2


async def _has(store: Store, bucket: str) -> bool:
    return bucket in await store.buckets()


def test_a_part_that_cannot_run_is_named(
    new_store_server: Any, influx: Influx, run_site: Any, wait_until: Any, tmp_path: Path
) -> None:
    """With no InfluxDB behind the settings the site runs on, and its report says which part waits and why."""
    nowhere = Influx(f"http://127.0.0.1:{free_port()}", "token", influx.org, influx.bucket)
    fleet = write_fleet(tmp_path, {"edge-1": new_store_server()}, nowhere)  # robots there are not of this test alone
    run_site(fleet, "edge-1")
    argv = [*VERB, "status", "--fleet", str(fleet), "--site", "edge-1", "--json"]
    found: dict[str, Any] = {}

    async def waits() -> bool:  # between two tries: during one it runs, for all that anybody knows
        answer = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=False)
        found.update(json.loads(answer.stdout) if answer.returncode == 0 else {})
        return bool(found.get("parts", {}).get("loader", {}).get("state") == "waiting")

    asyncio.run(wait_until(waits))
    assert found["schema_version"] == 1
    assert nowhere.url in found["parts"]["loader"]["why"]
    assert nowhere.url in found["loader"]["trouble"]


def test_status_without_a_process_is_unreachable(store_server: Any, tmp_path: Path) -> None:
    """Asking a site that does not run exits 4 and names the command that starts it."""
    fleet = write_fleet(tmp_path, {"edge-1": store_server})
    argv = [*VERB, "status", "--fleet", str(fleet)]
    answer = subprocess.run(argv, capture_output=True, text=True, env=dict(os.environ))
    assert answer.returncode == 4
    assert "fleetbox site run" in answer.stderr
