"""List the times at which a selection has rows or blobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fleetbox.errors import InputError
from fleetbox.records import Head
from fleetbox_query.frames import ClockName, clock_ns
from fleetbox_query.items import Item, is_chunk
from fleetbox_query.plan import Run
from fleetbox_query.reading import Prepared, Reading
from fleetbox_query.stores import Stores

if TYPE_CHECKING:
    from fleetbox_query.grids import Times
    from fleetbox_query.selection import Selection


def times_ns(selection: Selection, clock: ClockName) -> Times:
    """Return the times of a selection in order, in ns, by one of its clocks.

    Only chunks and videos are read, and everything where a condition needs it; of other blobs the heads suffice.
    """
    import numpy as np

    prepared = selection.prepared(films=True)
    heads = selection.session.run(_heads(selection.session.stores, prepared))
    if prepared.expression.needs_rows or any(run.source.film for run, _ in heads):
        found = [_of_item(item, clock) for item in selection.records()]
    elif any(is_chunk(head) for _, head in heads):
        return np.sort(np.concatenate([clock_ns(name, table, clock) for name, table in selection.arrow().items()]))
    else:
        found = list(_of_heads(heads, clock))
    return np.sort(np.array(found, np.int64))


async def _heads(stores: Stores, prepared: Prepared) -> list[tuple[Run, Head]]:
    return await Reading(stores, prepared).heads()


def _of_heads(heads: Iterable[tuple[Run, Head]], clock: ClockName) -> Iterable[int]:
    for run, head in heads:
        if run.source.covers(head.time_us):
            yield head.time_us * 1000 if clock == "record" else _told(head.labels.get(f"{clock}_ns"), run, clock)


def _told(text: str | None, run: Run, clock: ClockName) -> int:
    if text is None or not text.isdecimal():
        raise InputError(f"{run.source.name} has no {clock} clock on every record", "use clock='record'")
    return int(text)


def _of_item(item: Item, clock: ClockName) -> int:
    if clock == "record":
        return item.time_us * 1000
    told = (item.fields or {}).get(f"{clock}_ns", item.labels.get(f"{clock}_ns"))
    if told is None:
        raise InputError(f"{item.robot}/{item.stream} has no {clock} clock on every record", "use clock='record'")
    return int(told)
