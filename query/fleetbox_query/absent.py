"""Say which names of a question nothing has: a stream, a field of no chosen stream, a label of no record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from fleetbox import chunks
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.labels import RESERVED
from fleetbox.records import Head
from fleetbox.selectors import Selector
from fleetbox.settings import Place
from fleetbox_query.cel_text import Comparison
from fleetbox_query.expressions import Expression
from fleetbox_query.inventory import Inventory, take_inventory
from fleetbox_query.items import BLOB, chosen_fields, is_chunk
from fleetbox_query.plan import FAR_US, Run, Source, fetches
from fleetbox_query.question import Question
from fleetbox_query.schemas import CHUNKED
from fleetbox_query.store_filters import filter_parts, has_label
from fleetbox_query.stores import Stores

OPENED = 8  # chunks opened at once to see what they hold
MOST_NAMED = 20  # fields named in an error
LOOKED_AT = 200  # heads of each stretch looked at for labels: some milliseconds of the engine's
SHOWN = 5  # streams named in an error: the rest is for `fleetbox ls`


async def no_stream(stores: Stores, places: Sequence[Place], question: Question, inventory: Inventory) -> NotFound:
    """Return the error for selectors that choose no stream anywhere, with the names that are like theirs, or some."""
    names = ", ".join(str(selector) for selector in question.selectors)
    asked = ", ".join(place.name for place in inventory.reached)
    unasked = "".join(f"; {one.place} could not be asked" for one in inventory.unreached)
    there = await _there(stores, places, question.selectors)
    return NotFound(f"no stream matches {names} at {asked}{unasked}", instead(question.selectors, there))


async def _there(stores: Stores, places: Sequence[Place], selectors: Sequence[Selector]) -> set[tuple[str, str]]:
    """Return (robot, stream) of all the robots asked for have, or of every robot where those have nothing."""
    for asked in ([Selector(one.robot) for one in selectors], [Selector()]):
        with suppress(FleetboxError):  # a place that stopped answering meanwhile: the error stands without names
            if found := (await take_inventory(stores, places, asked)).holdings:
                return {(one.robot, one.stream) for one in found}
    return set()


def instead(selectors: Sequence[Selector], there: set[tuple[str, str]]) -> str:
    """Say what was probably meant: streams or robots of nearly that name, else some of those there are."""
    streams, robots = sorted(f"{robot}/{stream}" for robot, stream in there), sorted({robot for robot, _ in there})
    near: dict[str, None] = {}
    for one in selectors:
        known = robots if one.stream == "**" else streams
        near |= dict.fromkeys(get_close_matches(str(replace(one, field=None)).removesuffix("/**"), known))
    if near:
        return f"did you mean {' or '.join(near)}?"
    if not streams:
        return "`fleetbox ls` shows what there is"
    return f"there are {', '.join(streams[:SHOWN])}{', ...' if len(streams) > SHOWN else ''}; `fleetbox ls` shows them"


async def check_fields(stores: Stores, sources: Sequence[Source]) -> None:
    """Raise NotFound, naming the fields there are, when a field asked for is in none of the chosen streams.

    What schemas state is believed; before a refusal the newest chunks are opened, since a schema follows its chunks.
    """
    asked = dict.fromkeys(
        glob for source in sources for glob in source.fields or () if glob not in chunks.CLOCKS and glob[0] != "!"
    )
    for glob in asked:
        asking = [source for source in sources if glob in (source.fields or ())]
        made = any(glob == name for source in asking for name, _ in source.computed)
        if not made and not any(_chosen(_stated(source), glob) for source in asking):
            await _look(stores, asking, glob)


async def unknown_names(stores: Stores, sources: Sequence[Source], expression: Expression) -> tuple[str, ...]:
    """Return a line for each name that was taken for a label and that no record in the wanted windows has."""
    tests = {test.name: test for test in expression.label_tests}
    labels = await labels_there(stores, sources) if tests else {}
    if not labels:
        return ()
    there = ", ".join(_stated_fields(sources)) or "none"
    lines = []
    for test in tests.values():
        if test.name not in labels and not await _any_record(stores, sources, has_label(test.name)):
            what = f"no record in that time has a label `{test.name}`"
            if not test.on_label:
                which = f"no chosen stream has such a field (there are: {there}), no record such a label"
                what = f"no row has `{test.name}`: {which}"
            lines.append(f"{what}; labels there are {_shown(labels)}")
        elif isinstance(test, Comparison) and not await _any_record(stores, sources, {"$and": filter_parts(test)}):
            values = _values(test.name, labels.get(test.name, {}))
            lines.append(f"no record in that time has {test.name} {test.op} {test.literal!r}; some have {values}")
    return tuple(lines)


async def names_there(stores: Stores, sources: Sequence[Source]) -> str:
    """Say which fields and labels the chosen streams have, for who asked for others."""
    opened = await asyncio.gather(*(_held(stores, source) for source in sources[:OPENED]))
    fields = list(dict.fromkeys([*_stated_fields(sources), *(name for names in opened for name in names or ())]))
    shown = ", ".join(fields[:MOST_NAMED]) + (", ..." if len(fields) > MOST_NAMED else "")
    return f"fields there are {shown}; labels {_shown(await labels_there(stores, sources))}"


async def labels_there(stores: Stores, sources: Sequence[Source]) -> dict[str, dict[str, None]]:
    """Return labels by name with their values, of some records in the wanted windows; empty where there is none."""
    found: dict[str, dict[str, None]] = {}
    async for head in _heads(stores, sources, None, LOOKED_AT):
        for name, value in head.labels.items():
            values = found.setdefault(name, {})
            if len(values) <= MOST_NAMED:
                values[value] = None
    return found


def _shown(labels: Mapping[str, Mapping[str, None]]) -> str:
    """Name labels, those that people and policies gave first."""
    names = sorted(labels, key=lambda name: (name in RESERVED, name))
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def _values(name: str, given: Mapping[str, None]) -> str:
    values = sorted(given)
    return ", ".join(f"{name}={value}" for value in values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")


async def _any_record(stores: Stores, sources: Sequence[Source], when: dict[str, Any] | None) -> bool:
    """Tell whether some reached place has a record in the wanted windows that passes the store's filter."""
    async for _ in _heads(stores, sources, when, 1):
        return True
    return False


async def _heads(
    stores: Stores, sources: Sequence[Source], when: dict[str, Any] | None, most: int
) -> AsyncIterator[Head]:
    """Yield heads in the wanted windows that pass the store's filter, at most so many of a stretch."""
    windows = [(source, part) for source in sources for part in source.record_windows(0, FAR_US)]
    runs = [Run(source, holding, *part) for source, part in windows for holding in source.holdings]
    for fetch in fetches(runs):
        store, (start, stop) = await stores.at(fetch.holding.place), (fetch.runs[0].start_us, fetch.runs[0].stop_us)
        query = store.query(
            fetch.holding.bucket, tuple(fetch.sources), start_us=start, stop_us=stop, when=when, head=True
        )
        async with aclosing(query) as heads:
            try:
                left = most
                async for head in heads:
                    if isinstance(head, Head):
                        yield head
                        left -= 1
                    if not left:
                        break
            except NotFound:  # removed since it was listed
                continue


def _stated_fields(sources: Sequence[Source]) -> list[str]:
    """Return the fields the sources' schemas state, each once."""
    return list(dict.fromkeys(name for source in sources for name in source.schema.fields))


async def _look(stores: Stores, sources: Sequence[Source], glob: str) -> None:
    room = asyncio.Semaphore(OPENED)

    async def held(source: Source) -> list[str] | None:
        async with room:
            return await _held(stores, source)

    opened = await asyncio.gather(*map(held, sources))
    if any(names is None or _chosen(names, glob) for names in opened):
        return
    there = list(dict.fromkeys([*_stated_fields(sources), *(name for names in opened for name in names or ())]))
    shown = ", ".join(there[:MOST_NAMED]) + (", ..." if len(there) > MOST_NAMED else "")
    names = ", ".join(source.name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    raise NotFound(f"no field {glob!r} in {names}", f"there are: {shown}" if there else "`fleetbox ls` shows fields")


async def _held(stores: Stores, source: Source) -> list[str] | None:
    """Return the fields of a stream's newest record, or None where that cannot be told."""
    if source.schema.type not in ("", CHUNKED):
        return [BLOB]
    newest = max(source.holdings, key=lambda holding: holding.entry.latest_us)
    try:
        store = await stores.at(newest.place)
        record = await store.read(newest.bucket, newest.stream, newest.entry.latest_us)
        names = list(chunks.columns(record.data)) if is_chunk(record) else [BLOB]
    except FleetboxError:  # gone, torn or damaged meanwhile: reading tells that in its own way
        return None
    return [name for name in names if name not in (chunks.TIME, *chunks.CLOCKS)]


def _stated(source: Source) -> list[str]:
    return list(source.schema.fields) if source.schema.type in ("", CHUNKED) else [BLOB]


def _chosen(names: Sequence[str], glob: str) -> bool:
    return bool(chosen_fields(names, (glob,)))
