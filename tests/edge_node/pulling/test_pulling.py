"""Pull past windows from a robot in reach: the figures come first, then exactly that travels."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.events import read_events
from fleetbox.selectors import Selector
from fleetbox.settings import find_fleet
from fleetbox_edge.pulling import Estimate, PullOrder, Size
from fleetbox_edge.pulling.order import check_order, pull_event, small
from fleetbox_edge.pulling.pulling import check_size, estimates
from fleetbox_edge.pulling.rates import Rate, rate_of
from fleetbox_edge.pulling.telling import cost
from fleetbox_edge.recorder import Recorder
from tests.edge_node.conftest import Robot
from tests.edge_node.test_marking import fleetbox

SECOND = 1_000_000


def events_of(robot: Robot) -> list[str]:
    """Return the kinds of the events that the robot's own store knows."""

    async def read() -> list[str]:
        async with Store(robot.url, robot.token) as store:
            return [event.kind for event in await read_events(store, ["meta"])]

    return asyncio.run(read())


def recorded(recorder: Recorder, lines: int = 20) -> int:
    """Log lines, one a second up to now, and return the time in µs of the first."""
    first_us = time.time_ns() // 1000 - lines * SECOND
    for number in range(lines):
        recorder.log("log/app", f"line {number}", time=first_us + number * SECOND)
    recorder.flush(60)
    return first_us


def test_what_was_estimated_is_what_is_labelled(robot: Robot) -> None:
    """`pull --wait` prints the bytes of exactly the records it then labels; a second one finds nothing to ask for."""
    with Recorder(robot.file) as recorder:
        first_us = recorded(recorder)
        stop = str(first_us + 9 * SECOND)
        words = ("pull", f"{robot.id}/log/**", "--start", str(first_us), "--stop", stop, "--json")
        done = fleetbox(robot, *words, "--wait", "--yes")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        again = fleetbox(robot, *words, "--yes")
    kept = [record for record in robot.records("log", "log/app") if "keep" in record.labels]
    assert (answer["records"], answer["bytes"]) == (len(kept), sum(record.size for record in kept)) == (10, 60)
    assert answer["asked"][0]["labelled"] == {"log/app": 10}
    assert json.loads(again.stdout)["bytes"] == 0
    assert "all of it was selected before" in again.stderr
    assert events_of(robot) == ["pull"]


def test_nothing_is_asked_for_without_a_yes(robot: Robot) -> None:
    """Where nobody can be asked, a pull without --yes says what it would cost, and does nothing."""
    with Recorder(robot.file) as recorder:
        recorded(recorder)
        done = fleetbox(robot, "pull", f"{robot.id}", "--start", "-30m", "--rate", "5 Mbit/s")
    assert done.returncode == 0, done.stderr
    assert "at 5 Mbit/s" in done.stdout
    assert "add --yes" in done.stderr
    assert events_of(robot) == []


def test_a_stream_that_no_robot_has(robot: Robot) -> None:
    """It is no success: what there is, or is nearly called so, is offered; an empty selector is not everything."""
    with Recorder(robot.file) as recorder:
        recorded(recorder)
        words = ("--start", "-30m", "--yes")
        missing = fleetbox(robot, "pull", f"{robot.id}/log/ap", *words)
        empty = fleetbox(robot, "pull", "", *words)
    assert missing.returncode == 1, missing.stderr
    assert f"no stream matches {robot.id}/log/ap at {robot.id}" in missing.stderr
    assert f"did you mean {robot.id}/log/app?" in missing.stderr
    assert empty.returncode == 2, empty.stderr
    assert "a selector is empty" in empty.stderr
    assert events_of(robot) == []


def test_more_than_max_is_refused(robot: Robot) -> None:
    """Above --max nothing is asked for, and the thumbnails' bytes are said as what to ask for instead."""
    with Recorder(robot.file) as recorder:
        recorded(recorder)
        done = fleetbox(robot, "pull", robot.id, "--start", "-30m", "--max", "50 B", "--yes")
    assert done.returncode == 2
    assert "--preview brings the thumbnails alone" in done.stderr
    assert events_of(robot) == []


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (PullOrder(Selector.parse("r1"), 5, 5), "--start does not lie before --stop"),
        (PullOrder(Selector.parse("r1"), 5, 30 * SECOND), "only what was recorded"),
        (PullOrder(Selector.parse("r1/imu:ax"), 5, 9), "records travel whole"),
    ],
)
def test_an_order_that_cannot_be_is_a_usage_error(order: PullOrder, text: str) -> None:
    """An empty window, one still to come and a single field are refused before anybody is asked."""
    with pytest.raises(InputError, match=text):
        check_order(order, 20 * SECOND)


def test_a_preview_asks_for_thumbnails_alone() -> None:
    """--preview names the small frames below what was chosen, and keeps a glob that names them already."""
    whole = pull_event(PullOrder(Selector.parse("r1/cam/**"), 0, 9), "r1", "ana")
    assert small(whole).streams == ("cam/**/thumbnail",)
    named = pull_event(PullOrder(Selector.parse("r1/cam/front/preview"), 0, 9, preview=True), "r1", "ana")
    assert (named.streams, named.resolution) == (("cam/front/preview",), "thumbnail")


def test_the_size_of_all_robots_counts() -> None:
    """Two robots that are each below --max are refused when they are above it together."""
    rate, order = Rate(625_000, "--rate"), PullOrder(Selector.parse("*"), 0, 9, max_bytes=100)
    found = [Estimate(name, Size(1, 60), Size(), rate, name, exact=True) for name in ("r1", "r2")]
    check_size(order, found[:1])
    with pytest.raises(InputError, match="more than --max"):
        check_size(order, found)


def test_the_cost_is_a_line_over_the_phone() -> None:
    """3.5 GB at 5 Mbit/s are 93 minutes, and the thumbnails stand beside."""
    rate = Rate(625_000, "--rate")
    one = Estimate("r7", Size(90_000, 3_500_000_000), Size(7_000, 14_000_000), rate, "r7", exact=True)
    assert cost(one) == "r7: 3.5 GB, about 93 min at 5 Mbit/s; thumbnails 14.0 MB"


def test_the_narrowest_cap_counts(robot: Robot) -> None:
    """Without --rate a cap in robot.toml counts, else the policy's; with none the guess is named as one."""
    fleet = find_fleet(robot.file)
    assert rate_of(fleet, robot.id, fleet.policy, None).source.startswith("assumed")
    assert rate_of(fleet, robot.id, fleet.policy, 1_000).bytes_s == 1_000
    robot.write('uplink = { max = "8 Mbit/s" }')
    assert str(rate_of(find_fleet(robot.file), robot.id, fleet.policy, None)) == "8 Mbit/s"
    robot.write('uplink = { max = "8 Mbit/s" }', policy='uplink = { max = "4 Mbit/s" }')
    changed = find_fleet(robot.file)
    assert str(rate_of(changed, robot.id, changed.policy, None)) == "4 Mbit/s"


def test_a_glob_finds_the_robots(robot: Robot) -> None:
    """A glob over robots estimates each that it matches."""
    with Recorder(robot.file) as recorder:
        first_us = recorded(recorder)
        order = PullOrder(Selector.parse(f"{robot.id[:3]}*/log/*"), first_us, first_us + 30 * SECOND)
        assert [one.robot for one in estimates(find_fleet(robot.file), order)] == [robot.id]
