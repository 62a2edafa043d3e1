"""The grid of frames: nothing from the future, each record once, holes where there is nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from fleetbox_query.lerobot.grid import pick, runs_of, slot_offsets_ns, slots_along, slots_over

MS = 1_000_000
START = 1_760_000_000_000_000_000
times = some.lists(some.integers(0, 10_000), min_size=1, max_size=60).map(
    lambda found: START + np.unique(np.array(found, np.int64)) * MS
)


def test_offsets_do_not_drift_over_a_day() -> None:
    """Frame k lies within half a ns of k / fps, however late."""
    offsets = slot_offsets_ns(30 * 86_400 + 1, 30)
    assert offsets[-1] == 86_400 * 1_000_000_000
    assert offsets[:4].tolist() == [0, 33_333_333, 66_666_667, 100_000_000]


def test_a_window_has_its_slots_and_not_the_one_at_its_end() -> None:
    """[start, stop) of two seconds at 30 fps are 60 frames."""
    assert len(slots_over(START, START + 2_000 * MS, 30).now_ns) == 60
    assert len(slots_over(START, START + 1, 30).now_ns) == 1
    assert len(slots_over(START, START, 30).now_ns) == 0


def test_a_jittering_reference_gives_each_of_its_records_one_frame() -> None:
    """Frames that come a little early or late stay one frame each, at their own times."""
    noise = np.random.default_rng(3).integers(-10 * MS, 10 * MS, 300)
    noise[0] = 0
    shots = START + slot_offsets_ns(300, 30) + noise
    slots = slots_along(shots, 30)
    assert slots.reference.tolist() == list(range(300))
    assert (slots.now_ns == shots).all()


def test_a_lost_reference_frame_leaves_a_slot_without_one() -> None:
    """Where the camera missed a frame the slot keeps its own moment."""
    shots = np.delete(START + slot_offsets_ns(30, 30), 10)
    slots = slots_along(shots, 30)
    assert len(slots.now_ns) == 30
    assert np.flatnonzero(slots.reference < 0).tolist() == [10]


@settings(deadline=None)  # other work shares these cores
@given(times, some.integers(1, 120), some.integers(0, 500))
def test_previous_never_looks_ahead_and_never_back_too_far(reference, fps: int, age_ms: int) -> None:  # type: ignore[no-untyped-def]
    """What stands for a moment is the newest record at or before it, or none."""
    slots = slots_along(reference, fps)
    records = reference[::2]
    picked = pick(records, slots.now_ns, "previous", age_ms * MS)
    for now, at in zip(slots.now_ns, picked.index, strict=True):
        known = records[(records <= now) & (records >= now - age_ms * MS)]
        assert (at == -1) == (len(known) == 0)
        assert at == -1 or records[at] == known[-1]
    assert (np.diff(slots.now_ns) > 0).all()


@settings(deadline=None)  # other work shares these cores
@given(times, some.integers(0, 500))
def test_nearest_is_nearest(records, age_ms: int) -> None:  # type: ignore[no-untyped-def]
    """The nearest record stands for a moment where it is young enough."""
    now = START + slot_offsets_ns(50, 5)
    picked = pick(records, now, "nearest", age_ms * MS)
    least = np.abs(records[None, :] - now[:, None]).min(1)
    assert ((picked.index == -1) == (least > age_ms * MS)).all()
    assert (np.abs(picked.age_ns)[picked.index >= 0] == least[picked.index >= 0]).all()


def test_linear_needs_a_record_on_either_side() -> None:
    """Before the first and after the last there is nothing to draw a line to; on a record none is needed."""
    records = START + np.array([0, 100, 900]) * MS
    picked = pick(records, START + np.array([-1, 0, 50, 500, 900, 901]) * MS, "linear", 200 * MS)
    assert picked.index.tolist() == [-1, 0, 0, -1, 2, -1]


def test_holes_part_episodes_only_when_asked() -> None:
    """One episode with a counted hole, or one for each run."""
    kept = np.array([1, 1, 0, 1, 1, 1], bool)
    ((whole, holes),) = runs_of(kept, split=False)
    assert (whole.tolist(), holes) == ([0, 1, 3, 4, 5], 1)
    assert [run.tolist() for run, _ in runs_of(kept, split=True)] == [[0, 1], [3, 4, 5]]
    assert runs_of(np.zeros(3, bool), split=True) == []
