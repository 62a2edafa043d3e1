"""Hear rows from a robot's own programs, where the robot is this machine: milliseconds old, not a chunk's length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from fleetbox import chunks
from fleetbox.settings import FleetSettings
from fleetbox.tapping import Ear, Row
from fleetbox_query.expressions import Expression
from fleetbox_query.items import Item, chosen_fields
from fleetbox_query.plan import Source
from fleetbox_query.schemas import CHUNKED


class Hearing:
    """Listen to the robots whose agent's folder is here; a robot that is elsewhere is only followed in its store."""

    def __init__(self, fleet: FleetSettings) -> None:
        self._fleet = fleet
        self._ears: dict[str, Ear] = {}
        self._wanted: dict[str, dict[str, Source]] = {}

    def want(self, sources: Iterable[Source]) -> None:
        """Listen to these streams from now on."""
        wanted: dict[str, dict[str, Source]] = {}
        for source in sources:
            if source.fields != (chunks.CDR,):  # those go out as the messages they came in as
                wanted.setdefault(source.robot, {})[source.stream] = source
        if wanted == self._wanted:
            return
        for robot in wanted.keys() | self._ears.keys():
            self._listen(robot, wanted.get(robot, {}))
        self._wanted = wanted

    def items(self, expression: Expression) -> Iterator[Item]:
        """Yield the rows that have come, as items that pass the conditions."""
        for robot, ear in self._ears.items():
            streams = self._wanted.get(robot, {})
            for row in ear.take():
                if (source := streams.get(row.stream)) is not None and (item := _item(source, row, expression)):
                    yield item

    def close(self) -> None:
        """Stop listening."""
        for ear in self._ears.values():
            ear.close()
        self._ears = {}
        self._wanted = {}

    def _listen(self, robot: str, streams: dict[str, Source]) -> None:
        ear = self._ears.get(robot)
        if ear is None and streams and (state := self._state_of(robot)) is not None:
            with suppress(OSError):  # another user's folder: the store has the rows a little later
                ear = self._ears[robot] = Ear(state)
        if ear is not None:
            ear.want(streams)

    def _state_of(self, robot: str) -> Path | None:
        state = self._fleet.state_of(robot)
        return state if state is not None and state.is_dir() else None


def _item(source: Source, row: Row, expression: Expression) -> Item | None:
    labels = {name: str(value) for name, value in (row.labels or {}).items()}
    labels = {"robot": source.robot, "type": CHUNKED, **labels}
    if not expression.labels_match(labels):
        return None
    fields = dict(row.fields)
    if expression.needs_rows:
        told = {"stream": source.stream, "time_us": row.time_us}
        if expression.row_match(labels, fields, **told) is not True:
            return None
    shown = chosen_fields(fields, source.fields)
    if not shown:
        return None
    kept = {name: fields[name] for name in shown}
    return Item(source.robot, source.stream, row.time_us, CHUNKED, labels, chunks.CONTENT_TYPE, kept)
