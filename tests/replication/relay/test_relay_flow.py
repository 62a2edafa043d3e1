"""The relay on healthy servers: what tasks send arrives whole, labels and all."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from fleetbox_replication.relay.server import STOP_S

Hops = Callable[..., Any]
MEGABYTE = 1_000_000


def ticks(first: int, end: int) -> range:
    """Return times as sensors make them: apart by more than a µs."""
    return range(first * 1_000, end * 1_000, 1_000)


def test_everything_selected_arrives_and_nothing_else(hop: Hops) -> None:
    """Records of several entries, slashes in their names, arrive; those the filter leaves out stay."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            await h.write("imu", ticks(1, 400), 3_000)
            await h.write("cam/front/preview", ticks(1, 40), 100_000)
            await h.write("cam/front", ticks(1, 40), 1_000, labels={"robot": "r1"}, expect=False)
            await h.arrived()
            assert await h.count_there("imu") == 399
            await h.until(lambda: h.shown()["records"] >= len(h.written) and not h.shown()["in_flight"])
            shown = h.relay.counters()
            assert shown["records"] == len(h.written)
            assert shown["reachable"]
            assert not shown["refused"]
            assert shown["held_bytes"] == 0

    asyncio.run(run())


def test_the_status_is_read_without_the_secret(hop: Hops) -> None:
    """Counters are served as JSON to anybody on this machine; everything else asks for the secret."""

    async def run() -> None:
        async with hop() as h, h.session.get(f"{h.relay.url}/relay/status") as answer:
            shown = json.loads(await answer.read())
            assert answer.status == 200
            assert shown["destination"] == h.destination.url
            assert shown["schema_version"] == 1
            assert h.destination.token not in str(shown)
            for method, path, status in (
                ("GET", f"/api/v1/b/{h.bucket}", 401),
                ("POST", f"/api/v1/b/{h.bucket}/imu/batch", 503),  # a 401 here would make the engine drop the batch
                ("PATCH", f"/api/v1/b/{h.bucket}/imu/batch", 503),
            ):
                async with h.session.request(method, h.relay.url + path, headers={"x-reduct-time-1": "0,,"}) as refused:
                    assert refused.status == status, (method, path)
            headers = {"Authorization": f"Bearer {h.secret}"}
            async with h.session.delete(f"{h.relay.url}/api/v1/b/{h.bucket}", headers=headers) as refused:
                assert refused.status == 405

    asyncio.run(run())


@pytest.mark.slow
def test_a_promoted_ring_arrives_once_link_up_or_down(hop: Hops) -> None:
    """A thousand ring records are relabelled with the link up, a thousand with it down: each arrives, labels too."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            ring = {"robot": "r1"}
            await h.write("cam/up", ticks(1, 1_001), 2_000, labels=ring)
            await h.write("cam/down", ticks(1, 1_001), 2_000, labels=ring)
            await h.relabel("cam/up", ticks(1, 1_001), "keep=1,policy=abc")
            await h.until(lambda: h.shown()["records"] >= 1_000)
            await asyncio.to_thread(h.destination.kill)
            await h.relabel("cam/down", ticks(1, 1_001), "keep=1,policy=abc")
            await h.until(lambda: h.shown()["reachable"] is False)
            await asyncio.to_thread(h.destination.start)
            await h.arrived()
            assert await h.count_there("cam/up") == 1_000
            assert await h.count_there("cam/down") == 1_000
            assert (await h.labels_there("cam/down", 1_000))["policy"] == "abc"

    asyncio.run(run())


def test_a_record_patched_twice_before_it_is_sent_arrives(hop: Hops) -> None:
    """The engine then sends a record twice in one batch, which stores refuse; the relay finds the bytes that repeat."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            await h.relay.stop()  # whatever the engine gathers meanwhile, it gathers anew once somebody listens
            await h.write("imu", ticks(1, 60), 700, labels={"robot": "r1"})
            await h.relabel("imu", ticks(1, 60), "keep=1")
            await h.relabel("imu", ticks(20, 40), "keep=1,policy=abc")
            await h.until(h.engine_waits)
            await h.relay.start()
            await h.arrived()
            await h.until(lambda: h.shown()["healed"].get("repeats", 0) > 0)
            await h.until(h.drained)
            assert (await h.labels_there("imu", 20_000))["policy"] == "abc"

    asyncio.run(run())


def test_labels_follow_and_torn_records_are_written_whole(hop: Hops) -> None:
    """A label change reaches a record that is there; where the record is torn it is replaced, not vouched for."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 21), 50_000)
            await h.arrived()
            await h.tear("cam", ticks(30, 32), 50_000)
            await h.write("cam", ticks(30, 32), 50_000, labels={"robot": "r1"})
            await h.relabel("cam", [*ticks(1, 6), *ticks(30, 32)], "keep=1,policy=abc")
            await h.arrived()
            for at in (1_000, 30_000):
                assert (await h.labels_there("cam", at))["policy"] == "abc"
            await h.until(h.drained)
            assert h.shown()["healed"]["torn"] == 2

    asyncio.run(run())


def test_what_is_there_already_is_vouched_for_only_when_it_is_the_same(hop: Hops) -> None:
    """Same bytes are done, wrong bytes of the same record are replaced, another record is named and let stand."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url, when={"$has": "ship"})
            same, wrong, alien = 1_000, 2_000, 3_000
            await h.write("log", [same, wrong, alien], 500)
            await h.copy("log", same)
            await h.copy("log", wrong, data=b"x" * 500)
            await h.copy("log", alien, data=b"x" * 500, labels="session=s9,seq=1,xxh=0000000000000000")
            del h.written["log", alien]
            await h.relabel("log", [same, wrong, alien], "ship=1")
            await h.write("log", ticks(4, 9), 500, labels={"ship": "1"})
            await h.arrived()
            await h.until(h.drained)  # the last of them stands there before the relay has judged those beside it
            assert (await h.labels_there("log", same))["ship"] == "1"
            assert (await h.labels_there("log", alien))["session"] == "s9"
            shown = h.shown()
            assert shown["conflicts"] == 1
            assert shown["last_conflicts"][0]["time_us"] == alien
            assert shown["healed"] == {"wrong": 1}

    asyncio.run(run())


@pytest.mark.slow
def test_a_record_of_80_mb_passes_without_being_held(hop: Hops, make_link: Callable[[int], Any]) -> None:
    """A record no memory should hold streams through, is cut once half-way, and arrives."""

    async def run() -> None:
        async with hop(through=make_link) as h:
            await h.open(h.relay.url)
            h.link.resets_left = 1
            await h.write("map", [1_000], 80 * MEGABYTE)
            held = 0
            while not h.shown()["records"]:
                held = max(held, h.shown()["held_bytes"])
                await asyncio.sleep(0.01)
            await h.arrived()
            assert h.link.resets == 1
            assert held == 0

    asyncio.run(run())


def test_attachments_travel(hop: Hops) -> None:
    """What the engine keeps as attachments of an entry goes the same way as records."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            await h.write("imu", ticks(1, 5), 100)
            meta = {"x-reduct-time-77": "11,application/json,key=schema"}
            await h.ask(h.source, "POST", f"/b/{h.source_bucket}/imu/$meta/batch", headers=meta, data=b'{"hz": 100}')
            await h.arrived()
            await h.until(lambda: h.reads("imu/$meta", 77, b'{"hz": 100}'))

    asyncio.run(run())


def test_a_relay_that_stops_and_comes_back_loses_nothing(hop: Hops) -> None:
    """Stopped twice among flowing records it answers what it holds; the engine keeps the rest for the next start."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            for first in (1, 1_001):
                writing = asyncio.create_task(h.write("cam", ticks(first, first + 1_000), 30_000))
                await h.until(lambda: h.shown()["in_flight"] > 0)
                await h.relay.stop()
                await asyncio.sleep(0.3)
                await h.relay.start()
                await writing
            await h.arrived()

    asyncio.run(run())


@pytest.mark.parametrize("size", [1_000, 20 * MEGABYTE])
def test_a_source_that_breaks_off_is_counted(hop: Hops, size: int) -> None:
    """A request that ends in mid-body, held or streamed, leaves nothing in memory and is counted as a cut."""

    async def run() -> None:
        async with hop() as h:
            await h.make_bucket()
            _, writer = await asyncio.open_connection("127.0.0.1", int(h.relay.url.rpartition(":")[2]))
            lines = [f"POST /api/v1/b/{h.bucket}/cam/batch HTTP/1.1", "Host: test", f"Content-Length: {size}"]
            lines += [f"Authorization: Bearer {h.secret}", f"x-reduct-time-5: {size},,keep=1"]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + b"x" * 500)
            await writer.drain()
            await h.until(lambda: h.shown()["in_flight"] == 1)
            writer.transport.abort()
            await h.until(lambda: h.relay.cuts == 1)
            await h.until(lambda: h.shown()["in_flight"] == 0)
            assert h.shown()["held_bytes"] == 0
            assert h.shown()["records"] == 0

    asyncio.run(run())


def test_a_taken_port_is_said(hop: Hops) -> None:
    """A relay that cannot listen says where and what to do."""

    async def run() -> None:
        async with hop() as h:
            twin = h.twin()
            with pytest.raises(Exception, match=r"cannot listen on .*\n  next: "):
                await twin.start()

    asyncio.run(run())


def test_nobody_is_served_by_a_destination_that_is_gone(hop: Hops) -> None:
    """While nothing answers, probes get a 503 and the counters say since when."""

    async def run() -> None:
        async with hop() as h:
            await asyncio.to_thread(h.destination.kill)
            headers = {"Authorization": f"Bearer {h.secret}"}
            async with h.session.get(f"{h.relay.url}/api/v1/b/{h.bucket}", headers=headers) as answer:
                assert answer.status == 503
            refusal = h.shown()["refused"][0]
            assert (refusal["status"], refusal["active"]) == (0, True)
            assert "reachable" in refusal["next_step"]

    asyncio.run(run())


def test_a_connection_accepted_as_the_relay_stops_holds_nothing_up(hop: Hops) -> None:
    """Whatever turn of the event loop a connect falls into, the relay waits for nobody who has asked nothing."""

    async def run() -> None:
        async with hop() as h:
            port = int(h.relay.url.rpartition(":")[2])
            for turns in range(6):
                with socket.create_connection(("127.0.0.1", port)):
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    async with asyncio.timeout(STOP_S / 2):
                        await h.relay.stop()
                await h.relay.start()

    asyncio.run(run())


def test_a_stop_that_is_cancelled_leaves_nothing_open(hop: Hops) -> None:
    """Whoever stops a relay may be cancelled while it waits for last answers: port and connections close even so."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            await h.write("imu", ticks(1, 20), 1_000)
            await h.arrived()
            stopping = asyncio.create_task(h.relay.stop())
            await asyncio.sleep(0.005)
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            assert h.relay._there._session is None or h.relay._there._session.closed
            await h.relay.start()  # the port is free again

    asyncio.run(run())
