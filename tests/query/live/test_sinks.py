"""Replay elsewhere than to Foxglove: to a real broker, back through a real recorder, onto the terminal."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiomqtt", reason="needs fleetbox[view]")
import aiomqtt

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.records import Record
from fleetbox_local.ports import free_port
from fleetbox_query.live.broker import PASSWORD, Target, target_of

from ..conftest import PATIENCE_S, Tiers, blob, chunk
from ..test_cli import run

T0 = 1_760_000_000_000_000
JPEG = b"\xff\xd8\xff\xe0 a picture"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed here")


def _put(tiers: Tiers, stream: str) -> list[int]:
    times = [T0 + at * 20_000 for at in range(10)]
    columns = {"x": [float(at) for at in range(10)], "nan": [float("nan")] * 10}
    tiers.put("edge", "sensor", [chunk(f"{stream}/imu", times, columns, robot=tiers.robot, run="7")])
    tiers.put("edge", "media", [blob(f"{stream}/cam", T0 + 1, JPEG, robot=tiers.robot, kind="images", run="7")])
    tiers.put("edge", "log", [blob(f"{stream}/log", T0 + 2, b"too hot", robot=tiers.robot, kind="log")])
    return times


@dataclass
class Mosquitto:
    """A real broker on a port of its own, and what a subscriber heard."""

    port: int
    process: subprocess.Popen[bytes]
    heard: list[Any] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def listen(self, count: int) -> None:
        """Hear so many messages."""
        asyncio.run(self._listen(count))

    async def _listen(self, count: int) -> None:
        async with aiomqtt.Client("127.0.0.1", self.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe("#", qos=1)
            self.ready.set()
            async with asyncio.timeout(100):
                async for message in client.messages:
                    self.heard.append(message)
                    if len(self.heard) == count:
                        return


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that takes whoever comes from this machine."""
    assert MOSQUITTO is not None
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < deadline, "mosquitto did not start"
        time.sleep(0.02)
    yield Mosquitto(port, process)
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def patient_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker or recorder that a busy machine makes slow has not gone."""
    monkeypatch.setattr("fleetbox_query.live.broker.SEND_S", PATIENCE_S)
    monkeypatch.setattr("fleetbox_query.cli.replay.FLUSH_S", PATIENCE_S)


@needs_broker
def test_into_a_broker(broker: Mosquitto, tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Rows come as JSON, pictures as they are, under PREFIX/ROBOT/STREAM, with time, type and labels beside them."""
    times = _put(tiers, stream)
    listener = threading.Thread(target=broker.listen, args=(12,))
    listener.start()
    assert broker.ready.wait(60)
    words = ("--rate", "10", "--to", f"mqtt://127.0.0.1:{broker.port}/lab/again", "--json")
    done = run(tiers.write_fleet(tmp_path), "replay", f"{tiers.robot}/{stream}/**", *words)
    listener.join(100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"schema_version": 1, "sent": 12, "missing": [], "told": []}
    top = f"lab/again/{tiers.robot}/{stream}"
    rows = [json.loads(one.payload) for one in broker.heard if one.topic.value == f"{top}/imu"]
    assert [one["time_us"] for one in rows] == times
    assert rows[3]["fields"] == {"x": 3.0, "nan": "NaN"}
    (picture,) = [one for one in broker.heard if one.topic.value == f"{top}/cam"]
    assert (picture.payload, picture.properties.ContentType) == (JPEG, "image/jpeg")
    said = dict(picture.properties.UserProperty)
    assert (said["time_us"], said["type"], said["run"]) == (str(T0 + 1), "images", "7")


@needs_broker
def test_a_broker_that_goes_away(broker: Mosquitto, tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """The broker dies in the middle: a clear error and exit code 4, not a hang."""
    times = [T0 + at * 1_000_000 for at in range(60)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"x": [0.0] * 60}, robot=tiers.robot)])

    def heard() -> None:
        broker.listen(1)
        broker.process.kill()

    killer = threading.Thread(target=heard)
    killer.start()
    assert broker.ready.wait(60)
    words = ("--rate", "1", "--to", f"mqtt://127.0.0.1:{broker.port}")
    done = run(tiers.write_fleet(tmp_path), "replay", f"{tiers.robot}/{stream}", *words)
    killer.join(100)
    assert done.returncode == 4, done.stderr
    assert f"127.0.0.1:{broker.port}" in done.stderr


def test_no_broker(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Nobody listens there: unreachable, said before anything is read."""
    _put(tiers, stream)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{taken.getsockname()[1]}"
        done = run(tiers.write_fleet(tmp_path), "replay", f"{tiers.robot}/{stream}/imu", "--to", url)
    assert done.returncode == 4, done.stderr
    assert "is the broker running there?" in done.stderr


def test_addresses_of_brokers() -> None:
    """An address says broker, user and prefix; the password stands in the environment alone."""
    assert target_of("mqtt://h", {}) == Target("h", 1883)
    assert target_of("mqtts://me@h:1/a/b/", {PASSWORD: "s"}) == Target("h", 1, True, "me", "s", "a/b")
    for wrong in ("mqtt://", "http://h", "mqtt://h:x", "mqtt://me:secret@h", "mqtt://h/a/#"):
        with pytest.raises(InputError) as told:
            target_of(wrong, {})
        assert "secret" not in str(told.value)


@pytest.mark.usefixtures("own_robot")
def test_back_through_the_recorder(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """What a robot recorded is recorded by another one, now, with its labels and a word where it comes from."""
    _put(tiers, stream)
    robot = tiers.stores["robot"]
    other = f"o-{stream}"
    (tmp_path / "robot-own.token").write_text(robot.token)
    (tmp_path / "robot.toml").write_text(
        f'robot = "{other}"\nstore = "{robot.url}"\nstore_token = {{ file = "robot-own.token" }}\n'
        f'state = "{tmp_path}/state"\n'
    )
    before_us = time.time_ns() // 1000
    words = ("--rate", "10", "--to", "recorder", "--config", str(tmp_path / "robot.toml"), "--prefix", "again")
    done = run(tiers.write_fleet(tmp_path), "replay", f"{tiers.robot}/{stream}/**", *words)
    assert done.returncode == 0, done.stderr
    (picture,) = asyncio.run(_read(tiers, "media", f"again/{stream}/cam"))
    (text,) = asyncio.run(_read(tiers, "log", f"again/{stream}/log"))
    rows = asyncio.run(_read(tiers, "sensor", f"again/{stream}/imu"))
    assert (picture.data, text.data) == (JPEG, b"too hot")
    assert (picture.labels["robot"], picture.labels["replay_of"], picture.labels["run"]) == (other, tiers.robot, "7")
    assert sum(int(one.labels["rows"]) for one in rows) == 10
    assert picture.time_us >= before_us


async def _read(tiers: Tiers, bucket: str, entry: str) -> list[Record]:
    process = tiers.stores["robot"]
    async with Store(process.url, process.token, name="robot") as store:
        return [record async for record in store.query(bucket, (entry,))]


def test_onto_the_terminal(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """A line each, in order of time, from where --seek says."""
    _put(tiers, stream)
    words = ("--to", "text", "--rate", "10", "--seek", str(T0 + 100_000))
    done = run(tiers.write_fleet(tmp_path), "replay", f"{tiers.robot}/{stream}/**", *words)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == 5
    assert all(f"{tiers.robot}/{stream}/imu  x=" in line for line in lines)


def test_words_that_do_not_go_together(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Unknown places and a play button where there is none are usage errors; an unknown event is not found."""
    _put(tiers, stream)
    path, name = tiers.write_fleet(tmp_path), f"{tiers.robot}/{stream}/imu"
    assert run(path, "replay", name, "--to", "ftp://x").returncode == 2
    assert run(path, "replay", name, "--to", "text", "--paused").returncode == 2
    assert run(path, "replay", name, "--rate", "0").returncode == 2
    assert run(path, "replay", name, "--start", str(T0 + 1), "--stop", str(T0)).returncode == 2
    assert "is not known" in run(path, "replay", f"event:no-{stream}").stderr
