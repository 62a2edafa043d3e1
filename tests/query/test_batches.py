"""Batches: the tables of a selection, stretch by stretch."""

from __future__ import annotations

import pyarrow as pa
import pytest

from fleetbox_query.fleet import Fleet
from fleetbox_query.provenance import PartialAnswer

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs


def test_batches_hold_what_arrow_holds(
    tiers: Tiers, fleet: Fleet, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joined, the batches of a stream are its table, and there are several of a longer one."""
    monkeypatch.setattr("fleetbox_query.reading.CAP_BYTES", 4_000)
    drafts = [
        chunk(stream, [T0 + at * 1000 + n for n in range(50)], {"x": [float(at + n) for n in range(50)]})
        for at in range(40)
    ]
    tiers.put("edge", "sensor", drafts)
    tiers.put("edge", "log", [blob(f"{stream}/log", T0 + 5, b"hello", kind="log")])
    selection = fleet.select(f"{tiers.robot}/{stream}", f"{tiers.robot}/{stream}/**")
    batches = selection.batches()
    parts = list(batches)
    whole = selection.arrow()
    for name, table in whole.items():
        assert pa.concat_tables([part.table for part in parts if part.name == name]).equals(table)
    assert len(parts) > 3
    assert set(batches.provenance.places_read) == {"edge-1"}
    assert {part.stream for part in parts} == {stream, f"{stream}/log"}


def test_a_chunk_that_does_not_open_is_named(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A damaged chunk hides no other and is warned of at the end."""
    from dataclasses import replace

    good = [chunk(stream, [T0 + at, T0 + at + 1], {"x": [1.0, 2.0]}) for at in (0, 10)]
    tiers.put("edge", "sensor", [*good, replace(good[0], time_us=T0 + 5, data=b"no chunk")])
    with pytest.warns(PartialAnswer, match="unreadable"):
        rows = sum(batch.table.num_rows for batch in fleet.select(f"{tiers.robot}/{stream}").batches())
    assert rows == 4
