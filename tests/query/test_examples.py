"""Every example in a public method's docstring runs."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fleetbox as fb
from fleetbox.blobs import BucketSpec, Store
from fleetbox.episode_books import drafts
from fleetbox.episodes import Episode, first, new_episode
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess
from fleetbox_query.aligning import Aligned
from fleetbox_query.episodes.chosen import Episodes
from fleetbox_query.fleet import Events, Fleet, connect
from fleetbox_query.selection import Selection

from .conftest import Tiers, blob, chunk, three_tiers
from .test_images import red

CLASSES = (Fleet, Events, Episodes, Selection, Aligned)
NOT_HERE = {"pull": "tests/edge_node/pulling", "lerobot": "tests/query/lerobot", "torch": "tests/query/lerobot"}


def examples() -> Iterator[tuple[str, str]]:
    """Every Example: block of the public classes and methods, by name."""
    found: dict[str, Any] = {cls.__name__: cls for cls in CLASSES}
    found |= {f"{cls.__name__}.{name}": getattr(cls, name) for cls in CLASSES for name in dir(cls) if name[0] != "_"}
    for name, thing in found.items():
        doc = getattr(thing, "__doc__", None) or ""
        if (match := re.search(r"\n *Example:\n(.*)", doc, re.DOTALL)) and not any(one in name for one in NOT_HERE):
            yield name, textwrap.dedent(match[1]).replace(".plot()", "")


def test_every_public_method_has_an_example() -> None:
    """What people call is shown in use, where it runs."""
    public = [(cls, name) for cls in CLASSES for name in dir(cls) if name[0] != "_" and callable(getattr(cls, name))]
    assert [
        f"{cls.__name__}.{name}" for cls, name in public if "Example:" not in (getattr(cls, name).__doc__ or "")
    ] == []


@pytest.fixture(scope="module")
def own_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StoreProcess]]:
    """Three stores that hold nothing else: examples ask for everything there is."""
    with three_tiers(tmp_path_factory) as made:
        yield made


@pytest.fixture
def recent(own_stores: dict[str, StoreProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet whose robot r1 has recorded the streams that the examples name, up to now."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # exports go where people stand; what a run before left there would be in the way
    tiers = Tiers(tmp_path, own_stores)
    path = tiers.write_fleet(tmp_path, ["r1"])
    fleet = connect(path)
    asked_us = fleet.session.now_us()
    monkeypatch.setattr(fleet.session, "now_us", lambda: asked_us)  # the last 10 s are these, however busy the machine
    now_us = asked_us - 5_000_000
    times = [now_us + n * 10_000 for n in range(100)]
    clocks: dict[str, Any] = {f"clocks__{name}_ns": [at * 1000 for at in times] for name in ("log", "header")}
    rows = [
        chunk(name, times, {"ax": [float(n) for n in range(100)]}, site="edge-1", **clocks)
        for name in ("imu", "joints")
    ]
    stamps = {f"{name}_ns": str(now_us * 1000) for name in ("log", "header")}
    picture = blob("cam/front", now_us, red(), kind="images", site="edge-1", **stamps)
    body = {"id": f"b{now_us}", "kind": "hard_brake", "robot": "r1", "time_us": now_us, "note": "pallet"}
    mark = json.dumps({**body, "start_us": now_us, "stop_us": now_us, "labels": {"severity": "high"}}).encode()
    drafts = {"sensor": rows, "media": [picture], "meta": [blob("events", now_us, mark, kind="event"), *views(now_us)]}
    asyncio.run(_fill(tiers, drafts))
    return fleet


def views(now_us: int) -> list[Draft]:
    """Three episodes of two tasks, over what was recorded."""
    told = (("picks/0001", "pick cup", True), ("picks/0002", "pick cup", False), ("place/0001", "place cup", True))
    made = [
        new_episode(
            Episode(
                f"id-{at}", name, "r1", ((now_us + at * 10_000, now_us + 2_000_000),), note=note, success=success,
                labels={"operator": "ann"},
            )
        )
        for at, (name, note, success) in enumerate(told)
    ]  # fmt: skip
    return list(drafts([first(one) for one in made], now_us))


async def _fill(tiers: Tiers, drafts: dict[str, list[Draft]]) -> None:
    process = tiers.stores["edge"]
    async with Store(process.url, process.token, name="edge") as store:
        for cls, some in drafts.items():
            await store.ensure_bucket(f"r1--{cls}", BucketSpec("NONE", 0))
            for entry in [one.name for one in await store.entries(f"r1--{cls}") if one.name.startswith("episodes")]:
                heads = store.query(f"r1--{cls}", (entry,), start_us=0, head=True)  # of an example before this one
                await store.delete(f"r1--{cls}", entry, [head.time_us async for head in heads])
            assert not (await store.write(f"r1--{cls}", some)).refused


@pytest.mark.parametrize(("name", "code"), list(examples()), ids=[name for name, _ in examples()])
def test_an_example_runs(recent: Fleet, name: str, code: str) -> None:
    """The code of a docstring runs as it stands."""
    with recent:
        exec(code, {"fleet": recent, "fb": fb, "print": lambda *_: None})
