"""Wait for a marked event: until its window has been labelled, and until its records are at the last site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fleetbox.blobs import Store
from fleetbox.chunks import BOUND_US
from fleetbox.errors import Incomplete, NotFound, Unreachable
from fleetbox.events import Event, read_events
from fleetbox.naming import CLASSES
from fleetbox.settings import FleetSettings, Place
from fleetbox_replication.labeler import MARGIN_US
from fleetbox_replication.scopes import robot_scope
from fleetbox_replication.window import ChunkBounds, Scope, chosen_entries, count_selected, wants

SAY_S = 2.0  # often enough to see that it lives
LEAVE = 9  # times as long as a count took, the store is left alone: it lists all that is there, 30 µs a record
MOST_S = 30.0  # between two counts, however long they take
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Say how long to wait for what, in seconds."""

    poll_s: float = 1.0  # a person waits; each look costs the store a query of every class
    doubt_s: float = 10.0  # after a window is due: a labeler that lives closes it within two
    label_s: float = 60.0  # after it is due: also a full spool has drained by then, or will not soon
    still_s: float = 120.0  # without a further record at the site: a link that is up brings some every second


async def labelled(store: Store, event: Event, fleet: FleetSettings, tell: Tell, patience: Patience) -> Event:
    """Return the labeler's closing revision; raise Incomplete when nobody labels the window."""
    robot, said, doubted = event.robot, float("-inf"), False
    due_s = max(time.time(), (event.stop_us + await _longest_us(store, event, fleet) + MARGIN_US) / 1e6)
    while True:
        late_s = time.time() - due_s
        if late_s >= 0 and (closed := await _closed(store, event)):
            return closed
        if late_s > patience.doubt_s and not doubted:
            tell(f"{event.id}: nobody labels: is the agent running? fleetbox doctor {robot}")
            doubted = True
        elif not doubted and time.monotonic() - said > SAY_S:
            tell(f"{event.id}: {_phase(event)}")
            said = time.monotonic()
        if late_s > patience.label_s:
            step = f"the event stands and is labelled once an agent runs: fleetbox doctor {robot}"
            raise Incomplete(f"{event.id} is marked, but nobody labelled its window within {late_s:.0f} s", step)
        await asyncio.sleep(min(patience.poll_s, -late_s) if late_s < 0 else patience.poll_s)


def _phase(event: Event) -> str:
    left_s = event.stop_us / 1e6 - time.time()
    return f"window open for another {left_s:.0f} s" if left_s > 0 else "being labelled"


async def _longest_us(store: Store, event: Event, fleet: FleetSettings) -> int:
    """Return how long the window's last chunks may still be open; the labeler waits for them."""
    bounds, scope = ChunkBounds(store), robot_scope(event.robot, fleet.policy)
    longest = [
        await bounds.longest(bucket, [info.name for info in infos])
        async for bucket, infos in chosen_entries(store, event, scope)
    ]
    return max(longest, default=BOUND_US)


async def _closed(store: Store, event: Event) -> Event | None:
    found = [one for one in await read_events(store, ["meta"], start_us=event.start_us) if one.id == event.id]
    return found[0] if found and found[0].state == "labelled" else None


async def arrived(fleet: FleetSettings, event: Event, tell: Tell, patience: Patience) -> tuple[dict[str, int], str]:
    """Wait until every labelled record is at the last place that takes it; return counts per stream, and that place.

    Raises Incomplete when nothing further arrives.
    """
    sites = [place for place in fleet.route(event.robot) if place.tier != "robot"]
    sites = {"robot": [], "edge": sites[:1]}.get(event.to, sites)
    if not sites:
        return {}, event.robot  # it reports to no site, or was not to
    last = sites[-1]
    wanted = {stream: count for stream, count in event.labelled.items() if not _skipped(fleet, sites, stream)}
    scope = Scope(event.robot, {cls: last.bucket(event.robot, cls) for cls in CLASSES})
    async with Store.at(last) as store:
        bounds, known = ChunkBounds(store), dict[str, int]()

        async def count() -> dict[str, int]:
            with suppress(NotFound, Unreachable):  # its bucket is still to be made; or it is away and keeps what it has
                known.update(await count_selected(store, event, scope, bounds))
            return dict(known)

        there = await _poll(count, wanted, lambda here: tell(f"{_progress(here, wanted)} at {last.name}"), patience)
    missing = sum(wanted.values()) - _here(there, wanted)
    if missing > 0:
        text = f"{event.id}: {_progress(_here(there, wanted), wanted)} at {last.name}, none more for"
        raise Incomplete(f"{text} {patience.still_s:g} s", "nothing is lost, they wait: fleetbox replicate status")
    return there, last.name


async def _poll(
    count: Callable[[], Awaitable[dict[str, int]]],
    wanted: Mapping[str, int],
    tell: Callable[[int], None],
    patience: Patience,
) -> dict[str, int]:
    """Count until all are there, or no more have come for a while."""
    before, moved_s = -1, time.monotonic()
    while True:
        began_s = time.monotonic()
        there = await count()
        took_s = time.monotonic() - began_s
        here = _here(there, wanted)
        if here != before:
            tell(here)
            before, moved_s = here, time.monotonic()
        if here >= sum(wanted.values()) or time.monotonic() - moved_s > patience.still_s:
            return there
        await asyncio.sleep(max(patience.poll_s, min(LEAVE * took_s, MOST_S)))


def _here(there: Mapping[str, int], wanted: Mapping[str, int]) -> int:
    return sum(min(there.get(stream, 0), number) for stream, number in wanted.items())


def _progress(here: int, wanted: Mapping[str, int]) -> str:
    return f"{here} of {sum(wanted.values())} records"


def _skipped(fleet: FleetSettings, sites: Sequence[Place], stream: str) -> bool:
    return any(wants(fleet.policy.hop_rule(site.name).skip, stream) for site in sites[1:])
