"""Say which names of a question nothing has: a field that no chosen stream has, a label that no record has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from fleetbox import chunks
from fleetbox.errors import FleetboxError, NotFound
from fleetbox_query.expressions import Expression
from fleetbox_query.items import BLOB, chosen_fields, is_chunk
from fleetbox_query.plan import FAR_US, Run, Source, fetches
from fleetbox_query.schemas import CHUNKED
from fleetbox_query.store_filters import has_label
from fleetbox_query.stores import Stores

OPENED = 8  # chunks opened at once to see what they hold
MOST_NAMED = 20  # fields named in an error


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
    if not tests or not await _any_record(stores, sources, None):
        return ()
    there = ", ".join(_stated_fields(sources)) or "none"
    lacking = [test for test in tests.values() if not await _any_record(stores, sources, has_label(test.name))]
    return tuple(
        f"no record in that time has a label `{test.name}`"
        if test.on_label
        else f"no row has `{test.name}`: no chosen stream has such a field (there are: {there}), no record such a label"
        for test in lacking
    )


async def _any_record(stores: Stores, sources: Sequence[Source], when: dict[str, Any] | None) -> bool:
    """Tell whether some reached place has a record in the wanted windows that passes the store's filter."""
    windows = [(source, part) for source in sources for part in source.record_windows(0, FAR_US)]
    runs = [Run(source, holding, *part) for source, part in windows for holding in source.holdings]
    for fetch in fetches(runs):
        store, (start, stop) = await stores.at(fetch.holding.place), (fetch.runs[0].start_us, fetch.runs[0].stop_us)
        query = store.query(
            fetch.holding.bucket, tuple(fetch.sources), start_us=start, stop_us=stop, when=when, head=True
        )
        async with aclosing(query) as heads:
            try:
                async for _ in heads:
                    return True
            except NotFound:  # removed since it was listed
                continue
    return False


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
