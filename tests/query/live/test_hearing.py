"""On the robot itself rows are seen when they are logged, not when their chunk is closed; then each only once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("foxglove", reason="needs fleetbox[view]")

from fleetbox_edge.recorder import Recorder
from fleetbox_query.fleet import connect
from fleetbox_query.items import Item
from fleetbox_query.live.hearing import Hearing

from ..conftest import Tiers
from .conftest import Watcher
from .test_watching import _followed


def _settings(tiers: Tiers, folder: Path) -> Path:
    """Write a robot.toml with chunks of a minute."""
    robot = tiers.stores["robot"]
    (folder / "own.token").write_text(robot.token)
    path = folder / "robot.toml"
    path.write_text(
        f'robot = "{tiers.robot}"\nstore = "{robot.url}"\nstore_token = {{ file = "own.token" }}\n'
        f'state = "{folder}/state"\nchunk = "60s"\n'
    )
    return path


def _shown(client: Watcher, stream: str) -> Watcher:
    """Return a viewer that has subscribed to the one stream there is, and has got something of it."""
    client.topics(1)
    client.subscribe(f"/{stream}")
    client.until(lambda: client.got)
    return client


@pytest.mark.usefixtures("own_robot")
def test_rows_before_their_chunk(tiers: Tiers, stream: str, tmp_path: Path, watch: Callable[[str], Watcher]) -> None:
    """With chunks of a minute, rows come within a second of log(); when the chunk comes, none comes again."""
    path = _settings(tiers, tmp_path)
    with Recorder(path) as rec:
        rec.log(stream, {"x": -1.0})
        rec.log(f"{stream}-other", {"x": -1.0})
        rec.flush(60)
        with connect(path) as fleet, _followed(fleet, f"{tiers.robot}/{stream}") as url:
            client = _shown(watch(url), stream)
            logged: list[int] = []

            def is_heard() -> bool:
                logged.append(len(logged))
                rec.log(stream, {"x": float(logged[-1])})
                rec.log(f"{stream}-other", {"x": 0.0})
                return len(client.got) > 1

            client.until(is_heard)  # from the agent's next look on
            began_s = time.monotonic()
            rec.log(stream, {"x": 1e6}, labels={"run": 7})
            client.until(lambda: client.got[-1].json == {"x": 1e6})
            assert time.monotonic() - began_s < 30, "not when the chunk is closed"
            rec.flush(60)
            rec.log(stream, {"x": 2e6})
            client.until(lambda: client.got[-1].json == {"x": 2e6})
            rec.flush(60)
            rec.log(stream, {"x": 3e6})
            client.until(lambda: client.got[-1].json == {"x": 3e6})
            times = [one.time_ns for one in client.got]
            assert times == sorted(set(times))
            assert [one.json["x"] for one in client.got].count(1e6) == 1
    assert not list((tmp_path / "state" / "live").iterdir())


@pytest.mark.usefixtures("own_robot")
def test_a_row_that_is_heard_after_its_chunk(
    tiers: Tiers, stream: str, tmp_path: Path, watch: Callable[[str], Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the chunk may be seen before what was said of its rows: they are shown once."""
    held: list[Item] = []
    free: list[bool] = []
    heard = Hearing.items

    def late(hearing: Hearing, expression: object) -> Iterator[Item]:
        held.extend(heard(hearing, expression))  # type: ignore[arg-type]
        while free and held:
            yield held.pop(0)

    monkeypatch.setattr(Hearing, "items", late)
    path = _settings(tiers, tmp_path)
    with Recorder(path) as rec:
        rec.log(stream, {"x": -1.0})
        rec.flush(60)
        with connect(path) as fleet, _followed(fleet, f"{tiers.robot}/{stream}") as url:
            client = _shown(watch(url), stream)

            def is_said() -> bool:
                rec.log(stream, {"x": 0.0})
                return bool(held)

            client.until(is_said)
            rec.flush(60)
            client.until(lambda: client.got[-1].time_ns >= held[0].time_us * 1000)
            free.append(True)
            rec.log(stream, {"x": 1.0})
            client.until(lambda: client.got[-1].json == {"x": 1.0})
            times = [one.time_ns for one in client.got]
            assert times == sorted(set(times))
