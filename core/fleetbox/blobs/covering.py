"""Say what a removal must take with it so that the engine keeps the records beside it.

On a removal the engine copies what stays in the block to a new file. A record whose writing was cut has no bytes; if it
stays and is the last in a file that was copied before, the copy meets the file's end and the engine gives the *whole
block* up, good records and all (1.21.4: ten records that read 200 answer 404 after it). A record written behind it, a
cover, makes the file long enough; it goes in the same request.

A crash between the two leaves a cover behind: two bytes, `type=cover`, no `keep`. Queries through the blob port do not
show it, and whoever removes there again takes it along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

COVER = b"{}"  # whoever reads it in the millisecond it lives sees an empty object
COVER_TYPE = "application/json"
COVER_LABELS = {"type": "cover"}  # carries no `keep`: no filter on `keep` ships it
NEAR_US = tuple(1 << power for power in range(13))  # 1 µs to 4 ms behind: the same block, and rarely taken


def is_cover(labels: Mapping[str, str] | None) -> bool:
    """Tell whether a record with these labels is a cover, perhaps one left behind."""
    return bool(labels) and (labels or {}).get("type") == COVER_LABELS["type"]


def covered(times_us: Sequence[int]) -> list[int]:
    """Return the times to put a cover behind: both ends, because a batch lies in one block or across two."""
    return sorted({min(times_us), max(times_us)})


def spots(time_us: int) -> Iterator[int]:
    """Yield the times at which a cover behind `time_us` may stand, best first; the first free one will do."""
    return (time_us + step_us for step_us in NEAR_US)
