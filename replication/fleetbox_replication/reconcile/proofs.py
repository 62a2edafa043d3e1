"""What the relay has vouched for, record by record, until it is enough to call a minute proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fleetbox.ledger import MINUTE_US, Count, fingerprint, minute_of
from fleetbox_replication.wire import Part

REMEMBERED = 100_000  # records in minutes that are not proven yet: 15 MB; beyond it the oldest minutes are forgotten

Where = tuple[str, str, int]  # bucket at the destination, stream, minute in µs


@dataclass(slots=True)
class _Tally:
    """Add up one minute; `times` are the records in it, `promoted` those of them with `keep=1`."""

    count: Count = field(default_factory=Count)
    times: set[int] = field(default_factory=set)
    promoted: set[int] = field(default_factory=set)


class Proofs:
    """Count the records of each stream-minute that the relay saw stored, each once however often it came."""

    def __init__(self) -> None:
        self._tallies: dict[Where, _Tally] = {}
        self._records = 0
        self._news: dict[str, set[Where]] = {}
        self._moved_s: dict[str, float] = {}
        self._reached_us: dict[tuple[str, str], int] = {}

    def add(self, bucket: str, entry: str, parts: Sequence[Part], now_s: float) -> None:
        """Take up records that are stored at the destination; a label update comes without a size."""
        if parts:
            self._moved_s[bucket] = now_s
        for part in parts:
            where = (bucket, entry, minute_of(part.time_us))
            tally = self._tallies.setdefault(where, _Tally())
            if part.labels.get("keep") == "1":
                tally.promoted.add(part.time_us)
            if part.size and part.time_us not in tally.times:
                tally.times.add(part.time_us)
                mark = fingerprint(part.time_us, part.size, part.xxh or "")
                tally.count += Count(1, part.size, mark)
                self._records += 1
            self._news.setdefault(bucket, set()).add(where)
        reached_us = max((part.time_us for part in parts), default=0)
        self._reached_us[bucket, entry] = max(reached_us, self._reached_us.get((bucket, entry), 0))
        while self._records > REMEMBERED:
            self.drop(next(iter(self._tallies)))

    def news(self, bucket: str) -> list[Where]:
        """Return the minutes of a bucket that have got proofs and are not dropped or `heard` of."""
        return list(self._news.get(bucket, ()))

    def heard(self, where: Where) -> None:
        """Take a minute off the news until something more of it arrives."""
        self._news.get(where[0], set()).discard(where)

    def count(self, where: Where) -> tuple[Count, int]:
        """Return what was vouched for of a minute, and how many of it as promoted for the cloud."""
        tally = self._tallies.get(where, _Tally())
        return tally.count, len(tally.promoted)

    def has(self, bucket: str, entry: str, time_us: int) -> bool:
        """Tell whether one record was vouched for and is remembered."""
        tally = self._tallies.get((bucket, entry, minute_of(time_us)))
        return tally is not None and time_us in tally.times

    def drop(self, where: Where) -> None:
        """Forget a minute: it is proven, or nothing will come of it."""
        tally = self._tallies.pop(where, None)
        self._records -= len(tally.times) if tally else 0
        self.heard(where)

    def forget(self, bucket: str | None = None) -> None:
        """Forget everything, or all of a bucket: the destination may have lost what it had taken."""
        for where in [at for at in self._tallies if bucket in (None, at[0])]:
            self.drop(where)

    def drop_before(self, bucket: str, entry: str, time_us: int) -> None:
        """Forget the minutes of an entry that lie wholly before a time in µs."""
        for where in [at for at in self._tallies if at[:2] == (bucket, entry) and at[2] + MINUTE_US <= time_us]:
            self.drop(where)

    def moved_s(self, bucket: str) -> float | None:
        """Return when anything of a bucket was last stored, on the monotonic clock."""
        return self._moved_s.get(bucket)

    def reached_us(self, bucket: str, entry: str) -> int:
        """Return the newest time of an entry that was stored."""
        return self._reached_us.get((bucket, entry), 0)
