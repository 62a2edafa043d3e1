"""Tell what fields are measured in, and find those that streams of one name tell in several units."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fleetbox_query.plan import Source

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 6  # streams named for a field


class MixedUnits(UserWarning):
    """Warn that one field is told in several units by the streams put side by side."""


def units_of(sources: Sequence[Source]) -> dict[str, dict[str, str]]:
    """Return the units of each stream ("robot/stream") by field; streams that tell none are left out."""
    found: dict[str, dict[str, str]] = {}
    for source in sources:
        for name, said in source.schema.fields.items():
            if unit := said.get("unit"):
                found.setdefault(source.name, {}).setdefault(name, str(unit))
    return found


def with_units(table: pa.Table, name: str, units: Mapping[str, str]) -> pa.Table:
    """Return a stream's table with its units in the schema's metadata: "units", JSON {stream: {field: unit}}."""
    told = {field: unit for field, unit in units.items() if field in table.column_names}
    if not told:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), "units": json.dumps({name: told})})


def column_units(sources: Sequence[Source], columns: Sequence[str]) -> dict[str, str]:
    """Return the units of a frame's columns: "robot/stream:field", or plain fields where one stream is chosen."""
    told = {f"{name}:{field}": unit for name, units in units_of(sources).items() for field, unit in units.items()}
    alone = sources[0].name if len({source.name for source in sources}) == 1 else ""
    named = {column: told.get(column) or told.get(f"{alone}:{column}") for column in columns}
    return {column: unit for column, unit in named.items() if unit}


def mixed_units(sources: Sequence[Source]) -> list[str]:
    """Return a line for each field that chosen streams of one name tell in several units, with who tells which."""
    return mixed_among((one.stream, one.robot, one.cls, one.schema.fields) for one in sources)


def mixed_among(streams: Iterable[tuple[str, str, str, Mapping[str, Mapping[str, Any]]]]) -> list[str]:
    """Return the same of streams given as (stream, robot, class, fields as their schema has them)."""
    told: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for stream, robot, cls, fields in streams:
        for name, said in fields.items():
            if unit := said.get("unit"):
                told.setdefault((stream, name), {})[robot, cls] = str(unit)
    return [_line(*key, units) for key, units in sorted(told.items()) if len(set(units.values())) > 1]


def warn_of_units(sources: Sequence[Source], stacklevel: int = 3) -> None:
    """Warn with MixedUnits for each such field."""
    for line in mixed_units(sources):
        warnings.warn(MixedUnits(line), stacklevel=stacklevel)


def _line(stream: str, name: str, units: dict[tuple[str, str], str]) -> str:
    twice = len({robot for robot, _ in units}) < len(units)  # one robot's own, told differently in two buckets
    each = [f"{robot} ({cls}) {unit}" if twice else f"{robot} {unit}" for (robot, cls), unit in sorted(units.items())]
    shown = ", ".join(each[:SHOWN]) + (", ..." if len(each) > SHOWN else "")
    return f"{stream}:{name} is told in several units: {shown}; nothing is converted: choose one of them, or convert"
