"""What the blob port takes and gives back, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from fleetbox.records import Draft

QuotaType = Literal["NONE", "FIFO", "HARD"]
Condition = dict[str, Any]  # the engine's `when` document


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Describe a running store; usage in bytes on its disk."""

    version: str
    uptime_s: int
    usage_bytes: int
    bucket_count: int


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """Say how a bucket is kept: what happens when it is full, and how large its blocks grow."""

    quota_type: QuotaType
    quota_bytes: int
    max_block_records: int = 128  # 64..256 write twice as fast as the engine's 1024 with small records (measured)
    max_block_bytes: int = 64_000_000  # the engine's own default: eviction takes whole blocks


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """Describe an entry as the store counts it; torn records are counted too, so this proves nothing."""

    name: str
    records: int
    blocks: int
    size_bytes: int
    oldest_us: int
    latest_us: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Name one record a store would not take or change, with its status and words."""

    entry: str
    time_us: int
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class WriteReport:
    """Account for every draft of one write: written + already + healed + len(refused) = drafts."""

    written: int = 0
    already: int = 0
    healed: int = 0
    refused: list[tuple[Draft, int, str]] = field(default_factory=list)

    def __add__(self, other: WriteReport) -> WriteReport:
        return WriteReport(
            self.written + other.written,
            self.already + other.already,
            self.healed + other.healed,
            self.refused + other.refused,
        )


@dataclass(frozen=True, slots=True)
class RelabelReport:
    """Account for every record of one relabelling."""

    done: int
    refused: list[Refusal]


@dataclass(frozen=True, slots=True)
class Gap:
    """Name a stretch of an entry that left the store while it was being read: [from_us, to_us).

    Records of it may have gone unread; some may have been delivered just before.
    """

    entry: str
    from_us: int
    to_us: int
    reason: str


TaskMode = Literal["enabled", "paused", "disabled"]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """Say what a replication task ships: records of `entries` that match `when`, from a bucket to a bucket."""

    name: str
    src_bucket: str
    dst_bucket: str
    dst_url: str
    dst_token: str = field(repr=False)
    entries: tuple[str, ...] = ()
    when: Condition | None = None
    compression: str = "none"


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """Describe a task as the engine sees it; `pending`, `ok` and `active` are hints, never proof of arrival.

    The token of `spec` is empty: the engine masks it. `errors` maps a status to (count, last message), last hour.
    """

    spec: TaskSpec
    active: bool
    pending: int
    provisioned: bool
    mode: str
    ok: int
    errored: int
    errors: dict[int, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """Say what a token may do: buckets to read and to write (a trailing `*` is a wildcard), or everything."""

    name: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """Describe a token as the store lists it; times in µs. `used_us` is late by a minute or so: None proves nothing.

    A provisioned token stands in the store's own settings and cannot be removed.
    """

    spec: TokenSpec
    created_us: int
    used_us: int | None
    expires_us: int | None
    provisioned: bool
