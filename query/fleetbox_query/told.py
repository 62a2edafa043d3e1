"""Read what robots that do not answer told in their ledgers that they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox.errors import AccessDenied, NotFound
from fleetbox.ledger import STREAM as LEDGER
from fleetbox.ledger import Ledger, read_ledger
from fleetbox.naming import RING_CLASSES
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings
from fleetbox_query.coverage import cut
from fleetbox_query.events import Where
from fleetbox_query.inventory import Holding, Inventory, take_inventory
from fleetbox_query.plan import FAR_US, Window, merged
from fleetbox_query.question import Span, wants
from fleetbox_query.stores import Stores, places_for, reading_order

Key = tuple[str, str]  # robot, stream


@dataclass(frozen=True, slots=True)
class Told:
    """Hold what an absent robot last said that it holds of a stream: stretches in µs, records and bytes.

    until_us: when it last told anything.
    """

    cls: str
    parts: tuple[Window, ...]
    until_us: int
    records: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tales:
    """Hold what was told by robot and stream, robots whose ledgers were not read in time, and which places were asked.

    asked: what the sites hold of the ledgers.
    """

    found: Mapping[Key, Told]
    unread: tuple[str, ...]
    asked: Inventory


@dataclass
class _Sum:
    cls: str
    parts: list[Window] = field(default_factory=list)
    records: int = 0
    size_bytes: int = 0


async def read_told(
    stores: Stores, fleet: FleetSettings, where: Where, spans: Sequence[Span], within_s: float | None = None
) -> Tales:
    """Return what robots that were not reached told of the chosen streams; ledgers that take longer are named."""
    selectors = [Selector(robot, LEDGER) for robot in dict.fromkeys(span.selector.robot for span in spans)]
    places = places_for(fleet, selectors, where.tier, where.site)
    inventory = await take_inventory(stores, places, selectors, only="meta")
    here = {place.name for place in inventory.reached if place.tier == "robot"}
    near: dict[str, Holding] = {}
    for holding in sorted(inventory.holdings, key=lambda one: reading_order(one.place)):
        if holding.robot not in here and holding.place.tier != "robot":
            near.setdefault(holding.robot, holding)
    reading = {asyncio.create_task(_ledger(stores, holding)): robot for robot, holding in near.items()}
    try:
        done, late = await asyncio.wait(reading, timeout=within_s) if reading else (set(), set())
    except BaseException:
        await _stop(reading)
        raise
    await _stop(late)
    found: dict[Key, Told] = {}
    for one in done:
        ledger = one.result()
        found |= {(ledger.robot, stream): told for stream, told in told_by(ledger, spans).items()}
    return Tales(found, tuple(sorted(reading[one] for one in late)), inventory)


def told_by(ledger: Ledger, spans: Sequence[Span]) -> dict[str, Told]:
    """Return what a robot last said it holds, per chosen stream, minute by minute."""
    sums: dict[str, _Sum] = {}
    for (cls, stream, _), folded in ledger.of(ledger.robot).items():
        line = folded.line
        if cls in RING_CLASSES and line.held.records and any(_is_of(span, ledger.robot, cls, stream) for span in spans):
            one = sums.setdefault(stream, _Sum(cls))
            one.parts.append((line.first_us, line.last_us + 1))
            one.records += line.held.records
            one.size_bytes += line.held.bytes
    until_us = ledger.until_us.get(ledger.robot, 0)
    out = {}
    for stream, one in sums.items():
        if kept := cut(sorted(one.parts), windows_of(ledger.robot, stream, spans)):
            out[stream] = Told(one.cls, kept, until_us, one.records, one.size_bytes)
    return out


def windows_of(robot: str, stream: str, spans: Sequence[Span]) -> tuple[Window, ...]:
    """Return the windows that spans ask of a stream."""
    chosen = [span for span in spans if span.selector.matches(robot, stream)]
    return merged((span.start_us or 0, FAR_US if span.stop_us is None else span.stop_us) for span in chosen)


def _is_of(span: Span, robot: str, cls: str, stream: str) -> bool:
    return wants(span.selector, robot, cls, stream)


async def _ledger(stores: Stores, holding: Holding) -> Ledger:
    try:
        return await read_ledger(await stores.at(holding.place), holding.bucket, holding.robot)
    except (NotFound, AccessDenied):
        return Ledger(holding.robot)


async def _stop(tasks: Iterable[asyncio.Task[Ledger]]) -> None:
    ended = list(tasks)
    for task in ended:
        task.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
