"""Whose fault a refusal is: decided by what the destination takes meanwhile, and for how long."""

from __future__ import annotations

import pytest

from fleetbox_replication.relay.destination import Entry
from fleetbox_replication.relay.patience import IN_A_ROW, LONGER, Patience
from fleetbox_replication.wire import Part, make_part

CAM = Entry("r1--media", "cam", "/cam")
IMU = Entry("r1--media", "imu", "/imu")
WAIT_S = 30.0


class Time:
    """A clock that stands until it is told to go."""

    now_s = 100.0

    def __call__(self) -> float:  # noqa: D102
        return self.now_s


def part(at: int, size: int = 1_000) -> Part:
    """Return a record."""
    return make_part(at, size, "", {})


@pytest.fixture
def time() -> Time:
    """A clock."""
    return Time()


@pytest.fixture
def patience(time: Time) -> Patience:
    """Patience that may let go."""
    return Patience(time, WAIT_S, enabled=True)


@pytest.mark.parametrize("status", [413, 422, 431])
def test_size_and_labels_are_the_records_own(patience: Patience, status: int) -> None:
    """A record whose labels or size are refused goes at once, though not more than a batch or so in a row."""
    gone = [patience.lets_go(CAM, part(at), status) for at in range(2 * IN_A_ROW)]
    assert gone == [True] * IN_A_ROW + [False] * IN_A_ROW
    assert patience.lets_go(CAM, part(0), status)  # the same one again is not another one
    patience.took(CAM.bucket, [part(1, 1)])
    assert patience.lets_go(CAM, part(999), status)


@pytest.mark.parametrize(
    ("status", "size_taken", "after_s", "gone"),
    [
        (403, 1, WAIT_S, True),
        (403, 1, WAIT_S - 1, False),
        (404, 1, WAIT_S, True),
        (405, 1, WAIT_S, True),
        (400, 999, 100 * WAIT_S, False),  # a nearly full bucket takes small records
        (400, 1_000, WAIT_S, True),
        (507, 999, 100 * WAIT_S, False),
        (507, 1_000, WAIT_S, True),
        (500, 999, WAIT_S, False),
        (500, 999, LONGER * WAIT_S, True),
        (500, 1_000, WAIT_S, True),
        (503, 1_000, WAIT_S, False),
        (503, 1, LONGER * WAIT_S, True),
        (0, 1, LONGER * WAIT_S, True),
    ],
)
def test_others_show_whose_fault_it_is(
    patience: Patience, time: Time, status: int, size_taken: int, after_s: float, gone: bool
) -> None:
    """What passes beside a refused record, and for how long, decides."""
    assert not patience.lets_go(CAM, part(7), status)
    patience.took(CAM.bucket, [part(8, size_taken)])
    time.now_s += after_s
    assert patience.lets_go(CAM, part(7), status) is gone


@pytest.mark.parametrize("status", [0, 400, 401, 403, 404, 500, 503, 507])
def test_nothing_goes_where_nothing_passes(patience: Patience, time: Time, status: int) -> None:
    """A bucket that takes nothing is held for ever; what other buckets take says nothing about it."""
    patience.took(CAM.bucket, [part(1)])  # before the refusal
    for _ in range(100):
        assert not patience.lets_go(CAM, part(7), status)
        patience.took("r2--media", [part(1, 10**9)])
        time.now_s += WAIT_S


def test_what_is_taken_in_the_same_request_counts(patience: Patience, time: Time) -> None:
    """A record refused among its neighbours in one answer has its proof there."""
    assert not patience.lets_go(CAM, part(7), 403, beside=500)
    time.now_s += WAIT_S
    assert patience.lets_go(CAM, part(7), 403)


def test_a_known_cause_lets_the_next_ones_go_at_once(patience: Patience, time: Time) -> None:
    """A stream whose records are refused one by one is not held up anew by each; another stream is."""
    patience.lets_go(CAM, part(1), 403, beside=500)
    time.now_s += WAIT_S
    assert patience.lets_go(CAM, part(2), 403)
    assert not patience.lets_go(IMU, part(2), 403)
    assert not patience.lets_go(CAM, part(3), 401)


def test_a_flapping_link_is_no_records_fault(patience: Patience, time: Time) -> None:
    """A record without an answer waits for its own ten patiences, whatever happened to others before it."""
    for at in range(10):
        assert not patience.lets_go(CAM, part(at), 0, beside=500)
        time.now_s += WAIT_S * LONGER / 10
    assert not patience.lets_go(CAM, part(99), 0)


def test_without_a_list_nothing_goes(time: Time) -> None:
    """Where letters cannot be kept none are let through."""
    patience = Patience(time, 0.0, enabled=False)
    assert not patience.lets_go(CAM, part(1), 422)


def test_what_is_held_is_known_until_it_is_stored(patience: Patience) -> None:
    """The next attempt knows which batches hold refused records, and forgets when they arrive."""
    patience.lets_go(CAM, part(7), 403)
    assert patience.holds(CAM, [part(6), part(7)])
    assert not patience.holds(IMU, [part(7)])
    patience.stored(CAM, [part(7)])
    assert not patience.holds(CAM, [part(7)])
