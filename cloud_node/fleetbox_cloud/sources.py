"""Say where chunks lie at a site, and which label tells them from blobs."""

from __future__ import annotations

from fleetbox.naming import site_bucket

LOADED_CLASSES = ("sensor", "kept")  # where chunks are; meta and log hold text, media holds blobs
HAS_ROWS = {"$has": "rows"}  # the label that chunks carry and nothing else does


def buckets_of(robot: str) -> tuple[str, ...]:
    """Return the buckets that hold a robot's chunks; a stream's points come from all of them."""
    return tuple(site_bucket(robot, cls) for cls in LOADED_CLASSES)
