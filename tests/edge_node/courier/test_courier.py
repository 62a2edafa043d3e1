"""A robot fetches orders, does what it may, and answers; nothing else ever changes what it does."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox.events import Event, read_events
from fleetbox.settings import parse_policy
from fleetbox.signing import Envelope, new_key, sign
from fleetbox_edge.recorder import Recorder

from .conftest import DAY_US, Seat, now_us, until

TWELVE = 'version = 12\n[stream.imu]\nship = "always"\n'
PULL = Event("", "pull", "", 0, 0, 0, ("imu",), "what was that?")


def labels(seat: Seat, stream: str = "imu") -> list[dict[str, str]]:
    """Return the labels of a stream's records on the robot, in order of time."""
    return [record.labels for record in seat.robot.records("sensor", stream)]


def test_a_policy_comes_in_force_without_a_restart(seat: Seat) -> None:
    """A signed policy applies within seconds; what is written from then on bears its hash, and its text is told."""
    with Recorder(seat.robot.file) as recorder:
        recorder.log("imu", {"x": 1.0})
        recorder.flush(60)
        envelope = seat.envelope(TWELVE)
        order, began_s = seat.send(envelope), time.monotonic()
        answer = seat.answer(order)
        assert time.monotonic() - began_s < 60
        wanted = parse_policy(TWELVE)
        assert (answer.state, answer.policy, answer.body["version"]) == ("applied", wanted.hash, 12)
        recorder.log("imu", {"x": 2.0})
        recorder.flush(60)
        followed = until(lambda: (told := seat.followed()).order and told)
    assert (followed.hash, followed.envelope, followed.policy) == (wanted.hash, envelope, wanted)
    assert [found.get("policy") for found in labels(seat)] == [None, wanted.hash]


def test_the_policy_holds_after_a_restart_and_is_not_applied_twice(seat: Seat) -> None:
    """What was taken over the air lies on the disk; an order that was answered is never answered again."""
    with Recorder(seat.robot.file):
        order = seat.send(seat.envelope(TWELVE))
        seat.answer(order)
    with Recorder(seat.robot.file) as recorder:
        assert recorder.live.current.version == 12
        seat.answer(seat.order("event", {}))  # the desk has been read since
    assert len(seat.answers(order)) == 1


def _bad(seat: Seat, fault: str) -> Envelope:
    """Return an envelope that this robot must refuse."""
    good = seat.envelope(TWELVE)
    stranger, _ = new_key()
    return {
        "unsigned": lambda: replace(good, signature=""),
        "forged": lambda: replace(good, text=TWELVE.replace("12", "13")),
        "stranger": lambda: sign(good, stranger),
        "expired": lambda: seat.envelope(TWELVE, expires_us=now_us() - 1),
        "ended": lambda: seat.envelope("expires = 2020-01-01T00:00:00Z\n" + TWELVE),
        "older": lambda: seat.envelope(TWELVE, issued_us=now_us() - DAY_US, expires_us=now_us() + DAY_US),
        "other": lambda: seat.envelope(TWELVE, robots=("somebody-else-*",)),
        "no toml": lambda: seat.envelope("version = "),
        "no policy": lambda: seat.envelope('[stream.imu]\nship = "sometimes"\n'),
        "no rule": lambda: seat.envelope('[trigger.t]\non = "imu"\nwhen = "x <"\n'),
    }[fault]()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("unsigned", "unsigned"), ("forged", "forged"), ("stranger", "unsigned"), ("expired", "expired"),
        ("ended", "expired"), ("older", "older"), ("other", "other robot"), ("no toml", "unreadable"),
        ("no policy", "unreadable"), ("no rule", "unreadable"),
    ],
)  # fmt: skip
def test_what_a_robot_must_not_take_changes_nothing(seat: Seat, fault: str, reason: str) -> None:
    """A policy that is not vouched for, not for this robot, not of this time or not usable is refused with a reason."""
    with Recorder(seat.robot.file) as recorder:
        first = seat.send(seat.envelope("version = 3\n"))
        seat.answer(first)
        before = recorder.live.taken
        answer = seat.answer(seat.send(_bad(seat, fault)))
        assert answer.state == "refused"
        assert answer.reason.startswith(f"{reason}: ")
        assert recorder.live.taken is before
        assert answer.policy == parse_policy("version = 3\n").hash


def test_foreign_bytes_in_the_desk_stop_nobody(seat: Seat) -> None:
    """Records that are no order, and orders whose body is anything at all, leave the robot fetching."""
    from fleetbox.naming import desk_bucket
    from fleetbox.records import Draft

    async def litter(store: Store) -> None:
        for number, data in enumerate((b"", b"[]", b'{"id": 3}', b"\xff" * 100)):
            draft = Draft("orders/ada", now_us() + number, data, {}, "text/plain")
            await store.write(desk_bucket(seat.robot.id), [draft])

    seat.ask(litter, site=True)
    bodies: list[dict[str, Any]] = [{}, {"text": 3, "robots": 4}, {"start_us": "x", "streams": 1}]
    with Recorder(seat.robot.file):
        orders = [seat.order(kind, body) for body in bodies for kind in ("event", "policy", "dance")]
        assert {seat.answer(order).state for order in orders} == {"refused"}
        assert seat.answer(seat.send(seat.envelope(TWELVE))).state == "applied"


def test_a_month_offline_ends_with_the_newest_policy(seat: Seat) -> None:
    """Of many policies ordered meanwhile only the newest is taken; the others are answered too, also from two desks."""
    texts = [f"version = {number}\n" for number in (1, 2, 3)]
    orders = [seat.send(seat.envelope(text), writer=f"writer{n % 2}") for n, text in enumerate(texts)]
    late = seat.send(seat.envelope("version = 9\n"), expires_us=now_us() - 1)
    unsigned = seat.send(replace(seat.envelope("version = 10\n"), signature=""))
    with Recorder(seat.robot.file) as recorder:
        states = [seat.answer(order).state for order in (*orders, late, unsigned)]
        assert states == ["refused", "refused", "applied", "refused", "refused"]
        assert recorder.live.current.version == 3


def test_an_ordered_event_keeps_its_moment(seat: Seat) -> None:
    """An event ordered at the site is raised on the robot under its own id, once, however often it is ordered."""
    with Recorder(seat.robot.file) as recorder:
        recorder.log("imu", {"x": 1.0})
        recorder.flush(60)
        at_us = now_us()
        event = replace(PULL, id="pull-1", robot=seat.robot.id, time_us=at_us, start_us=at_us - 10**8, stop_us=at_us)
        for _ in range(2):
            assert seat.answer(seat.raise_event(event)).state == "marked"
        until(lambda: any(found.get("keep") == "1" for found in labels(seat)))
        events = seat.ask(lambda store: read_events(store, ["meta"]))
    assert [found.id for found in events] == ["pull-1"]


def test_a_pull_that_comes_too_late_says_what_is_left(seat: Seat) -> None:
    """A window that began before the oldest record says so; one of which nothing is left raises no event."""
    with Recorder(seat.robot.file) as recorder:
        for ago_s in (7_200, 3_600):
            recorder.log("imu", {"x": 1.0}, time=f"now-{ago_s}s")
        recorder.flush(60)
        now = now_us()
        hour_us = 3_600_000_000
        partly = replace(
            PULL, robot=seat.robot.id, time_us=now - hour_us, start_us=now - 9 * hour_us, stop_us=now - hour_us // 2
        )
        gone = replace(partly, start_us=now - 9 * hour_us, time_us=now - 8 * hour_us, stop_us=now - 7 * hour_us)
        answer = seat.answer(seat.raise_event(partly))
        assert answer.state == "marked"
        assert "1 of 1 streams reach back less far: imu from " in answer.reason
        answer = seat.answer(seat.raise_event(gone))
        assert answer.state == "nothing"
        assert answer.reason.startswith("nothing of that time is left here: ")
        late = seat.answer(seat.raise_event(partly, expires_us=now - 1))
        assert (late.state, late.reason) == ("expired", "it was fetched too late")
        assert len(seat.ask(lambda store: read_events(store, ["meta"]))) == 1


def test_an_outage_of_the_site_is_waited_out(seat: Seat) -> None:
    """While the site is away nothing changes and nobody is bothered; the order is taken once it is back."""
    order = seat.send(seat.envelope(TWELVE))
    seat.site.stop()
    with Recorder(seat.robot.file) as recorder:
        recorder.log("imu", {"x": 1.0})
        recorder.flush(60)
        assert recorder.live.taken is None
        seat.site.start()
        assert seat.answer(order).state == "applied"
        assert recorder.live.current.version == 12


STORM = """
version = 3
[stream.imu]
ship = "event"
[event.storm]
pre = "5s"
post = "1s"
[trigger.storm]
on = "imu"
when = "true"
mode = "level"
cooldown = "1s"
[budget]
bytes_per_day = "10 kB"
"""


def test_an_always_true_trigger_is_rolled_back_by_the_budget(seat: Seat) -> None:
    """A trigger that never rests selects more than a day allows: the robot itself returns to what it had."""
    with Recorder(seat.robot.file) as recorder:
        before = recorder.live.current.hash
        order = seat.send(seat.envelope(STORM))
        assert seat.answer(order).state == "applied"

        def stormed() -> bool:
            recorder.log("imu", {f"x{n}": time.time() * n for n in range(50)})
            return recorder.live.taken is None

        until(stormed)
        until(lambda: [answer.state for answer in seat.answers(order)] == ["applied", "rolled back"])
        answer = seat.answers(order)[-1]
        assert answer.reason.startswith("budget: ")
        assert answer.policy == before


def test_the_uplink_is_changed_over_the_air(seat: Seat) -> None:
    """The relay's pace follows the policy in force, and robot.toml again once that has ended."""
    with Recorder(seat.robot.file) as recorder:
        recorder.log("imu", {"x": 1.0})
        recorder.flush(60)
        agent = recorder._agent
        assert agent is not None
        assert agent.duties is not None
        assert agent.duties.onward is not None
        pace = agent.duties.onward.pace
        text = '[uplink]\nmax = "8 Mbit/s"\norder = ["media", "meta"]\n'
        order = seat.send(seat.envelope(text))
        assert seat.answer(order).state == "applied"
        until(lambda: (pace.max_bytes_s, pace.order[:2]) == (1_000_000, ("media", "meta")))
        recorder.live._now_us = lambda: now_us() + 2 * DAY_US  # it has ended
        until(lambda: (pace.max_bytes_s, pace.order[0]) == (None, "meta"))
        until(lambda: [answer.state for answer in seat.answers(order)] == ["applied", "expired"])
