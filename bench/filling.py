"""Fill a store with as many log records of one robot and as many events of ten, as fast as it takes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import xxhash

from fleetbox.blobs import BucketSpec, Store
from fleetbox.events import CONTENT_TYPE, STREAM, TYPE, Event, draft
from fleetbox.naming import site_bucket
from fleetbox.records import Draft

T0_US = 1_760_000_000_000_000
ROBOTS = tuple(f"r{n}" for n in range(1, 11))  # the events' robots, a bucket each as at a site
AT_ONCE = 800  # drafts handed over at once: ten requests
AT_ONCE_BYTES = 8_000_000  # or so many bytes of them
KINDS = ("brake", "door", "stall")


async def fill(url: str, token: str, count: int) -> None:
    """Write so many records to stream `log` of the first robot, and so many events, shared out among all of them."""
    async with Store(url, token) as store:
        each = count // len(ROBOTS)
        events = [
            pour(store, site_bucket(robot, "meta"), _events(robot, at * each, each)) for at, robot in enumerate(ROBOTS)
        ]
        await asyncio.gather(pour(store, site_bucket(ROBOTS[0], "log"), _records(count)), *events)


async def pour(store: Store, bucket: str, drafts: Iterator[Draft]) -> None:
    """Write drafts to a bucket, which is made first; raises SystemExit when one is refused."""
    await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
    for some in _handfuls(drafts):
        report = await store.write(bucket, some)
        if report.refused:
            raise SystemExit(f"{bucket}: {report.refused[0]}")


def _handfuls(drafts: Iterator[Draft]) -> Iterator[list[Draft]]:
    some, size_bytes = list[Draft](), 0
    for one in drafts:
        some.append(one)
        size_bytes += len(one.data)
        if len(some) == AT_ONCE or size_bytes >= AT_ONCE_BYTES:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some


def blob(robot: str, stream: str, time_us: int, data: bytes, content_type: str, **labels: str) -> Draft:
    """Return a draft with the labels that every record has."""
    own = {"robot": robot, "type": "time_series", "xxh": xxhash.xxh3_64_hexdigest(data)}
    return Draft(stream, time_us, data, {**own, **labels}, content_type)


def _records(count: int) -> Iterator[Draft]:
    for n in range(count):
        line, part = b"a line of text %d" % n, str(n * 1_000 // count)
        yield blob(ROBOTS[0], "log", T0_US + n * 10_000, line, "text/plain", type="log", part=part)


def _events(robot: str, first: int, count: int) -> Iterator[Draft]:
    """Yield what `events.draft` gives for each event, without making a million of Event (a tenth of the time)."""
    model = asdict(_event(robot, first))
    for n in range(first, first + count):
        yield _draft(robot, n, model)
        if n == first and _draft(robot, n, model) != draft(_event(robot, n), T0_US + n * 1_000_000):
            raise SystemExit("events are written otherwise now: make these alike")


def _draft(robot: str, n: int, model: dict[str, Any]) -> Draft:
    event = {**model, **_varying(n)}
    data = json.dumps(event, separators=(",", ":")).encode()
    labels = {
        "robot": robot, "type": TYPE, "event": event["id"], "kind": event["kind"], "state": event["state"],
        "xxh": xxhash.xxh3_64_hexdigest(data),
    }  # fmt: skip
    return Draft(STREAM, event["time_us"], data, labels, CONTENT_TYPE)


def _event(robot: str, n: int) -> Event:
    return Event(robot=robot, **_varying(n))


def _varying(n: int) -> dict[str, Any]:
    at_us, kind = T0_US + n * 1_000_000, KINDS[n % 3]
    place = {"lat": f"{48.1 + (n % 10_000) / 1e4:.5f}", "lon": "11.5"}
    return {
        "id": f"{kind}-{n:x}", "kind": kind, "time_us": at_us, "start_us": at_us,
        "stop_us": at_us + (n % 60) * 1_000_000, "note": f"pallet {n} slipped",
        "labels": {"severity": "high" if n % 50 == 0 else "low", "lane": str(n % 10), **place},
    }  # fmt: skip
