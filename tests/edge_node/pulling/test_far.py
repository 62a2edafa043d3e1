"""Pull from robots that nobody reaches: the order waits, the answer tells what is left, a bad link loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from fleetbox.errors import Incomplete
from fleetbox.ledger import Count, Line, Page, write_page
from fleetbox.naming import site_bucket
from fleetbox.selectors import Selector
from fleetbox_edge.awaiting import Patience
from fleetbox_edge.marking import Marked, MarkOrder, mark
from fleetbox_edge.pulling import Pulled, PullOrder, pull
from fleetbox_edge.pulling.pulling import estimates
from fleetbox_edge.pulling.telling import cut_text
from fleetbox_edge.recorder import Recorder
from tests.edge_node.pulling.conftest import Far

SECOND = 1_000_000
DAY_US = 86_400 * SECOND
QUICK = Patience(poll_s=0.2, label_s=150.0, still_s=150.0)
WAIT_S = 300.0  # an order, its answer and what it asks for, each over an engine that tries again after ten seconds


def now_us() -> int:
    """Return µs since the epoch."""
    return time.time_ns() // 1000


def until(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Return once the condition holds; fail after timeout_s."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        time.sleep(0.02)


def order(far: Far, stream: str, start_us: int, stop_us: int) -> PullOrder:
    """Return a pull of one stream."""
    return PullOrder(Selector.parse(f"{far.robot.id}/{stream}"), start_us, stop_us)


def test_an_offline_robot_is_estimated_from_its_ledger(far: Far) -> None:
    """The site's copy of its pages tells bytes and how old that is; half a minute counts half."""
    minute_us = (now_us() - DAY_US) // (60 * SECOND) * 60 * SECOND
    lines = [
        Line("media", "cam/front", at_us, Count(60, 6_000_000), Count(), Count(), 60, at_us, at_us + 59 * SECOND)
        for at_us in (minute_us, minute_us + 60 * SECOND)
    ]
    page = Page(far.robot.id, far.robot.id, minute_us + 200 * SECOND, tuple(lines))

    async def tell(store: object) -> None:
        await write_page(store, site_bucket(far.robot.id, "meta"), page)  # type: ignore[arg-type]

    far.ask(tell, site=True)
    (whole,) = estimates(far.fleet, order(far, "cam/*", minute_us, minute_us + 119 * SECOND))
    assert (whole.source, whole.exact, whole.size.bytes, whole.size.records) == ("edge", False, 12_000_000, 120)
    assert whole.told_until_us == page.written_us
    (half,) = estimates(far.fleet, order(far, "cam/*", minute_us, minute_us + 29_500_000))
    assert half.size.bytes == 3_000_000


def test_a_robot_that_was_away_for_a_month(far: Far) -> None:
    """The order waits at the site; the robot ships what its ring still holds, and the event says what it does not."""
    then_us = now_us() - 30 * DAY_US
    far.record("log", "log/app", [then_us + number * SECOND for number in range(60)])
    far.record("sensor", "imu", [then_us + number * SECOND for number in range(40, 60)])
    told: list[str] = []
    wanted = order(far, "**", then_us, then_us + 60 * SECOND)
    (left,) = pull(far.fleet, wanted, [far.robot.id], told.append)
    assert (left.raised.waits, left.raised.at) == (True, "edge")
    assert "cannot be reached from here" in told[0]
    done: list[Pulled] = []
    asking = threading.Thread(
        target=lambda: done.extend(pull(far.fleet, wanted, [far.robot.id], told.append, wait=True, patience=QUICK))
    )
    asking.start()
    with Recorder(far.robot.file):
        asking.join(WAIT_S)
    (pulled,) = done
    assert (pulled.event.labelled, pulled.at) == ({"log/app": 60, "imu": 20}, "edge")
    assert pulled.event.cut_streams() == {"imu": then_us + 40 * SECOND}
    assert "of the 60 s asked for, 1 streams begin later" in cut_text(pulled.event)
    assert len(far.at_site("log", "log/app")) == 60


def test_a_mark_that_waits_for_its_robot(far: Far) -> None:
    """Who waits for a mark of a robot that is away is told so, and waits until its records have arrived."""
    then_us = now_us() - 3_600 * SECOND
    far.record("log", "log/app", [then_us + number * SECOND for number in range(-5, 5)])
    told: list[str] = []
    done: list[Marked] = []
    order = MarkOrder("near_miss", at=str(then_us), pre="3s", post="2s", streams=("log/*",), wait=True)
    asking = threading.Thread(target=lambda: done.append(mark(far.fleet, order, told.append, QUICK)))
    asking.start()
    until(lambda: bool(told))
    assert "cannot be reached: the event waits as an order at edge" in told[0]
    with Recorder(far.robot.file):
        asking.join(WAIT_S)
    (marked,) = done
    assert (marked.event.labelled, marked.at, marked.arrived) == ({"log/app": 6}, "edge", {"log/app": 6})


def test_a_window_that_is_gone_altogether(far: Far) -> None:
    """When nothing of it is left, whoever waits is told so, and why."""
    far.record("log", "log/app", [now_us() - DAY_US])
    then_us = now_us() - 30 * DAY_US
    with Recorder(far.robot.file), pytest.raises(Incomplete, match="has nothing of the window: nothing of that time"):
        pull(far.fleet, order(far, "**", then_us, then_us + 60 * SECOND), [far.robot.id], print, True, QUICK)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("mbit_s", "count"),
    [
        pytest.param(80.0, 1_000, id="40-MB"),
        pytest.param(5.0, 87_500, id="3.5-GB-at-5-Mbit/s", marks=[pytest.mark.soak, pytest.mark.timeout(9_000)]),
    ],
)
def test_a_link_cut_five_times(far: Far, count: int) -> None:
    """What was pulled arrives whole, each record once, however often the link breaks meanwhile."""
    size, then_us = 40_000, now_us() - 3_600 * SECOND
    times = [then_us + number * 30_000 for number in range(count)]
    for first in range(0, count, 500):
        far.record("media", "cam/front", times[first : first + 500], size)
    done: list[Pulled] = []
    wanted = PullOrder(Selector.parse(f"{far.robot.id}/cam/*"), then_us, times[-1])
    asking = threading.Thread(
        target=lambda: done.extend(pull(far.fleet, wanted, [far.robot.id], print, True, Patience(0.5, still_s=300.0)))
    )
    with Recorder(far.robot.file):
        asking.start()
        for cut in range(1, 6):
            until(lambda cut=cut: far.link.bytes_up > cut * count * size // 10, 9_000)  # type: ignore[misc]
            far.link.cut()
            until(lambda: far.link.connections == 0)
            far.link.heal()
        asking.join(9_000)
    (pulled,) = done
    assert pulled.arrived == {"cam/front": count}
    assert far.sound("media", "cam/front") == times
    assert far.link.resets >= 5
