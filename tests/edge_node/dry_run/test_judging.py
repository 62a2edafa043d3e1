"""Stored records are judged as they would have been when they came."""

from __future__ import annotations

from fleetbox.settings import parse_policy
from fleetbox_edge.dry_run import Judged
from fleetbox_edge.triggers import Reading, compile_rules

S = 1_000_000
POLICY = parse_policy(
    '[trigger.silent]\non = "cam/front"\ngap = "3s"\ncooldown = "1s"\n'
    '[trigger.hot]\non = "t"\nwhen = "c > 80.0"\nhold = "2s"\n[event.hot]\npre = "1s"\npost = "2s"\n'
)


def judged() -> Judged:
    """Return a judge of the policy above."""
    return Judged(POLICY, compile_rules(POLICY), "r1")


def frames(*times: float) -> list[Reading]:
    """Return frames of a camera."""
    return [Reading("cam/front", round(t * S)) for t in times]


def test_a_gap_is_an_event_where_it_began() -> None:
    """A camera that is silent for longer than its gap raises one event, stamped when it had been silent that long."""
    one = judged()
    one.take(frames(1, 2, 3))
    one.pass_time(20 * S)
    assert [(event.kind, event.time_us) for event in one.events] == [("silent", 6 * S)]


def test_a_robot_that_was_off_is_no_gap() -> None:
    """Where nothing at all was recorded nobody watched, and the first record after it begins anew."""
    one = judged()
    one.take(frames(1, 2, 3))
    one.restart()
    one.take(frames(4000, 4001))
    one.pass_time(4002 * S)
    assert one.events == []
    assert one.counts()["silent"].judged == 5


def test_a_hold_ends_without_a_further_record() -> None:
    """A condition held long enough raises its event though no record came since, with the window of its kind."""
    one = judged()
    one.take([Reading("t", 1 * S, {"c": 90.0})])
    one.pass_time(10 * S)
    hot = [event for event in one.events if event.kind == "hot"]
    assert [(event.time_us, event.start_us, event.stop_us) for event in hot] == [(3 * S, 2 * S, 5 * S)]
