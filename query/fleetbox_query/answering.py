"""Answer `fleetbox query`: read what was asked, write it in the chosen format, say what was left out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from fleetbox.chunks import CLOCKS
from fleetbox.errors import InputError
from fleetbox_query.fleet import Fleet
from fleetbox_query.formats import Shape, write_csv, write_ndjson, write_table
from fleetbox_query.items import Item
from fleetbox_query.nothing import why_nothing, why_undecided
from fleetbox_query.plain import plain_item
from fleetbox_query.plan import Source
from fleetbox_query.plot import Curve, panels
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import Question
from fleetbox_query.saving import written_whole
from fleetbox_query.selection import Selection
from fleetbox_query.sizing import scan_text
from fleetbox_query.streaming import Records
from fleetbox_query.units import mixed_units

ON_TERMINAL = 20  # rows shown when somebody only looks
MOST_PLOTS = 12  # below each other: more are no answer at a glance
MOST_TALL = 3  # with eight rows each on one screen; more get three rows each


@dataclass(frozen=True, slots=True)
class Wish:
    """Say how an answer is to be written; limit None = all of it."""

    format: str = "table"
    limit: int | None = None
    out: Path | None = None
    clock: str = "record"


@dataclass(frozen=True, slots=True)
class Answered:
    """Say what was written and what the answer may lack; `more` is None where it would have to be read to know."""

    written: int
    more: int | None
    provenance: Provenance
    hints: tuple[str, ...] = ()


def answer(fleet: Fleet, question: Question, wish: Wish) -> Answered:
    """Write the answer to a question as it is read."""
    selection = Selection(fleet.session, question)
    if wish.format == "parquet":
        from fleetbox_query.parquet import write_parquet

        return write_parquet(selection, wish)
    records = selection.records(warn=False)
    _announce(records)
    shape = Shape(*_named(records.sources), wish.clock)
    try:
        items: Iterator[Item] = records if wish.limit is None else islice(records, wish.limit)
        with _output(wish.out) as out:
            written = _write(items, out, shape, wish, records)
        more = _left(selection, records, written, wish.limit)
    finally:
        records.close()
    return Answered(written, more, records.provenance, _hints(selection, records, written))


def plot(fleet: Fleet, question: Question, columns: int) -> tuple[str, Provenance]:
    """Draw the scalars a question chooses, `columns` characters wide; raises InputError for none or too many."""
    records = Selection(fleet.session, question).records(warn=False)
    points: dict[str, tuple[list[int], list[float]]] = {}
    for item in records:
        for name, value in (item.fields or {}).items():
            if name not in CLOCKS and isinstance(value, int | float):
                times, values = points.setdefault(f"{item.robot}/{item.stream}:{name}", ([], []))
                times.append(item.time_us)
                values.append(float(value))
    if not 0 < len(points) <= MOST_PLOTS:
        some = ", ".join(list(points)[:6]) or "no numbers at all"
        text = f"--plot draws up to {MOST_PLOTS} scalars, and this chooses {len(points)}: {some}"
        raise InputError(text, "name fewer, as in r1/imu:ax")
    curves = [Curve(name, times, values) for name, (times, values) in points.items()]
    return panels(curves, columns, bare=len(curves) > MOST_TALL), records.provenance


def explain(fleet: Fleet, question: Question) -> dict[str, Any]:
    """Say what the store filters, what this program filters, and which streams would be read from where."""
    prepared = fleet.session.run(fleet.session.prepare(question))
    split = prepared.expression
    return {
        "expression": split.text,
        "store": split.engine_when,
        "client": {"labels": [_test_text(test) for test in split.label_tests], "rows": list(split.row_parts)},
        "streams": [
            {"stream": source.name, "class": source.cls, "places": [held.place.name for held in source.holdings]}
            for source in prepared.sources
        ],
        "unreachable": [str(one) for one in prepared.inventory.unreached],
    }


def _announce(records: Records) -> None:
    """Say on stderr what a filter over a long range costs, before it runs, and which fields come in several units."""
    from fleetbox.cli.output import note

    if text := scan_text(records.prepared):
        note(text)
    for line in mixed_units(records.sources):
        note(line)


def _write(items: Iterator[Item], out: TextIO, shape: Shape, wish: Wish, records: Records) -> int:
    if wish.format == "json":
        return _write_json(items, out, records)
    writers = {"ndjson": write_ndjson, "csv": write_csv, "table": write_table}
    try:
        return writers[wish.format](items, out, shape)
    except ValueError as error:
        if wish.format != "csv" or isinstance(error, InputError):
            raise
        raise InputError(
            f"the streams do not fit one CSV: {error}", "choose fewer streams or fields, or use --format ndjson"
        ) from error


def _write_json(items: Iterator[Item], out: TextIO, records: Records) -> int:
    """Write one object; its records are written as they are read, what may be missing stands after them."""
    from fleetbox.cli.output import SCHEMA_VERSION

    out.write(f'{{"schema_version": {SCHEMA_VERSION}, "records": [')
    count = 0
    for item in items:
        out.write(("\n" if not count else ",\n") + json.dumps(plain_item(item), allow_nan=False))
        count += 1
    provenance = records.provenance
    tail = {"count": count, "places_read": dict(provenance.places_read), "missing": provenance.lines()}
    out.write("],\n" + json.dumps(tail)[1:] + "\n")
    return count


def _left(selection: Selection, records: Records, written: int, limit: int | None) -> int | None:
    if limit is None or written < limit or next(records, None) is None:
        return 0
    if records.expression.needs_rows:
        return None
    return selection.count(warn=False).rows - written


def _hints(selection: Selection, records: Records, written: int) -> tuple[str, ...]:
    """Say why nothing came."""
    notes = records.notes
    if written:
        return ()
    if notes.tested and notes.undecided == notes.tested:
        return (why_undecided(selection.session, selection.question, notes.tested),)
    return (why_nothing(selection.session, selection.question),)


def _named(sources: tuple[Source, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    from fleetbox_query.items import chosen_fields

    fields = [name for source in sources for name in chosen_fields(source.schema.fields, source.fields)]
    return tuple(dict.fromkeys(source.name for source in sources)), tuple(dict.fromkeys(fields))


def _test_text(test: Any) -> str:
    return f"has({test.name})" if not hasattr(test, "op") else f"{test.name} {test.op} {test.literal!r}"


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Open the file to write, beside its name until it is whole, or stdout."""
    if path is None:
        yield sys.stdout
        return
    with written_whole(path) as part, part.open("w", encoding="utf-8", newline="") as out:
        yield out


def unlimited(wish: Wish) -> Wish:
    """Return the wish with twenty rows where somebody only looks at a terminal."""
    looks = wish.out is None and wish.format == "table" and wish.limit is None and sys.stdout.isatty()
    return replace(wish, limit=ON_TERMINAL) if looks else wish
