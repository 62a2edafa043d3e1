"""The sink: whatever goes wrong is a 503, because after any other answer the engine drops the batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from fleetbox.records import Record
from fleetbox_cloud.door import last_port, open_door
from fleetbox_cloud.sink import Sink

GOOD = {"Authorization": "Bearer secret"}


class Broken:
    """Stand where the loader is, and fail in a way nobody foresaw."""

    async def load(self, bucket: str, entry: str, records: Sequence[Record]) -> int:
        """Fail."""
        raise ZeroDivisionError("nobody foresaw this")


class Heard:
    """Note what the sink tells."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def gap(self, bucket: str) -> None:
        """Note a gap."""
        self.calls.append(bucket)

    def stranger(self) -> None:
        """Note a stranger."""
        self.calls.append("stranger")

    def restarted(self) -> None:
        """Note a restart."""
        self.calls.append("restarted")

    def recovered(self, lasted_s: float) -> None:
        """Note a recovery."""
        self.calls.append("recovered")


class Seen:
    """Stand where the loader is, and remember what came."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, int, bytes]] = []

    async def load(self, bucket: str, entry: str, records: Sequence[Record]) -> int:
        """Remember the records."""
        self.records += [(bucket, entry, record.time_us, record.data) for record in records]
        return len(records)


async def send(sink: Sink, folder: Path, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> int:
    """Send one request to the sink behind a real door and return the status."""
    async with (
        open_door(folder, sink.routes()) as url,
        aiohttp.ClientSession() as session,
        session.request(method, f"{url}/api/v1/b/{path}", headers=headers, data=body) as answer,
    ):
        return answer.status


def make_sink(loader: Any) -> tuple[Sink, list[str]]:
    """Make a sink that notes gaps and strangers."""
    sink = Sink(heard := Heard(), "secret")
    sink.loader = loader
    return sink, heard.calls


def test_a_batch_is_taken_apart(tmp_path: Path) -> None:
    """Two records of one body reach the loader, oldest first, under the bucket they come from."""
    sink, _ = make_sink(seen := Seen())
    headers = GOOD | {"x-reduct-time-20": "3,text/plain,rows=1", "x-reduct-time-3": "2,text/plain,rows=1"}
    assert asyncio.run(send(sink, tmp_path, "POST", "r1--kept-points/a/b/batch", headers, b"xxyyy")) == 200
    assert seen.records == [("r1--kept", "a/b", 3, b"xx"), ("r1--kept", "a/b", 20, b"yyy")]


def test_an_unforeseen_fault_costs_no_chunk(tmp_path: Path) -> None:
    """A bug in loading is a 503 with its name in the report."""
    sink, _ = make_sink(Broken())
    headers = GOOD | {"x-reduct-time-3": "2,text/plain,rows=1"}
    assert asyncio.run(send(sink, tmp_path, "POST", "r1--sensor-points/imu/batch", headers, b"xx")) == 503
    assert "nobody foresaw this" in (sink.trouble or "")


def test_the_end_of_trouble_is_told_once(tmp_path: Path) -> None:
    """The first batch that is loaded after a failure tells the listener, the next one does not."""
    sink, calls = make_sink(Broken())
    headers = GOOD | {"x-reduct-time-3": "2,text/plain,rows=1"}

    async def main() -> None:
        await send(sink, tmp_path, "POST", "r1--sensor-points/imu/batch", headers, b"xx")
        sink.loader = Seen()  # type: ignore[assignment]
        for _ in range(2):
            await send(sink, tmp_path, "POST", "r1--sensor-points/imu/batch", headers, b"xx")

    asyncio.run(main())
    assert (calls, sink.trouble) == (["recovered"], None)


def test_without_a_loader_the_engine_waits(tmp_path: Path) -> None:
    """Before InfluxDB is reached every batch is a 503; probes and label updates are answered."""
    sink, _ = make_sink(None)
    headers = GOOD | {"x-reduct-time-3": "2,text/plain,rows=1"}
    assert asyncio.run(send(sink, tmp_path, "POST", "r1--sensor-points/imu/batch", headers, b"xx")) == 503
    assert asyncio.run(send(sink, tmp_path, "GET", "r1--sensor-points", GOOD)) == 200
    assert asyncio.run(send(sink, tmp_path, "PATCH", "r1--sensor-points/imu/batch", headers)) == 200


def test_strangers_are_turned_away(tmp_path: Path) -> None:
    """Without the secret nothing is taken; it is a 503, since it may be our own store with a former secret."""
    sink, calls = make_sink(seen := Seen())
    headers = {"Authorization": "Bearer other", "x-reduct-time-3": "2,text/plain,rows=1"}
    assert asyncio.run(send(sink, tmp_path, "POST", "r1--sensor-points/imu/batch", headers, b"xx")) == 503
    assert (seen.records, calls) == ([], ["stranger"])


def test_without_a_secret_nobody_is_let_in(tmp_path: Path) -> None:
    """Before the site's own token was read, the engine waits and no task is called a stranger."""
    sink, calls = make_sink(seen := Seen())
    sink.secret = None
    assert asyncio.run(send(sink, tmp_path, "POST", "r1--sensor-points/imu/batch", GOOD, b"xx")) == 503
    assert (seen.records, calls) == ([], [])


def test_an_unreadable_batch_is_swept_instead(tmp_path: Path) -> None:
    """A body that does not match its headers cannot block its entry: its bucket is listed and read instead."""
    sink, calls = make_sink(seen := Seen())
    headers = GOOD | {"x-reduct-time-3": "20,text/plain,rows=1"}
    assert asyncio.run(send(sink, tmp_path, "POST", "r1--sensor-points/imu/batch", headers, b"xx")) == 200
    assert (seen.records, calls) == ([], ["r1--sensor"])


def test_a_store_started_anew_is_noticed(tmp_path: Path) -> None:
    """The engine names its run in every request: another name is told once, the first one is not."""
    sink, calls = make_sink(None)
    for run in ("a", "a", "b", "b"):
        asyncio.run(send(sink, tmp_path, "GET", "r1--sensor-points", GOOD | {"x-reduct-node-id": f"run:{run}"}))
    assert calls == ["restarted"]


def test_attachments_are_no_chunks(tmp_path: Path) -> None:
    """A task sends `$meta` entries whatever its filter says; they are taken and left alone."""
    sink, _ = make_sink(seen := Seen())
    headers = GOOD | {"x-reduct-time-3": "2,application/json,key=schema"}
    assert asyncio.run(send(sink, tmp_path, "POST", "r1--sensor-points/imu/$meta/batch", headers, b"{}")) == 200
    assert seen.records == []


def test_the_door_keeps_its_port(tmp_path: Path) -> None:
    """Started again, the door listens where the tasks already send to; with the port taken it finds another."""

    async def main() -> None:
        async with open_door(tmp_path, []) as first:
            assert first.endswith(f":{last_port(tmp_path)}")
        async with open_door(tmp_path, []) as again:
            assert again == first
            async with open_door(tmp_path, []) as other:
                assert other != again

    asyncio.run(main())
