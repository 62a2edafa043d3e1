"""Say which streams there are: type, fields, rate, size, first and last record, and where they are held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fleetbox.errors import NotFound
from fleetbox.measurements import HEALTH_STREAMS
from fleetbox.records import Head
from fleetbox.selectors import Selector, is_glob, matches_glob
from fleetbox.settings import FleetSettings, Place
from fleetbox_query.events import Where
from fleetbox_query.inventory import Holding, Inventory, take_inventory
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import Question, Span, is_own, means_own
from fleetbox_query.rates import Key, rate_of, read_recent
from fleetbox_query.schemas import Schema, fields_told, read_schemas
from fleetbox_query.showing import STREAM_COLUMNS, html_table, stream_line, stream_row
from fleetbox_query.stores import Stores, places_for
from fleetbox_query.told import Tales, Told, read_told

if TYPE_CHECKING:
    from rich.table import Table

TOLD_S = 3.0  # how long ledgers of absent robots are read: people wait for a list; the rest is named


@dataclass(frozen=True, slots=True)
class Held:
    """Say what one place holds of a stream; times in µs, of the first and last record.

    told_us: when a robot that does not answer last told of it; None where it was seen just now.
    """

    place: str
    tier: str
    records: int
    size_bytes: int
    first_us: int
    last_us: int
    told_us: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Describe a stream of one class. `hz` counts rows or blobs; `fields` maps names to dtype, unit and shape."""

    robot: str
    stream: str
    cls: str
    type: str
    fields: dict[str, dict[str, Any]]
    hz: float | None
    bytes_per_s: float | None
    held: tuple[Held, ...]

    def __repr__(self) -> str:
        return f"Stream({stream_line(self)})"

    @property
    def first_us(self) -> int:
        """Return the oldest record's time, over all places."""
        return min(held.first_us for held in self.held)

    @property
    def last_us(self) -> int:
        """Return the newest record's time, over all places."""
        return max(held.last_us for held in self.held)

    @property
    def records(self) -> int:
        """Return how many records the place that has most of them counts."""
        return max(held.records for held in self.held)

    def fields_text(self, most: int = 4) -> str:
        """Return the fields with dtypes and units on one line, shortened."""
        named = [_field_text(name, said) for name, said in self.fields.items()]
        return ", ".join(named[:most]) + (f", +{len(named) - most}" if len(named) > most else "")

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "robot": self.robot,
            "stream": self.stream,
            "class": self.cls,
            "type": self.type,
            "fields": self.fields,
            "hz": None if self.hz is None else round(self.hz, 3),
            "bytes_per_s": None if self.bytes_per_s is None else round(self.bytes_per_s, 1),
            "records": self.records,
            "first_us": self.first_us,
            "last_us": self.last_us,
            "held": [{name: getattr(held, name) for name in Held.__slots__} for held in self.held],
        }


class Streams(Sequence[Stream]):
    """Hold the streams found; prints as a table. `provenance` says which places were asked.

    untold: robots that do not answer and whose ledgers were not read within 3 s: name one to hear what it holds.
    hidden: how many streams of fleetbox's own are left out: books, policies, answers, what agents measure.
    """

    def __init__(
        self, streams: Sequence[Stream], provenance: Provenance, untold: tuple[str, ...] = (), hidden: int = 0
    ) -> None:
        self._streams = tuple(streams)
        self.provenance = provenance
        self.untold = untold
        self.hidden = hidden

    def __len__(self) -> int:
        return len(self._streams)

    def __getitem__(self, at: Any) -> Any:
        return self._streams[at]

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per stream, as the table shows it."""
        return [stream_row(stream) for stream in self._streams]

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(*STREAM_COLUMNS)
        for row in self.rows():
            table.add_row(*("-" if cell is None else str(cell) for cell in row.values()))
        return table

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        notes = (*self.provenance.lines(), *self.untold_lines())
        return html_table(STREAM_COLUMNS, (list(row.values()) for row in self.rows()), notes)

    def __repr__(self) -> str:
        import io

        from rich.console import Console

        console = Console(file=io.StringIO(), width=180)
        console.print(self)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text.rstrip() + "".join(f"\n{line}" for line in (*self.provenance.lines(), *self.untold_lines()))

    def untold_lines(self) -> list[str]:
        """Return a line for absent robots whose ledgers were not read."""
        names = ", ".join(self.untold)
        return [f"not looked up, away and many: what {names} told; name one to hear it"] if names else []


async def list_streams(
    stores: Stores, fleet: FleetSettings, question: Question, where: Where, *, every: bool = False
) -> Streams:
    """Return the streams the selectors choose; those of fleetbox's own only where they are named, or with `every`."""
    selectors = with_own(question.selectors) if every else question.selectors
    places = places_for(fleet, selectors, where.tier, where.site)
    telling = asyncio.create_task(_tales(stores, fleet, selectors, where))  # a robot that is away takes its time
    try:
        inventory = await take_inventory(stores, places, selectors, meta=True)
        tales = await telling
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    if not inventory.holdings and not tales.found:
        await _check_robots(stores, fleet, question, places, inventory)
    inventory, hidden = (inventory, 0) if every else without_own(inventory, selectors)
    schemas = await read_schemas(stores, inventory.holdings)
    recent = await read_recent(stores, inventory)
    grouped: dict[Key, list[Holding]] = {}
    for holding in inventory.holdings:
        grouped.setdefault((holding.robot, holding.stream, holding.cls), []).append(holding)
    found = {key: _stream(group, schemas, recent) for key, group in grouped.items()}
    for (robot, stream), told in tales.found.items():
        key = (robot, stream, told.cls)
        known = found.get(key) or Stream(*key, "", {}, None, None, ())
        found[key] = replace(known, held=(_told(robot, told), *known.held))
    asked = {place.name: 0 for place in inventory.reached}
    return Streams([found[key] for key in sorted(found)], Provenance(asked, inventory.unreached), tales.unread, hidden)


def with_own(selectors: Sequence[Selector]) -> tuple[Selector, ...]:
    """Return the selectors, with what agents measure of themselves where they choose it by a glob."""
    health = [
        replace(one, stream=name)
        for one in selectors
        for name in sorted(HEALTH_STREAMS)
        if one.matches(one.robot, name)
    ]
    return (*selectors, *health)


def without_own(inventory: Inventory, selectors: Sequence[Selector]) -> tuple[Inventory, int]:
    """Return what people recorded or named outright, and how many streams of fleetbox's own that leaves out."""
    kept, hidden = [], set()
    for one in inventory.holdings:
        named = any(
            selector.matches(one.robot, one.stream) and means_own(selector, one.stream) for selector in selectors
        )
        if named or not is_own(one.cls, one.stream):
            kept.append(one)
        else:
            hidden.add((one.robot, one.cls, one.stream))
    return replace(inventory, holdings=tuple(kept)), len(hidden)


async def _tales(stores: Stores, fleet: FleetSettings, selectors: Sequence[Selector], where: Where) -> Tales:
    """Return what absent robots told, unless one place alone is asked."""
    if where.tier is not None or where.site is not None:
        return Tales({}, (), Inventory((), (), ()))
    spans = [Span(one) for one in selectors]
    return await read_told(stores, fleet, where, spans, TOLD_S)


def _told(robot: str, told: Told) -> Held:
    parts = told.parts
    return Held(robot, "robot", told.records, told.size_bytes, parts[0][0], parts[-1][1] - 1, told.until_us)


async def _check_robots(
    stores: Stores, fleet: FleetSettings, question: Question, places: Sequence[Place], inventory: Inventory
) -> None:
    """Raise NotFound for a robot named outright that neither the settings nor a reached place knows.

    While some place could not be asked the robot may be known there: the answer says so instead.
    """
    named = [one.robot for one in question.selectors if not is_glob(one.robot)]
    unknown = [name for name in named if not any(matches_glob(rule.match, name) for rule in fleet.robots)]
    if not unknown or inventory.unreached:
        return
    everything = await take_inventory(stores, places, [Selector()], meta=True)
    held = {holding.robot for holding in everything.holdings}
    if lacking := [name for name in unknown if name not in held]:
        known = ", ".join(sorted({*(rule.match for rule in fleet.robots), *held})) or "none"
        raise NotFound(f"robot {lacking[0]!r} is not in {fleet.source} and has no records", f"known: {known}")


def _stream(
    group: list[Holding],
    schemas: dict[tuple[str, str, str], Schema],
    recent: dict[Key, list[Head]],
) -> Stream:
    first = group[0]
    told = [schemas[holding.key] for holding in group]
    schema = max(told, key=lambda schema: (bool(schema.type), len(schema.fields)))
    heads = recent.get((first.robot, first.stream, first.cls), [])
    hz, bytes_per_s = rate_of(heads) or (schema.rate_hz, None)
    kind = schema.type or (heads[-1].labels.get("type", "") if heads else "")
    near = sorted(group, key=lambda holding: ("robot", "edge", "cloud").index(holding.place.tier))
    held = tuple(
        Held(
            holding.place.name,
            holding.place.tier,
            holding.entry.records,
            holding.entry.size_bytes,
            holding.entry.oldest_us,
            holding.entry.latest_us,
        )
        for holding in near
    )
    return Stream(first.robot, first.stream, first.cls, kind, fields_told(schema, told), hz, bytes_per_s, held)


def _field_text(name: str, said: dict[str, Any]) -> str:
    shape = "".join(f"[{'' if size is None else size}]" for size in said.get("shape", ()))
    unit = f" {said['unit']}" if said.get("unit") else ""
    return f"{name} {said.get('dtype', '')}{shape}{unit}"
