"""Decide which record of each source stands for each frame; all of it is plain arrays of ns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetbox.settings.lerobot import Method

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Slots:
    """Hold the frames' moments: slot k lies at start + k / fps, and `now_ns[k]` is what its values may know of.

    reference: index of the reference's record for each slot, -1 where none is near; empty without a reference.
    """

    now_ns: Any
    reference: Any


@dataclass(frozen=True, slots=True)
class Picked:
    """Hold for each slot which record stands for it (-1: none that is young enough), and how old it is."""

    index: Any
    age_ns: Any


def slots_over(start_ns: int, stop_ns: int, fps: int) -> Slots:
    """Return a regular grid over [start_ns, stop_ns)."""
    import numpy as np

    count = max(0, -((start_ns - stop_ns) * fps // SECOND_NS))
    moments = start_ns + slot_offsets_ns(count, fps)
    return Slots(moments[moments < stop_ns], np.empty(0, np.int64))


def slots_along(times_ns: Times, fps: int) -> Slots:
    """Return a grid from a reference's first record to its last; times in order.

    Each slot takes the reference's nearest record within half a period, each record at most once: frames that come
    with jitter stay one frame each. A slot without one keeps its own moment.
    """
    import numpy as np

    if not len(times_ns):
        return Slots(np.empty(0, np.int64), np.empty(0, np.int64))
    half = SECOND_NS // fps // 2
    count = int((int(times_ns[-1]) - int(times_ns[0]) + half) * fps // SECOND_NS) + 1
    moments = times_ns[0] + slot_offsets_ns(count, fps)
    near = nearest(times_ns, moments)
    far = np.abs(times_ns[near] - moments) > half
    far[1:] |= near[1:] == near[:-1]
    reference = np.where(far, -1, near)
    return Slots(np.where(far, moments, times_ns[near]), reference)


def slot_offsets_ns(count: int, fps: int) -> Times:
    """Return when each of so many frames comes after the first, in whole ns: nothing adds up over hours."""
    import numpy as np

    return (np.arange(count, dtype=np.int64) * SECOND_NS + fps // 2) // fps


def pick(times_ns: Times, now_ns: Times, method: Method, max_age_ns: int) -> Picked:
    """Return which record stands for each moment; `previous` never looks ahead, times in order.

    For `linear` it is the record before; whoever interpolates takes the one after it too, and a moment at which
    either is missing or too far has none.
    """
    import numpy as np

    if not len(times_ns):
        return Picked(np.full(len(now_ns), -1), np.zeros(len(now_ns), np.int64))
    before = np.searchsorted(times_ns, now_ns, side="right") - 1
    index = nearest(times_ns, now_ns) if method == "nearest" else before
    age = now_ns - times_ns[index.clip(0)]
    bad = (index < 0) | (np.abs(age) > max_age_ns)
    if method == "linear":
        after = (before + 1).clip(max=len(times_ns) - 1)
        late = times_ns[after] - now_ns
        bad |= (age != 0) & ((late <= 0) | (late > max_age_ns))
    return Picked(np.where(bad, -1, index), age)


def nearest(times_ns: Times, moments: Times) -> Times:
    """Return the index of the record nearest to each moment, the earlier of two alike."""
    import numpy as np

    after = np.searchsorted(times_ns, moments, side="left").clip(0, len(times_ns) - 1)
    before = (after - 1).clip(0)
    earlier = np.abs(times_ns[before] - moments) <= np.abs(times_ns[after] - moments)
    return np.where(earlier, before, after).astype(np.int64)


def runs_of(kept: Any, split: bool) -> list[tuple[Any, int]]:
    """Return (slots, holes) of each episode: all kept slots as one, or with `split` one for each run without a hole."""
    import numpy as np

    at = np.flatnonzero(kept)
    if not len(at):
        return []
    breaks = np.flatnonzero(np.diff(at) > 1) + 1
    return [(part, 0) for part in np.split(at, breaks)] if split else [(at, len(breaks))]
