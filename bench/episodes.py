"""Make, find, split and merge 10,000 episodes: seconds, and the bytes of data that it rewrote."""

from __future__ import annotations

import asyncio
from typing import Any

import xxhash

from bench.serving import serving
from bench.timing import timed
from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.episodes import Episode
from fleetbox.naming import site_bucket
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess
from fleetbox_query.episodes.making import make_episodes
from fleetbox_query.fleet import Fleet, connect

EPISODES = 10_000
ROBOTS = 10
APART_US, LENGTH_US = 10_000_000, 8_000_000
RECORDS = 200  # a robot; the views share them, for nothing is read of them
T0_US = 1_760_054_400_000_000

Row = dict[str, Any]


def run() -> list[Row]:
    """Return the rows of the benchmark."""
    with serving() as served:
        asyncio.run(_fill(served.store))
        with connect(served.fleet()) as fleet:
            return _measure(fleet, served.store)


def _measure(fleet: Fleet, server: StoreProcess) -> list[Row]:
    before = asyncio.run(_data(server))
    made_s, _ = timed(lambda: make_episodes(fleet.session, [_wish(at) for at in range(EPISODES)]))
    mine = fleet.episodes("picks/*")
    found_s, found = timed(mine.list)
    split_s, parts = timed(lambda: mine.split({"train": 0.8, "val": 0.1, "test": 0.1}))
    merge_s, merged = timed(lambda: parts["train"].merge("all", parts["val"], parts["test"]))
    label_s, _ = timed(lambda: mine.label(checked=True))
    drop_s, _ = timed(mine.drop)
    counts = [len(parts[name]) for name in parts], len(merged)
    if (len(found), counts) != (EPISODES, ([8_000, 1_000, 1_000], EPISODES)):
        raise AssertionError(f"{len(found)} found, {counts} made")
    rewritten = _differ(before, asyncio.run(_data(server)))
    of = f"{EPISODES:,} episodes of {ROBOTS} robots"
    return [
        _row(f"{of}: made", made_s, "s"),
        _row(f"{of}: found and read", found_s, "s"),
        _row(f"{of}: split 80/10/10", split_s, "s"),
        _row(f"{of}: three parts merged", merge_s, "s"),
        _row(f"{of}: labelled", label_s, "s"),
        _row(f"{of}: dropped", drop_s, "s"),
        _row("bytes of data written, moved or removed by all of that", rewritten, "bytes", "0"),
        _row(f"bytes of `meta` an episode, for {EPISODES * 3:,} of them", _meta(server) / (EPISODES * 3), "bytes"),
    ]


def _wish(at: int) -> Episode:
    start = T0_US + (at // ROBOTS) * APART_US
    return Episode(
        "", f"picks/{at:06d}", f"r{at % ROBOTS}", ((start, start + LENGTH_US),), ("cam/*", "joints"), "pick the cup",
        at % 5 > 0, {"operator": f"op{at % 7}"}, fps=30.0, robot_type="arm",
    )  # fmt: skip


def _row(name: str, value: float, unit: str, goal: str | None = None) -> Row:
    return {"name": name, "value": value, "unit": unit, "raw": None, "ratio": None, "goal": goal}


async def _fill(server: StoreProcess) -> None:
    async with Store(server.url, server.token) as store:
        for number in range(ROBOTS):
            robot = f"r{number}"
            for cls in ("sensor", "meta"):
                await store.ensure_bucket(site_bucket(robot, cls), bucket_spec(cls))
            drafts = [_draft(robot, T0_US + at * APART_US) for at in range(RECORDS)]
            report = await store.write(site_bucket(robot, "sensor"), drafts)
            assert not report.refused


def _draft(robot: str, time_us: int) -> Draft:
    data = chunks.encode([time_us], {"position": [[0.0] * 7]})
    labels = {"robot": robot, "type": "time_series", "rows": "1", "t_end": str(time_us)}
    labels["xxh"] = xxhash.xxh3_64_hexdigest(data)
    return Draft("joints", time_us, data, labels, chunks.CONTENT_TYPE)


async def _data(server: StoreProcess) -> dict[tuple[str, str, int], tuple[int, str]]:
    """Return size and hash of every record outside `meta`, by where it stands."""
    found = {}
    async with Store(server.url, server.token) as store:
        for bucket in await store.buckets():
            if bucket.endswith("--meta") or "--" not in bucket:
                continue
            async for head in store.query(bucket, ("*",), start_us=0, head=True):
                found[bucket, head.entry, head.time_us] = head.size, repr(sorted(head.labels.items()))
    return found


def _differ(
    before: dict[tuple[str, str, int], tuple[int, str]], after: dict[tuple[str, str, int], tuple[int, str]]
) -> int:
    keys = before.keys() | after.keys()
    changed = [key for key in keys if before.get(key) != after.get(key)]
    return sum((after.get(key) or before[key])[0] for key in changed)


def _meta(server: StoreProcess) -> int:
    async def ask() -> int:
        async with Store(server.url, server.token) as store:
            return sum(size for name, size in (await store.bucket_sizes()).items() if name.endswith("--meta"))

    return asyncio.run(ask())
