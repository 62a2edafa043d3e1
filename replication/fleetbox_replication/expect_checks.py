"""Judge for `doctor` and `status` whether every robot delivers what the policy expects of its streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fleetbox.blobs import Store
from fleetbox.checks import Check
from fleetbox.errors import FleetboxError
from fleetbox.ledger import MINUTE_US, STREAM, Folded, Ledger, read_pages
from fleetbox.measurements import HEALTH_STREAMS
from fleetbox.naming import RING_CLASSES, split_bucket
from fleetbox.selectors import is_glob
from fleetbox.settings import FleetSettings, Place, Policy
from fleetbox.time import show_duration
from fleetbox_replication.expectation import expected_streams, share_delivered

ENOUGH = 0.9  # of the expected rows: less is no jitter
MINUTES = 3  # judged together: one short minute, at a start or a hiccup, is no fault to call anybody for
BACK_US = 10 * MINUTE_US  # of pages read: a minute is told and judged within two minutes of its end
STALE_US = 5 * MINUTE_US  # a census that has written nothing for so long tells nothing of now
ANSWER_S = 4.0  # for each place: a healthy store answers in milliseconds, and the next place may know


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Hold what a robot's streams delivered of what was expected, as shares, and which place's disk told it."""

    shares: Mapping[str, float]
    present: frozenset[str]
    expected: frozenset[str]
    by: str


async def expect(
    fleet: FleetSettings, robot: str | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> list[Check]:
    """Check each robot by the last full minutes in its ledger, read from its own store or, failing that, a site's.

    Nothing is checked while the policy expects nothing.
    """
    if not any(rule.expect for rule in fleet.policy.stream.values()):
        return []
    robots = [robot] if robot else await _robots(fleet)
    return list(await asyncio.gather(*(_check(fleet, name, now_us()) for name in robots)))


def judge(robot: str, found: Deliveries) -> Check:
    """Judge one robot: FAIL when a stream delivers too little or one that is named is not there at all."""
    short = {stream: share for stream, share in found.shares.items() if share < ENOUGH}
    short |= dict.fromkeys(found.expected - found.present, 0.0)
    total = len(found.present | found.expected)
    phrase = f"{total - len(short)} of {total} streams"
    if not short:
        text = f"{phrase} deliver what is expected of them, as the ledger at {found.by} tells"
        return Check("PASS", "expect", robot, text)
    worst = sorted(short, key=lambda stream: (short[stream], stream))
    named = ", ".join(_shown(stream, short[stream], stream in found.present) for stream in worst[:3])
    more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
    text = f"{phrase} deliver what is expected of them: {named}{more}"
    step = f"fleetbox ls {robot}/{worst[0]}; is what records it running, and plugged in?"
    return Check("FAIL", "expect", robot, text, f"{phrase}, {named}{more}", step)


def deliveries(ledger: Ledger, policy: Policy, by: str) -> Deliveries | None:
    """Return what a robot told of its last minutes, or None when it told of none."""
    told = ledger.of(ledger.robot).items()
    lines = {key: item for key, item in told if key[0] in RING_CLASSES and key[1] not in HEALTH_STREAMS}
    if not lines:
        return None
    since_us = max(key[2] for key in lines) - (MINUTES - 1) * MINUTE_US
    present = {(cls, stream) for (cls, stream, _), item in lines.items() if item.rows}
    expected = {stream for _, stream in expected_streams(policy, {(cls, stream) for cls, stream, _ in lines})}
    by_stream: dict[str, list[Folded]] = {}
    for (_, stream, minute_us), item in lines.items():
        if minute_us >= since_us and stream in expected:
            by_stream.setdefault(stream, []).append(item)
    shares = {stream: _share(items) for stream, items in by_stream.items()}
    return Deliveries(shares, frozenset(stream for _, stream in present), frozenset(expected), by)


def _share(items: Iterable[Folded]) -> float:
    told = list(items)
    return share_delivered(sum(item.rows for item in told), sum(item.line.missing for item in told))


def _shown(stream: str, share: float, present: bool) -> str:
    if not present:
        return f"{stream} missing"
    return f"{stream} at {share:.0%}"


async def _check(fleet: FleetSettings, robot: str, now_us: int) -> Check:
    for place in fleet.route(robot):
        ledger = await _read(place, robot, now_us)
        found = deliveries(ledger, fleet.policy, place.name) if ledger else None
        if ledger is None or found is None:
            continue
        old_us = now_us - ledger.until_us[robot]
        if old_us > STALE_US:
            text = (
                f"what its streams deliver is not known: its newest page at {place.name} is {show_duration(old_us)} old"
            )
            return Check("WARN", "expect", robot, text, "deliveries unknown", f"fleetbox status {robot}")
        return judge(robot, found)
    text = f"what its streams deliver is not known: no place has a page of the last {show_duration(BACK_US)}"
    return Check("WARN", "expect", robot, text, "deliveries unknown", f"fleetbox status {robot}")


async def _read(place: Place, robot: str, now_us: int) -> Ledger | None:
    """Return the robot's own pages of the last minutes as a place has them; None when it does not answer."""
    ledger = Ledger(robot)
    try:
        async with asyncio.timeout(ANSWER_S), Store.at(place, timeout_s=ANSWER_S) as store:
            bucket = place.bucket(robot, "meta")
            async for _, page in read_pages(store, bucket, (STREAM,), start_us=now_us - BACK_US):
                ledger.add(page)
    except (TimeoutError, FleetboxError):
        return None  # the check of places says what is wrong there
    return ledger


async def _robots(fleet: FleetSettings) -> list[str]:
    """Return the robots named one by one, and those behind globs whose records have come to their site."""
    names = set(fleet.known_robots)
    sites = {rule.site for rule in fleet.robots if is_glob(rule.match) and rule.site}
    for buckets in await asyncio.gather(*(_buckets(fleet.site_place(site)) for site in sites)):
        names |= {found[0] for bucket in buckets if (found := split_bucket(bucket)) and found[1] == "meta"}
    return sorted(names)


async def _buckets(place: Place) -> list[str]:
    try:
        async with asyncio.timeout(ANSWER_S), Store.at(place, timeout_s=ANSWER_S) as store:
            return await store.buckets()
    except (TimeoutError, FleetboxError):
        return []
