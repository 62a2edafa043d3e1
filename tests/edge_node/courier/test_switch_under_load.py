"""Policies ordered over the air change what travels while a robot records: what was selected arrives, and once."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from fleetbox.blobs import Store
from fleetbox.naming import site_bucket
from fleetbox_edge.recorder import Recorder
from fleetbox_local.ports import free_port

from ..test_duties import until_settled
from .conftest import Seat, until

TEXTS = (
    '[stream."**"]\nship = "always"',
    '[stream."**"]\nship = "always"\nto = "edge"',
    '[stream."log/app"]\n[stream."**"]\nship = "always"\n[uplink]\nmax = "80 Mbit/s"',
    '[stream."log/ram"]\nring = "ram 60 s"\n[stream."**"]\nship = "always"',
    '[stream."**"]\nship = "always"',
)
STREAMS = {"imu": "sensor", "log/app": "log", "log/ram": "log"}

Held = dict[tuple[str, int], str]


@pytest.mark.timeout(600)  # five answers, and what the engine sends again after ten seconds
def test_what_was_selected_before_and_after_each_switch_arrives_once(seat: Seat) -> None:
    """Five signed policies: the site has each selected record, once and whole.

    At the robot nothing is missing, whichever way its streams went, and most of it was selected.
    """
    config = seat.robot.file
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    with Recorder(config) as recorder:
        stop, counts = threading.Event(), Counter[str]()

        def log() -> None:
            while not stop.is_set():
                recorder.log("imu", {"n": counts["imu"], "x": 0.5})
                counts["imu"] += 1
                if counts["imu"] % 20 == 0:
                    for stream in ("log/app", "log/ram"):
                        recorder.log(stream, f"line {counts[stream]}")
                        counts[stream] += 1
                stop.wait(0.001)

        until_settled(recorder)  # what is written before its task stands travels only when it is repaired
        seat.answer(seat.order("event", {}))  # orders are fetched: the first policy is in force as soon as any other
        thread = threading.Thread(target=log)
        thread.start()
        try:
            for number, text in enumerate(TEXTS):
                answer = seat.answer(seat.send(seat.envelope(f"version = {number + 2}\n{text}")))
                assert answer.state == "applied", answer
                before, held_s = counts["log/app"], time.monotonic() + 0.5
                until(lambda: counts["log/app"] >= before + 20 and time.monotonic() > held_s)  # noqa: B023 - asked at once
        finally:
            stop.set()
            thread.join()
        recorder.flush(60)
        assert recorder.stats().drops == {}
        for stream in ("log/app", "log/ram"):
            lines = sorted(seat.robot.records("log", stream), key=lambda record: record.time_us)
            assert [record.data.decode() for record in lines] == [f"line {n}" for n in range(counts[stream])]
        assert [row["n"] for row in seat.robot.rows("imu")] == list(range(counts["imu"]))
        selected = seat.ask(lambda store: _held(store, lambda cls: cls, only_kept=True))
        assert Counter(stream for stream, _ in selected)["log/app"] > counts["log/app"] // 4
        until(lambda: seat.ask(lambda store: _arrived(store, seat.robot.id), site=True) == selected, 200)
    assert seat.robot.unnamed() == {}


async def _arrived(store: Store, robot: str) -> Held:
    return await _held(store, lambda cls: site_bucket(robot, cls), only_kept=False)


async def _held(store: Store, bucket_of: object, *, only_kept: bool) -> Held:
    """Return stream and stamp of each readable record, with its hash; a key that is there twice raises."""
    found: Held = {}
    for cls in sorted(set(STREAMS.values())):
        async for head in store.query(bucket_of(cls), head=True, start_us=0):  # type: ignore[operator]
            if head.entry in STREAMS and ("keep" in head.labels or not only_kept):
                assert (head.entry, head.time_us) not in found
                found[head.entry, head.time_us] = head.labels["xxh"]
    return found
