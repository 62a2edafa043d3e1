"""Streams that people watch are tapped beside those that rules need, and judged by nobody."""

from __future__ import annotations

from fleetbox_edge.triggers.tap import Tap


def test_watched_streams_are_not_judged() -> None:
    """Without a rule, rows of watched streams are seen and none waits to be judged; afterwards none is tapped."""
    tap = Tap()
    assert not tap.meet("imu")
    tap.watch(frozenset({"imu"}))
    assert tap.meet("imu")
    assert "imu" in tap.streams
    row = {"x": 1.0}
    tap.row("imu", 5, row, None)
    row["x"] = 2.0
    tap.blob("imu", 6, None, b"text")
    assert [(one.stream, one.time_us, one.fields) for one in tap.seen()] == [("imu", 5, {"x": 1.0})]
    assert list(tap.take()) == []
    tap.watch(frozenset())
    assert not tap.meet("imu")
    assert tap.streams == set()


def test_a_stream_that_a_rule_needs_too() -> None:
    """A row of a stream that is watched and judged reaches both; unwatched, the rule still hears it."""
    from fleetbox.settings import parse_policy
    from fleetbox_edge.triggers.rules import compile_rules

    tap = Tap()
    tap.learn(compile_rules(parse_policy('[trigger.hot]\non = "imu"\nwhen = "x > 1.0"\nevent = "hot"\n', "test")))
    tap.watch(frozenset({"imu", "gps"}))
    assert tap.meet("imu")
    tap.row("imu", 5, {"x": 2.0}, None)
    assert [one.time_us for one in tap.seen()] == [5]
    assert [one.time_us for one in tap.take()] == [5]
    tap.watch(frozenset())
    assert tap.streams == {"imu"}
    tap.row("imu", 6, {"x": 2.0}, None)
    assert list(tap.seen()) == []
    assert [one.time_us for one in tap.take()] == [6]
