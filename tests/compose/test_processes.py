"""Real servers start, refuse what would harm them and come back with their data."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import FleetboxError
from fleetbox.records import Draft
from fleetbox_local import processes
from fleetbox_local.ports import is_free, take_port
from fleetbox_local.processes import StoreProcess, ask, free_port


def test_store_serves_and_stops(tmp_path: Path) -> None:
    """A store gets ready, answers, and stops gracefully."""
    store = StoreProcess(tmp_path / "data")
    store.start()
    store.wait_ready()
    assert ask(store.port, "GET", "/api/v1/alive").status == 200
    assert ask(store.port, "GET", "/api/v1/info").status == 401
    assert store.stop() == "stopped"
    assert ask(store.port, "GET", "/api/v1/alive").status == 0


def test_kill_and_start_again(new_store_server: Any) -> None:
    """A killed store starts again on the same port and folder."""
    server = new_store_server()
    port = server.port
    server.kill()
    assert ask(port, "GET", "/api/v1/alive").status == 0
    server.start()
    assert ask(port, "GET", "/api/v1/alive").status == 200


def test_a_store_killed_while_it_made_a_bucket_starts_again(new_store_server: Any) -> None:
    """A folder that got no settings yet, with the engine's index or without, goes; buckets stay, empty ones too."""
    server = new_store_server()

    async def make() -> None:
        async with Store(server.url, server.token) as store:
            for bucket in ("empty", "sensor"):
                await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
            await store.write("sensor", [Draft("imu", 1_790_000_000_000_000, b"x", {}, "text/plain")])

    async def held() -> dict[str, int]:
        async with Store(server.url, server.token) as store:
            return {name: sum(one.records for one in await store.entries(name)) for name in await store.buckets()}

    asyncio.run(make())
    server.process.stop()  # gracefully: what it holds is on disk
    for name, index in (("media", ".folder"), ("log", "")):
        folder = server.data_dir / name
        folder.mkdir()
        if index:
            (folder / index).write_bytes(b"")
    server.start()
    assert asyncio.run(held()) == {"empty": 0, "sensor": 1}


def test_busy_port_is_named(tmp_path: Path) -> None:
    """A busy port is an error that names it, before the server is started."""
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(FleetboxError, match=f"127.0.0.1:{port}: the port is taken"):
            StoreProcess(tmp_path / "data", port).start()


def test_busy_folder_is_refused(tmp_path: Path, new_store_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers never get the same data folder; it is free again once the first one is dead."""
    monkeypatch.setattr(processes, "LOCK_WAIT_S", 0.1)
    first = new_store_server()
    second = StoreProcess(first.data_dir)
    with pytest.raises(FleetboxError, match="in use by another server"):
        second.start()
    first.kill()
    second.start()
    second.wait_ready()
    second.kill()


def test_free_port_never_repeats() -> None:
    """A port is given out once, even before anybody listens on it."""
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)


def test_a_port_that_another_process_chose_is_not_ours() -> None:
    """What another process chose and does not listen on yet is given to nobody here, until that process has ended."""

    class Always(random.Random):
        """Choose one port again and again."""

        def randrange(self, *_: object) -> int:
            return port

    begin = "from fleetbox_local.ports import free_port; print(free_port(), flush=True); input()"
    words = [sys.executable, "-c", begin]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        assert is_free(port)
        assert not take_port(port)
        with pytest.raises(FleetboxError, match="found no free port"):
            free_port(Always())
        other.kill()
    assert free_port(Always()) == port
    assert take_port(port), "our own"


def test_influx_is_set_up(influx_server: Any) -> None:
    """A fresh InfluxDB has its organisation, bucket and token, and starts again without a second set-up."""
    port = influx_server.port
    assert json.loads(ask(port, "GET", "/api/v2/setup").body) == {"allowed": False}
    influx_server.stop()
    influx_server.start()
    assert ask(port, "GET", "/health").status == 200
