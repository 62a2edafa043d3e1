"""Pages of the ledger as records: msgpack, packed small, in the class `meta`, which travels first.

A place writes its pages into one entry of the robot's `meta` bucket: `ledger` on the robot, `ledger/<site>` at a site.
"""

from __future__ import annotations

import zlib
from dataclasses import astuple, dataclass
from typing import Any

import msgpack
import xxhash

from fleetbox.errors import InputError
from fleetbox.labels import Labels
from fleetbox.ledger.counts import Count
from fleetbox.ledger.lines import MINUTE_US, Drop, Line, Removal, Span, Standing, Tombstone
from fleetbox.naming import CLASSES
from fleetbox.records import Draft

STREAM = "ledger"
ENTRIES = (STREAM, f"{STREAM}/*")  # the robot's own pages and those of each site
TYPE = "ledger"
CONTENT_TYPE = "application/vnd.fleetbox.ledger"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Page:
    """Hold what one place wrote down about one robot at one time, in µs; `place` is the robot or a site."""

    place: str
    robot: str
    written_us: int
    lines: tuple[Line, ...] = ()
    drops: tuple[Drop, ...] = ()
    standings: tuple[Standing, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    removals: tuple[Removal, ...] = ()


def entry_of(place: str, robot: str) -> str:
    """Name the entry that holds a place's pages about a robot."""
    return STREAM if place == robot else f"{STREAM}/{place}"


def encode(page: Page) -> bytes:
    """Return the page's bytes: about 40 a line."""
    streams = sorted({line.stream for line in page.lines})
    sessions = sorted({span.session for line in page.lines for span in line.spans})
    number = {name: at for at, name in enumerate(streams)}
    body = [
        VERSION, page.place, page.robot, page.written_us, streams, sessions,
        [_packed(line, number, sessions) for line in page.lines],
        [[CLASSES.index(drop.cls), *astuple(drop)[1:]] for drop in page.drops],
        [_packed_standing(standing) for standing in page.standings],
        [list(astuple(stone)) for stone in page.tombstones],
        *([[list(astuple(gone)) for gone in page.removals]] if page.removals else []),
    ]  # fmt: skip
    return zlib.compress(msgpack.packb(body), 6)


def decode(data: bytes) -> Page:
    """Read a page; raises InputError for bytes that are none."""
    try:
        version, place, robot, written_us, streams, sessions, lines, drops, standings, stones, *rest = msgpack.unpackb(
            zlib.decompress(data)
        )
        if version != VERSION:
            raise InputError(f"a ledger page of version {version}", "read it with a newer fleetbox")
        return Page(
            place, robot, written_us,
            tuple(_line(item, streams, sessions) for item in lines),
            tuple(Drop(CLASSES[item[0]], *item[1:]) for item in drops),
            tuple(Standing(*item) for item in standings),
            tuple(Tombstone(*item) for item in stones),
            tuple(Removal(*item) for item in (rest[0] if rest else ())),
        )  # fmt: skip
    except (ValueError, TypeError, IndexError, zlib.error, msgpack.UnpackException) as error:
        raise InputError(f"{len(data)} bytes are not a ledger page: {error}") from error


def draft(page: Page, time_us: int) -> Draft:
    """Return the record that writes a page at a time in µs."""
    data = encode(page)
    labels: Labels = {"robot": page.robot, "type": TYPE, "xxh": xxhash.xxh3_64_hexdigest(data)}
    return Draft(entry_of(page.place, page.robot), time_us, data, labels, CONTENT_TYPE)


def _packed(line: Line, number: dict[str, int], sessions: list[str]) -> list[Any]:
    """Return a line as numbers; a count equal to the one before it is left out."""
    return [
        CLASSES.index(line.cls), number[line.stream], line.minute_us // MINUTE_US, astuple(line.held),
        None if line.keep == line.held else astuple(line.keep),
        None if line.cloud == line.keep else astuple(line.cloud),
        line.rows, line.first_us - line.minute_us, line.last_us - line.first_us,
        [[sessions.index(span.session), span.first, span.next - span.first, span.rows] for span in line.spans],
        int(line.partial), line.missing,
    ]  # fmt: skip


def _line(item: list[Any], streams: list[str], sessions: list[str]) -> Line:
    cls, stream, minute, held, keep, cloud, rows, first, length, spans, partial, missing = item
    whole = Count(*held)
    kept = whole if keep is None else Count(*keep)
    minute_us = minute * MINUTE_US
    return Line(
        CLASSES[cls], streams[stream], minute_us, whole, kept, kept if cloud is None else Count(*cloud),
        rows, minute_us + first, minute_us + first + length,
        tuple(Span(sessions[at], start, start + count, present) for at, start, count, present in spans),
        bool(partial), missing,
    )  # fmt: skip


def _packed_standing(item: Standing) -> list[Any]:
    return [
        item.site, item.cls, item.stream, item.minute_us,
        item.waiting, dict(item.refused), dict(item.lost), item.unexplained,
    ]  # fmt: skip
