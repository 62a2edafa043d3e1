"""Quotas: what is full turns over, refuses, or never fills, by class."""

from __future__ import annotations

import pytest

from fleetbox.blobs import BucketSpec
from fleetbox.naming import CLASSES, RING_CLASSES
from fleetbox.quotas import bucket_spec


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_has_its_quota(cls: str) -> None:
    """Rings turn over, kept refuses, meta is not bounded whatever the settings say; blocks are small everywhere."""
    kind = "FIFO" if cls in RING_CLASSES else {"kept": "HARD", "meta": "NONE"}[cls]
    assert bucket_spec(cls, 7) == BucketSpec(kind, 0 if cls == "meta" else 7, 128, 64_000_000)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("quota", [None, 0])
def test_without_a_quota_nothing_is_bounded(cls: str, quota: int | None) -> None:
    """A class that the settings give no size is kept without bound."""
    assert bucket_spec(cls, quota).quota_type == "NONE"
