"""Keep the catalog of what is no number: a row per picture, video, file or text, with a link to its bytes."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fleetbox.blobs import Store
from fleetbox.chunks import CONTENT_TYPE
from fleetbox.errors import NotFound
from fleetbox.ledger import Line
from fleetbox.records import Head
from fleetbox.settings import Place
from fleetbox_query.lake.columns import labels_text
from fleetbox_query.lake.scalars import Taken
from fleetbox_query.lake.tables import LakeTable, Mark
from fleetbox_query.lake.windows import Stretch, by_heads

if TYPE_CHECKING:
    import pyarrow as pa

KEY = ("class", "stream", "record_us")  # within a robot
CHANGING = ("keep", "policy")  # labels that come later, once


async def sync_catalog(
    store: Store, place: Place, robot: str, table: LakeTable, lines: Sequence[Line], mark: Mark, taken: Taken
) -> None:
    """List the told minutes, add what the catalog lacks, mend what was selected since; the last commit is marked."""
    loads = list(by_heads(lines))
    taken.expect(lines)
    before = Mark(mark.app, await asyncio.to_thread(table.place, mark.app))
    for at, stretches in enumerate(loads):
        heads = [head for one in stretches for head in await _list(store, place.bucket(robot, one.cls), one)]
        last = at == len(loads) - 1
        rows = [_row(place, robot, cls, head) for cls, head in heads]
        await asyncio.to_thread(_put, table, robot, stretches, rows, mark if last else before, taken)


async def _list(store: Store, bucket: str, stretch: Stretch) -> list[tuple[str, Head]]:
    query = store.query(bucket, stretch.streams, start_us=stretch.start_us, stop_us=stretch.stop_us, head=True)
    try:
        return [(stretch.cls, head) async for head in query if head.content_type != CONTENT_TYPE]
    except NotFound:  # the ring took the last of it
        return []


def link(url: str, bucket: str, entry: str, time_us: int) -> str:
    """Return where a store gives out a record's bytes, to whoever sends a token that may read them."""
    return f"{url}/api/v1/b/{quote(bucket)}/{quote(entry)}?ts={time_us}"


def _row(place: Place, robot: str, cls: str, head: Head) -> dict[str, Any]:
    labels, end = head.labels, head.labels.get("t_end", "")
    return {
        "robot": robot,
        "day": dt.datetime.fromtimestamp(head.time_us // 1_000_000, dt.UTC).date(),
        "time_us": head.time_us,
        "record_us": head.time_us,
        "end_us": int(end) if end.isdecimal() else None,
        "class": cls,
        "stream": head.entry,
        "type": labels.get("type"),
        "content_type": head.content_type,
        "size_bytes": head.size,
        "rows": _whole(labels.get("rows")),
        "xxh": labels.get("xxh"),
        "session": labels.get("session"),
        "seq": _whole(labels.get("seq")),
        **{name: labels.get(name) for name in CHANGING},
        "labels": labels_text(labels),
        "site": place.name,
        "link": link(place.url, place.bucket(robot, cls), head.entry, head.time_us),
    }


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _put(
    table: LakeTable,
    robot: str,
    stretches: Sequence[Stretch],
    rows: list[dict[str, Any]],
    mark: Mark,
    taken: Taken,
) -> None:
    import pyarrow as pa

    known = _known(table, robot, stretches)
    named = {tuple(row[name] for name in KEY): row for row in rows}
    for cls, stream, time_us in known | named.keys():
        taken.note(cls, stream, [time_us])
    fresh = [row for key, row in named.items() if key not in known]
    mended = [row for key, row in named.items() if key in known and _differs(row, known[key])]
    taken.listed += len(fresh)
    if mended:
        days = ", ".join(sorted({f"DATE '{row['day']}'" for row in (*fresh, *mended)}))
        within = f"held.robot = '{robot}' AND held.day IN ({days})"
        table.upsert(pa.Table.from_pylist(fresh + mended, _schema()), mark, KEY, within)
    elif fresh:
        table.append(pa.Table.from_pylist(fresh, _schema()), mark)


def _differs(row: dict[str, Any], held: tuple[str | None, ...]) -> bool:
    """Tell whether a record was selected since it was listed; one seen again without its label takes nothing back."""
    return any(row[name] and row[name] != was for name, was in zip(CHANGING, held, strict=True))


def _known(
    table: LakeTable, robot: str, stretches: Sequence[Stretch]
) -> dict[tuple[str, str, int], tuple[str | None, ...]]:
    import pyarrow.compute as pc

    at = pc.field("record_us")
    start, stop = min(one.start_us for one in stretches), max(one.stop_us for one in stretches)
    streams = sorted({stream for one in stretches for stream in one.streams})
    where = (pc.field("robot") == robot) & (at >= start) & (at < stop) & pc.field("stream").isin(streams)
    held = table.held((*KEY, *CHANGING), where)
    if held is None:
        return {}
    told = list(zip(*(held[name].to_pylist() for name in (*KEY, *CHANGING)), strict=True))
    return {(cls, stream, time_us): tuple(rest) for cls, stream, time_us, *rest in told}


def _schema() -> pa.Schema:
    import pyarrow as pa

    stamp, text, whole = pa.timestamp("us", tz="UTC"), pa.string(), pa.int64()
    kinds = {"day": pa.date32(), "time_us": stamp, "end_us": stamp}
    kinds |= dict.fromkeys(("record_us", "size_bytes", "rows", "seq"), whole)
    names = (
        "robot", "day", "time_us", "record_us", "end_us", "class", "stream", "type", "content_type", "size_bytes",
        "rows", "xxh", "session", "seq", *CHANGING, "labels", "site", "link",
    )  # fmt: skip
    return pa.schema([(name, kinds.get(name, text)) for name in names])
