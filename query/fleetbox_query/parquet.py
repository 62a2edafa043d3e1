"""Write streams as Parquet files, one per stream."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError
from fleetbox_query.saving import written_whole
from fleetbox_query.units import mixed_units, units_of, with_units
from fleetbox_query.widening import rounded_lines

if TYPE_CHECKING:
    from fleetbox_query.answering import Answered, Wish
    from fleetbox_query.selection import Selection


def write_parquet(selection: Selection, wish: Wish) -> Answered:
    """Write one stream to a file (or a pipe), several into a folder as ROBOT/STREAM.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fleetbox.cli.output import note
    from fleetbox_query.answering import Answered

    tables = selection.arrow(warn=False)
    units = units_of(tables.sources)
    for line in [*mixed_units(tables.sources), *rounded_lines(tables.rounding)]:
        note(line)
    for name, table in tables.items():
        tables[name] = with_units(table, name, units.get(name, {}))
    if wish.limit is not None:
        for name, table in tables.items():
            tables[name] = table.slice(0, wish.limit)
    if len(tables) > 1 and (wish.out is None or wish.out.suffix):
        raise InputError(f"{len(tables)} streams do not fit one Parquet file", "give a folder: -o DIR")
    if wish.out is None:
        if sys.stdout.isatty():
            raise InputError("Parquet is not for a terminal", "write it to a file: -o FILE.parquet")
        pq.write_table(tables.one, pa.output_stream(sys.stdout.buffer))
    for name, table in tables.items() if wish.out else ():
        _write(pq, table, wish.out if wish.out and wish.out.suffix else Path(wish.out or ".", f"{name}.parquet"))
    return Answered(sum(table.num_rows for table in tables.values()), 0, tables.provenance)


def _write(pq: Any, table: Any, path: Path) -> None:
    with written_whole(path) as part:
        pq.write_table(table, part)
