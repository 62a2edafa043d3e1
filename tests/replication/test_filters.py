"""Hop filters as values."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbox.naming import CLASSES
from fleetbox.settings import Uplink
from fleetbox_replication.filters import SMALL_BATCH_BYTES, batch_bytes, hop_filter, lint


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("from_robot", [True, False])
def test_every_hop_filter_is_guarded(cls: str, from_robot: bool) -> None:
    """No filter that fleetbox makes can drop a record for lack of a label."""
    assert lint(hop_filter(cls, from_robot)) == []


def test_filters_by_class() -> None:
    """Ring classes ask for the label, meta travels whole, kept without pins, and only meta goes in small batches."""
    assert hop_filter("media", from_robot=True) == {"$has": "keep"}
    assert list(hop_filter("sensor", from_robot=False) or {}) == ["$has", "&keep"]
    assert hop_filter("meta", from_robot=False) == {"#batch_size": SMALL_BATCH_BYTES}
    assert hop_filter("kept", from_robot=True) == {"$not": [{"$has": "pin"}]}


def test_batches_follow_the_cap() -> None:
    """Under a cap a class goes in pieces that hold up other streams for half a second; without, as the engine likes."""
    assert hop_filter("media", from_robot=True, uplink=Uplink(max="8 Mbit/s")) == {
        "#batch_size": 500_000,
        "$has": "keep",
    }
    assert hop_filter("media", from_robot=True, uplink=Uplink()) == {"#batch_size": 8_000_000, "$has": "keep"}
    assert hop_filter("meta", from_robot=True, uplink=Uplink()) == {"#batch_size": SMALL_BATCH_BYTES}
    assert [batch_bytes(cap) for cap in (8_000, 1_000_000, 1_000_000_000)] == [64_000, 500_000, 8_000_000]


@pytest.mark.parametrize(
    ("when", "faults"),
    [
        ({"&keep": {"$eq": 1}}, 1),
        ({"&keep": {"$eq": 1}, "$has": "keep"}, 1),  # the guard comes too late
        ({"$has": "a", "&b": {"$eq": 1}}, 1),
        ({"$and": [{"$has": "keep"}, {"&keep": {"$eq": 1}}]}, 0),
        ({"$and": [{"&keep": {"$eq": 1}}, {"$has": "keep"}]}, 1),
        ({"$has": ["a", "b"], "$gt": ["&a", "&b"]}, 0),
        ({"$or": [{"$gt": ["&a", 1]}, {"$has": "a"}]}, 1),
        ({"$each_n": 10}, 1),
        ({"#ctx_before": "5s", "$has": "keep"}, 1),
        (None, 0),
    ],
)
def test_lint_names_what_drops_records_in_silence(when: dict[str, Any] | None, faults: int) -> None:
    """An unguarded label or a stateful operator is a fault, whatever the notation."""
    assert len(lint(when)) == faults
