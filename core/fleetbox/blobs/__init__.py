"""The blob port: the one way to ReductStore, and the only importer of its client."""

from fleetbox.blobs.store import Store
from fleetbox.blobs.values import (
    BucketSpec,
    EntryInfo,
    Gap,
    Refusal,
    RelabelReport,
    StoreInfo,
    TaskInfo,
    TaskMode,
    TaskSpec,
    TokenInfo,
    TokenSpec,
    WriteReport,
)

__all__ = [
    "BucketSpec",
    "EntryInfo",
    "Gap",
    "Refusal",
    "RelabelReport",
    "Store",
    "StoreInfo",
    "TaskInfo",
    "TaskMode",
    "TaskSpec",
    "TokenInfo",
    "TokenSpec",
    "WriteReport",
]
