"""Count, per robot and stream, the rows of the chunks against what InfluxDB holds and what it refused, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fleetbox.ledger import Ledger, read_ledger
from fleetbox.naming import site_bucket, split_bucket
from fleetbox.tallies import Tally
from fleetbox_cloud.comparing import keeps_from_us
from fleetbox_cloud.comparison import ASKED, short_of, stretches, wanted_of
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.sources import LOADED_CLASSES, buckets_of

EXPIRED = "expired"  # InfluxDB took it and has kept it for as long as its bucket says
TO_MEND = "to mend"  # found just now: the next comparison writes it again
_STEPS = {
    "retention": "older than the bucket keeps points: lengthen it with `influx bucket update --retention`",
    "type": "somebody wrote the field with another type: find who, or give the field another name on the robot",
    "name": "InfluxDB keeps the name `time` for itself: give the field another name on the robot",
    "nan": "the sensor said that it has no reading: nothing to do",
    "undecodable": "the chunk does not open: fleetbox replicate verify --deep",
    "malformed": "InfluxDB cannot read the point: see its words",
    "too_large": "one point exceeds what InfluxDB takes in a request: see its --http-max-body-size",
}


@dataclass(frozen=True, slots=True)
class ScalarRow:
    """Say of one robot's stream, in a window of its rows' times, what became of the rows.

    rows = points + empty + refused (all but `nan` and `name`, which count values left out of a point). `points` are
    rows that became part of a roll-up. `values` are in those rows; `held` is how many of them InfluxDB holds, None when
    it was not asked; `short` are those known to be missing there, by reason. `chunks` is what the site's ledger tells
    of, `loaded` what was loaded.
    """

    robot: str
    stream: str
    rows: int
    points: int
    values: int
    empty: int
    refused: Mapping[str, int]
    short: Mapping[str, int] = field(default_factory=dict)
    held: int | None = None
    chunks: int | None = None
    loaded: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the row for a report."""
        return asdict(self)


def booked(cursor: Cursor, start_us: int, stop_us: int) -> list[ScalarRow]:
    """Return what the books say of minutes from start to stop (excluded), without asking anybody."""
    short: dict[tuple[str, str], Counter[str]] = {}
    for one in cursor.shorts():
        if start_us <= one.minute_us < stop_us:
            short.setdefault((one.robot, one.stream), Counter())[one.reason] += one.n
    found = []
    for robot, stream in cursor.streams():
        tally = cursor.sum(buckets_of(robot), stream, start_us, stop_us)
        loaded = sum(cursor.chunks(bucket, stream, start_us, stop_us) for bucket in buckets_of(robot))
        if tally.rows or loaded:
            found.append(_row(robot, stream, tally, short.get((robot, stream), {}), loaded))
    return found


async def scalar_rows(loader: Loader, start_us: int, stop_us: int, now_us: int) -> list[ScalarRow]:
    """Return the same, with what InfluxDB holds now and how many chunks the site's ledger tells of.

    Minutes are taken whole. Raises what InfluxDB and the store raise.
    """
    from_us = await keeps_from_us(loader.scalars, now_us)
    ledgers: dict[str, Ledger] = {}
    found = []
    for row in booked(loader.cursor, start_us, stop_us):
        if row.robot not in ledgers:
            meta = site_bucket(row.robot, "meta")
            ledgers[row.robot] = await read_ledger(loader.store, meta, row.robot, start_us=start_us)
        told = _told(ledgers[row.robot], loader, row, (start_us, stop_us))
        held, short = await _asked(loader, row, (start_us, stop_us), from_us)
        found.append(replace(row, held=held, short=short, chunks=told))
    return found


def refusals(cursor: Cursor) -> list[dict[str, Any]]:
    """Return what InfluxDB refused of the minutes in the books, the most first, with its words and what to do."""
    return [
        {
            "robot": (split_bucket(bucket) or (bucket, ""))[0],
            "stream": entry,
            "reason": one.reason,
            "n": one.n,
            "first_us": one.first_us,
            "last_us": one.last_us,
            "message": one.message,
            "next_step": step_for(one.reason),
        }
        for bucket, entry, one in cursor.refused()
    ]


def step_for(reason: str) -> str:
    """Say what helps against a reason."""
    return _STEPS.get(reason, "see InfluxDB's own words and its log")


async def _asked(
    loader: Loader, row: ScalarRow, window_us: tuple[int, int], from_us: int | None
) -> tuple[int, dict[str, int]]:
    """Ask InfluxDB for a row's minutes; return how many of its values it holds, and how many not, by reason."""
    given = loader.cursor.given(buckets_of(row.robot), row.stream, *window_us)
    known = {one.minute_us: one.reason for one in loader.cursor.shorts(row.robot, row.stream)}
    short = Counter[str]()
    for stretch in stretches(wanted_of(given, None), ASKED):
        held = await loader.held(row.robot, row.stream, stretch.start_us, stretch.stop_us)
        for minute_us, n in short_of(stretch.wanted, held).items():
            expired = from_us is not None and minute_us < from_us
            short[EXPIRED if expired else known.get(minute_us, TO_MEND)] += n
    return row.values - sum(short.values()), dict(short)


def _told(ledger: Ledger, loader: Loader, row: ScalarRow, window_us: tuple[int, int]) -> int:
    """Return how many chunks the ledger tells of; `kept` holds blobs too, so there only streams of chunks count."""
    classes = {
        cls
        for cls in LOADED_CLASSES
        if cls == "sensor" or loader.cursor.chunks(site_bucket(row.robot, cls), row.stream, *window_us)
    }
    lines = ledger.of(loader.site).items()
    return sum(
        folded.held.records
        for (cls, stream, minute_us), folded in lines
        if cls in classes and stream == row.stream and window_us[0] <= minute_us < window_us[1]
    )


def _row(robot: str, stream: str, tally: Tally, short: Mapping[str, int], loaded: int) -> ScalarRow:
    return ScalarRow(
        robot, stream, tally.rows, tally.points, tally.values, tally.empty, dict(tally.refused), dict(short),
        loaded=loaded,
    )  # fmt: skip
