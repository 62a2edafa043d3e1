"""Run a policy over a stretch of what a robot recorded, in bounded memory, however long the stretch is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleetbox.events import Event, read_events
from fleetbox.selectors import matches_glob
from fleetbox.settings import Policy
from fleetbox_edge.dry_run.judging import Judged
from fleetbox_edge.dry_run.report import DryRun
from fleetbox_edge.dry_run.source import SLICE_US, Source
from fleetbox_edge.dry_run.weighing import Scales
from fleetbox_edge.triggers import Reading, compile_rules

Tell = Callable[[float, str], None]
MOST_ROWS = 50_000  # of a slice in memory, about 30 MB; robots with a kilohertz of numbers get shorter slices
LEAST_SLICE_US = 1_000_000
NOT_MARKS = ("pull",)  # asked for afterwards, and no moment


@dataclass(frozen=True, slots=True)
class Asked:
    """Say over which time (µs) a policy is tried, and which kinds of marks it is held against (globs)."""

    start_us: int
    stop_us: int
    against: tuple[str, ...] = ()


async def dry_run(source: Source, policy: Policy, asked: Asked, tell: Tell = lambda _share, _text: None) -> DryRun:
    """Judge and weigh; `tell` gets the share done, 0 to 1. Raises InputError for triggers that cannot work."""
    oldest_us, newest_us = source.span_us()
    start_us, stop_us = max(asked.start_us, oldest_us), min(asked.stop_us, newest_us + 1)
    stop_us = max(start_us, stop_us)
    own = source.place.tier == "robot"
    blind = () if own else tuple(name for name, rule in policy.trigger.items() if rule.gap is not None)
    judgeable = {name: rule for name, rule in policy.trigger.items() if name not in blind}
    compile_rules(policy)  # every fault is told, also of triggers that cannot be judged here
    judged = Judged(policy, compile_rules(policy.model_copy(update={"trigger": judgeable})), source.robot)
    await _judge(source, judged, start_us, stop_us, lambda share: tell(share / 2, "judging"))
    events = sorted(judged.events, key=lambda event: event.time_us)
    scales = Scales(policy, source.classes, events)
    await _weigh(source, scales, start_us, stop_us, lambda share: tell(0.5 + share / 2, "weighing"))
    return DryRun(
        policy=policy,
        robot=source.robot,
        place=source.place.name,
        own=own,
        blind=blind,
        start_us=start_us,
        stop_us=stop_us,
        events=tuple(events),
        counts=judged.counts(),
        streams=scales.streams,
        recorded_bytes=scales.recorded_bytes,
        selected_bytes=round(scales.selected_bytes),
        busiest_day_bytes=scales.busiest_day_bytes(),
        marks=tuple(await _marks(source, start_us, stop_us, asked.against)),
        unreadable=source.unreadable,
        asked_us=(asked.start_us, asked.stop_us),
    )


async def _judge(source: Source, judged: Judged, start_us: int, stop_us: int, tell: Callable[[float], None]) -> None:
    if not judged.rules.all:
        return
    carried: list[Reading] = []
    looked_us = max(0, start_us - source.bound_us)  # a chunk that begins earlier may reach into the window
    first_us, slice_us = start_us, SLICE_US
    while first_us < stop_us:
        last_us = min(first_us + slice_us, stop_us)
        found = [*carried, *await source.readings(looked_us, last_us, judged.rules.wants)]
        looked_us = last_us
        carried = [reading for reading in found if reading.time_us >= last_us]
        ready = [reading for reading in found if first_us <= reading.time_us < last_us]
        if ready or await source.was_on(first_us, last_us):
            judged.take(sorted(ready, key=lambda reading: reading.time_us))
            judged.pass_time(last_us)
        else:
            judged.restart()
        slice_us = next_slice_us(slice_us, len(found))
        first_us = last_us
        tell((last_us - start_us) / (stop_us - start_us))


def next_slice_us(slice_us: int, rows: int) -> int:
    """Return how long the next slice may be, after one that held so many rows."""
    if rows > MOST_ROWS:
        return max(LEAST_SLICE_US, slice_us // 2)
    return min(SLICE_US, slice_us * 2) if rows < MOST_ROWS // 4 else slice_us


async def _weigh(source: Source, scales: Scales, start_us: int, stop_us: int, tell: Callable[[float], None]) -> None:
    for first_us in range(start_us, stop_us, SLICE_US):
        last_us = min(first_us + SLICE_US, stop_us)
        async for cls, head in source.heads(first_us, last_us):
            scales.add(cls, head)
        tell((last_us - start_us) / (stop_us - start_us))


async def _marks(source: Source, start_us: int, stop_us: int, against: Sequence[str]) -> list[Event]:
    """Return the moments that somebody marked: not those a trigger raised, nor what was pulled later."""
    bucket = source.place.bucket(source.robot, "meta")
    events = await read_events(source.store, [bucket], start_us=start_us, stop_us=stop_us)
    within = [event for event in events if start_us <= event.time_us < stop_us]
    if against:
        return [event for event in within if any(matches_glob(glob, event.kind) for glob in against)]
    return [event for event in within if not event.trigger and event.kind not in NOT_MARKS]
