"""Tally the rows of chunks, minute by minute, against what InfluxDB refused of the points made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fleetbox.points import Points, counted
from fleetbox.rollups import SECOND_US
from fleetbox.scalars import Refusal
from fleetbox.tallies import Minutes, merge


@dataclass(frozen=True, slots=True)
class Turned:
    """Hold what InfluxDB turned down: reasons by a second's start (roll-ups), by a row's time (raw), its words."""

    seconds: dict[int, str] = field(default_factory=dict)
    rows: dict[int, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(rollups: Iterable[Refusal], raw: Iterable[Refusal] = ()) -> Turned:
        """Return what the refusals of roll-ups and of raw points say."""
        rollups, raw = list(rollups), list(raw)
        words = {one.reason: one.message for one in (*rollups, *raw)}
        seconds, rows = (
            {one.time_us: one.reason for one in some if one.time_us is not None} for some in (rollups, raw)
        )
        return Turned(seconds, rows, words)


def tallied(parts: Iterable[Points], turned: Turned) -> Minutes:
    """Return per minute: rows, rows that became part of a point, their values, and the others by reason."""
    minutes: Minutes = {}
    for part in parts:
        taken, refused = _apart(part, turned)
        merge(minutes, counted(taken))
        for reason, some in refused:
            found = counted(some)
            merge(minutes, {at: one.without(reason, one.points, one.values) for at, one in found.items()})
    return minutes


def taken(parts: Iterable[Points], turned: Turned) -> list[Points]:
    """Return the rows that InfluxDB took."""
    return [_apart(part, turned)[0] for part in parts]


def _apart(part: Points, turned: Turned) -> tuple[Points, Sequence[tuple[str, Points]]]:
    if not turned.seconds and not turned.rows:
        return part, ()
    import numpy as np

    times_us = np.asarray(part.time_us, np.int64)
    left, refused = np.ones(len(times_us), bool), []
    for reasons, keys in ((turned.seconds, times_us // SECOND_US * SECOND_US), (turned.rows, times_us)):
        for reason in dict.fromkeys(reasons.values()):
            where = np.isin(keys, [at for at, one in reasons.items() if one == reason]) & left
            if where.any():
                refused.append((reason, _rows(part, where)))
                left &= ~where
    return _rows(part, left), refused


def _rows(part: Points, where: Any) -> Points:
    import pyarrow as pa

    mask = pa.array(where)
    fields = {name: column.filter(mask) for name, column in part.fields.items()}
    return replace(part, time_us=part.time_us.filter(mask), fields=fields)
