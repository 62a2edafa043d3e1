"""Count records so that two places can compare what they hold without listing it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from fleetbox.records import Head

_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Count:
    """Hold a number of records, their payload bytes, and a digest that does not depend on their order.

    The digest is the sum of the records' fingerprints modulo 2**64: counts of disjoint sets add up.
    """

    records: int = 0
    bytes: int = 0
    digest: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.records + other.records, self.bytes + other.bytes, (self.digest + other.digest) & _WORD)

    def __sub__(self, other: Count) -> Count:
        """Take away a part of what was counted; of anything else the result means nothing."""
        return Count(self.records - other.records, self.bytes - other.bytes, (self.digest - other.digest) & _WORD)


def fingerprint(time_us: int, size: int, xxh: str) -> int:
    """Return 64 bits that stand for one record of a stream: its time, its size, its payload's hash."""
    return xxhash.xxh3_64_intdigest(f"{time_us} {size} {xxh}".encode())


def count_of(heads: Iterable[Head]) -> Count:
    """Count records by their heads; one without `xxh` is known by its time and size alone."""
    records = size = digest = 0
    for head in heads:
        records += 1
        size += head.size
        digest += fingerprint(head.time_us, head.size, head.labels.get("xxh", ""))
    return Count(records, size, digest & _WORD)
