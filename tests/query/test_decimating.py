"""Fewer points: what a plot must show stays, whatever the size of what is read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fleetbox.errors import InputError
from fleetbox_query.decimating import Bins, Numbers
from fleetbox_query.fleet import Fleet

from .conftest import Tiers, chunk

T0 = 1_760_000_000_000_000  # µs
MS = 1_000


def wave(tiers: Tiers, stream: str, count: int = 10_000, robot: str = "") -> np.ndarray:  # type: ignore[type-arg]
    """A 100 Hz sine with one spike in field x, its number in n, a truth in hot and a text in mode; returns x."""
    x = np.sin(np.arange(count) / 300)
    x[count // 3] = 9.0
    drafts = []
    for first in range(0, count, 500):
        at = range(first, min(first + 500, count))
        columns = {
            "x": [float(x[n]) for n in at],
            "n": list(at),
            "hot": [n == count // 3 for n in at],
            "mode": ["early" if n < count // 2 else "late" for n in at],
        }
        drafts.append(chunk(stream, [T0 + n * 10 * MS for n in at], columns, robot=robot or tiers.robot))
    tiers.put("edge", "sensor", drafts, robot=robot or None)
    return x


def test_extremes_stay_at_their_own_times(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """minmax keeps the spike at its own time, the first and last stretches, and at most n points."""
    x = wave(tiers, stream)
    frame = fleet.select(f"{tiers.robot}/{stream}:x").decimate(100)
    assert 50 <= len(frame) <= 100
    assert frame["x"].max() == 9.0
    assert frame["x"].idxmax().value == (T0 + 10_000 // 3 * 10 * MS) * 1000
    assert frame["x"].min() == pytest.approx(x.min())
    assert set(frame["x"]) <= set(x.tolist())
    assert frame.attrs["missing"] == []


def test_lttb_takes_real_points(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """lttb gives exactly n of the stream's own points, the spike among them."""
    x = wave(tiers, stream)
    frame = fleet.select(f"{tiers.robot}/{stream}:x").decimate(60, "lttb")
    assert len(frame) == 60
    assert frame["x"].max() == 9.0
    assert set(frame["x"]) <= set(x.tolist())


def test_averages_and_rms_are_those_of_the_rows(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """average and rms of each stretch are what numpy computes from its rows, at the stretch's middle."""
    x = wave(tiers, stream)
    selection = fleet.select(f"{tiers.robot}/{stream}:x").between(T0, T0 + 10_000 * 10 * MS)
    parts = x.reshape(10, -1)
    average, rms = selection.decimate(10, "average"), selection.decimate(10, "rms")
    assert average["x"].tolist() == pytest.approx(parts.mean(axis=1).tolist(), abs=1e-3)
    assert rms["x"].tolist() == pytest.approx(np.sqrt((parts**2).mean(axis=1)).tolist(), abs=1e-3)
    assert average.index[0].value == pytest.approx((T0 + 5_000 * MS) * 1000, abs=20_000_000)


def test_other_values(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Of truths whether any was true, of texts the last; streams are joined under their full names."""
    wave(tiers, stream)
    wave(tiers, stream, 100, robot=f"{tiers.robot}b")
    frame = fleet.select(f"{tiers.robot}*/{stream}").decimate(20, "average")
    assert frame[f"{tiers.robot}/{stream}:hot"].fillna(False).sum() == 1
    assert frame[f"{tiers.robot}/{stream}:mode"].dropna().tolist()[-1] == "late"
    assert f"{tiers.robot}b/{stream}:x" in frame.columns


def test_nan_and_gaps_are_no_points(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A field without numbers gives no points, and a stretch without rows gives none."""
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1], {"x": [math.nan, 1.0], "y": [math.nan, math.nan]})])
    tiers.put("edge", "sensor", [chunk(stream, [T0 + 60_000 * MS], {"x": [2.0], "y": [math.nan]})])
    frame = fleet.select(f"{tiers.robot}/{stream}").decimate(100, "average")
    assert frame["x"].tolist() == [1.0, 2.0]
    assert "y" not in frame.columns
    assert fleet.select(f"{tiers.robot}/{stream}").between(T0 + 5, T0 + 6).decimate(10).empty


@pytest.mark.parametrize(
    ("n", "method"), [(3, "minmax"), (2.5, "minmax"), (True, "rms"), (10**9, "rms"), (100, "median")]
)
def test_what_cannot_be_meant(fleet: Fleet, n: int, method: str) -> None:
    """Too few, too many, or no whole points, and unknown methods, are refused before anything is read."""
    with pytest.raises(InputError):
        fleet.select("*").decimate(n, method)  # type: ignore[arg-type]


def test_bins_leave_out_what_lies_between_windows() -> None:
    """Bins divide the windows alone, and each one's middle lies in it."""
    bins = Bins(((0, 100), (1_000_000, 1_000_100)), 4)
    assert bins.of(np.array([0, 49, 50, 99, 1_000_000, 1_000_099, 500])).tolist() == [0, 0, 1, 1, 2, 3, 1]
    assert bins.of(bins.centres()).tolist() == [0, 1, 2, 3]
    assert bins.centres().tolist() == [25, 75, 1_000_025, 1_000_075]


def test_numbers_may_come_in_any_order() -> None:
    """Extremes and their first times are found whatever the order the values come in."""
    numbers = Numbers(2)
    numbers.add(np.array([1, 0, 1, 0]), np.array([30, 10, 40, 20]), np.array([5.0, 1.0, 5.0, -1.0]))
    numbers.add(np.array([0]), np.array([15]), np.array([-1.0]))
    assert (numbers.low.tolist(), numbers.low_us.tolist()) == ([-1.0, 5.0], [20, 30])
    assert (numbers.high.tolist(), numbers.high_us.tolist()) == ([1.0, 5.0], [10, 30])
    assert numbers.count.tolist() == [3, 2]
