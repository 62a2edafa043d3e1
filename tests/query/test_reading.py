"""Reading: bounded memory, stretches that turn out larger than expected, records that go while being read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft
from fleetbox_query import reading, slices
from fleetbox_query.fleet import Fleet
from fleetbox_query.provenance import PartialAnswer

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stretches small, so that a little data takes many of them."""
    monkeypatch.setattr(slices, "MOST_BYTES", 40_000)
    monkeypatch.setattr(slices.Progress.__init__, "__defaults__", (10_000,))
    monkeypatch.setattr(reading, "CAP_BYTES", 100_000)


@pytest.mark.usefixtures("small")
def test_many_stretches_give_every_item_once_and_in_order(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Chunks, blobs and a burst far denser than the average come whole, once and in order of time."""
    ticks = [chunk(stream, [T0 + (s * 10 + n) * SECOND for n in range(10)], {"n": list(range(10))}) for s in range(60)]
    burst = [blob(f"{stream}/cam", T0 + 300 * SECOND + n, bytes([n % 256]) * 5_000) for n in range(100)]
    late = [blob(f"{stream}/cam", T0 + 86_400 * SECOND * (1 + n), b"late" * 10) for n in range(3)]
    tiers.put("edge", "sensor", ticks)
    tiers.put("edge", "media", [*burst, *late])
    items = list(fleet.select(f"{tiers.robot}/{stream}/**").records())
    times = [item.time_us for item in items]
    assert times == sorted(times)
    assert len(times) == 600 + 100 + 3
    assert len({(item.stream, item.time_us) for item in items}) == len(items)


@pytest.mark.usefixtures("small")
def test_no_stretch_holds_more_than_its_cap(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """What is held at once stays near the cap although all of it lies in one burst."""
    tiers.put("edge", "media", [blob(stream, T0 + n, bytes([n % 256]) * 5_000) for n in range(400)])
    tiers.put("edge", "media", [blob(stream, T0 + 86_400 * SECOND, b"far")])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    found = selection._reading()
    held, count = [], 0
    while (stretch := fleet.session.run(found.next())) is not None:
        held.append(sum(piece.record.size for piece in stretch[0]))
        count += len(stretch[0])
    assert count == 401
    assert max(held) <= 100_000 + 5_000


def test_an_iterator_left_early_stops_reading(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Closing an iterator cancels what it reads ahead, and the fleet can be asked again."""
    tiers.put("edge", "log", [blob(stream, T0 + n, b"line", kind="log") for n in range(50)])
    records = fleet.select(f"{tiers.robot}/{stream}").records()
    assert next(records).value == "line"
    records.close()
    assert fleet.select(f"{tiers.robot}/{stream}").count().rows == 50


@pytest.mark.usefixtures("small")
def test_what_a_ring_overwrites_meanwhile_is_named(
    tmp_path: Path, new_store_server: Callable[..., Any], fleet_at: Callable[[Path], Fleet]
) -> None:
    """Records a full ring drops while somebody reads are named in the answer; the rest comes once and in order."""
    server = new_store_server()
    ring = BucketSpec("FIFO", 1_000_000, 16, 200_000)
    first = [blob("cam", T0 + n, bytes([n]) * 10_000) for n in range(80)]
    asyncio.run(_write(server, ring, first))
    (tmp_path / "edge.token").write_text(server.token)
    path = tmp_path / "fleet.toml"
    path.write_text(f'[site.edge-1]\nstore = "{server.url}"\ntoken = {{ file = "edge.token" }}\n')
    records = fleet_at(path).select("r1/cam").records()
    times = [next(records).time_us]
    asyncio.run(_write(server, ring, [blob("cam", T0 + 100 + n, bytes([n]) * 10_000) for n in range(80)]))
    with pytest.warns(PartialAnswer, match="gone while reading"):
        times += [item.time_us for item in records]
    assert times == sorted(set(times))
    gone = {draft.time_us for draft in first} - set(times)
    assert gone
    spans = [(lost.gap.from_us, lost.gap.to_us) for lost in records.provenance.gaps]
    assert all(any(start <= at < stop for start, stop in spans) for at in gone)


async def _write(server: Any, spec: BucketSpec, drafts: list[Draft]) -> None:
    async with Store(server.url, server.token) as store:
        await store.ensure_bucket("r1--media", spec)
        assert not (await store.write("r1--media", drafts)).refused
