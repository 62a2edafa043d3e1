"""Cut tables at midnights (UTC), for files of a day each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fleetbox_query.exports.stretches import times_us

if TYPE_CHECKING:
    import pyarrow as pa

DAY_US = 86_400_000_000


def by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield ("2026-11-21", its rows) of a table in order of time."""
    import numpy as np

    times = times_us(table)
    at = 0
    while at < len(times):
        day = int(times[at]) // DAY_US
        stop = int(np.searchsorted(times, (day + 1) * DAY_US, side="left"))
        yield f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}", table.slice(at, stop - at)
        at = stop
