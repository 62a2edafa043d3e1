"""Hold one export under way: the question at fixed times, the output, how far it is, what it counts."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fleetbox.cli.output import size_text
from fleetbox.errors import InputError
from fleetbox_query.exports.asked import fixed
from fleetbox_query.exports.output import Output
from fleetbox_query.exports.stretches import Stretches
from fleetbox_query.exports.tally import Tally
from fleetbox_query.plan import FAR_US, Source
from fleetbox_query.provenance import PartialAnswer
from fleetbox_query.reading import Prepared, Reading, narrowed
from fleetbox_query.schemas import KEY
from fleetbox_query.selection import Selection
from fleetbox_query.streaming import Records
from fleetbox_query.units import MixedUnits
from fleetbox_query.widening import Rounded, Rounding

Advance = Callable[[float, str], None]  # the part done, 0 to 1, and words beside it


@dataclass(frozen=True, slots=True)
class Options:
    """Say how an export is to be made; each format takes what it knows."""

    fps: float | None = None  # mp4: a constant rate, each frame the latest picture; None keeps the pictures' own times
    burn_time: bool = False  # mp4, png, jpeg: write the time into each picture
    compression: str = "lz4"  # mcap: pictures hardly shrink, and lz4 costs a tenth of zstd's time


def made_options(given: Mapping[str, Any]) -> Options:
    """Return options by name; raises InputError naming those there are."""
    known = Options.__slots__
    for name in given:
        if name not in known:
            raise InputError(f"an export has no option {name!r}", f"use {', '.join(known)}")
    return Options(**given)


@dataclass(frozen=True, slots=True)
class Exported:
    """Say what was exported: the output's path, rows and blobs by stream, what is missing or was left out."""

    path: Path
    tally: Tally
    size_bytes: int = 0  # of the output's files
    told: tuple[str, ...] = ()  # what its reader must know, though nothing is missing: fields in several units
    rounded: tuple[str, ...] = ()  # the same of whole numbers that lost digits beside floats

    def __repr__(self) -> str:
        streams = f"{len(self.tally.items):,} stream{'' if len(self.tally.items) == 1 else 's'}"
        head = f"{self.path}: {self.tally.total:,} items of {streams}, {size_text(self.size_bytes)}"
        return "\n".join([head, *self.lines(), *self.told, *self.rounded])

    @property
    def complete(self) -> bool:
        """Tell whether everything asked for is in the output."""
        return self.tally.complete

    def lines(self) -> list[str]:
        """Return what the output lacks, a line each."""
        left = [f"left out: {text}" for text in self.tally.skipped]
        return [*self.tally.missing, *left]

    def warn(self, stacklevel: int = 3) -> None:
        """Issue a PartialAnswer warning unless everything is there, MixedUnits for fields in several units, Rounded."""
        if not self.complete:
            warnings.warn(PartialAnswer("; ".join(self.lines())), stacklevel=stacklevel)
        for line in self.told:
            warnings.warn(MixedUnits(line), stacklevel=stacklevel)
        for line in self.rounded:
            warnings.warn(Rounded(line), stacklevel=stacklevel)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "path": str(self.path),
            "file_bytes": self.size_bytes,
            "complete": self.complete,
            "told": [*self.told, *self.rounded],
            **self.tally.as_dict(),
        }


@dataclass
class Job:
    """Give a format what it needs: sources, rows or items from where it stopped, the output, the tally."""

    selection: Selection
    out: Output
    options: Options
    window: tuple[int, int]
    advance: Advance
    tally: Tally = field(default_factory=Tally)
    next_us: int = 0  # everything before it is in finished files
    state: dict[str, Any] = field(default_factory=dict)  # what the format itself remembers between attempts
    units: dict[str, dict[str, str]] = field(default_factory=dict)  # of each stream's ("robot/stream") fields

    def __post_init__(self) -> None:
        if (kept := self.out.checkpoint) is not None:
            self.tally, self.next_us, self.state = Tally.of(kept["tally"]), kept["next_us"], kept["state"]

    @property
    def rounding(self) -> Rounding:
        """Return the count of values that lost digits, by "robot/stream:field", over all attempts."""
        counted: Rounding = self.state.setdefault("rounding", {})
        return counted

    def begin_anew(self) -> None:
        """Forget how far an earlier attempt came."""
        self.out.begin_anew()
        self.tally, self.next_us, self.state = Tally(), 0, {}

    def prepared(self, *, films: bool = False, fields: Mapping[str, tuple[str, ...]] | None = None) -> Prepared:
        """Return the question made ready, from where the export stopped; `fields` replaces those chosen of a stream."""
        session = self.selection.session
        question = fixed(self.selection.question, self.window)
        prepared = session.run(session.prepare(question, films=films))
        chosen = fields or {}
        sources = (replace(one, fields=chosen.get(one.name, one.fields)) for one in prepared.sources)
        return narrowed(replace(prepared, sources=tuple(sources)), self.next_us, FAR_US)

    def prepared_whole(self) -> Prepared:
        """Return the whole question made ready, whatever is finished of it."""
        session = self.selection.session
        return session.run(session.prepare(fixed(self.selection.question, self.window)))

    def records(self, prepared: Prepared) -> Records:
        """Return rows and blobs in order of time."""
        session = self.selection.session
        return Records(session.loop, Reading(session.stores, prepared), warn=False)

    def stretches(self, prepared: Prepared) -> Stretches:
        """Return rows as tables, stretch by stretch."""
        session = self.selection.session
        return Stretches(session.loop, Reading(session.stores, prepared), self.rounding)

    def descriptions(self, sources: tuple[Source, ...]) -> dict[str, dict[str, Any]]:
        """Return what is attached to each stream ("robot/stream") as its schema; {} for a stream without."""
        return self.selection.session.run(self._descriptions(sources))

    def reached(self, time_us: int) -> None:
        """Say that everything before a time is in finished files."""
        self.next_us = time_us
        self.out.reached({"next_us": time_us, "tally": self.tally.as_dict(), "state": self.state})

    def show(self, time_us: int) -> None:
        """Show how far the export is."""
        start, stop = self.window
        start = max(start, self._first_us(time_us))
        done = min(1.0, max(0.0, (time_us - start) / max(1, stop - start)))
        self.advance(done, f"{self.tally.total:,} items, {self.tally.size_bytes / 1e6:,.0f} MB")

    def _first_us(self, time_us: int) -> int:
        return int(self.state.setdefault("first_us", time_us))

    async def _descriptions(self, sources: tuple[Source, ...]) -> dict[str, dict[str, Any]]:
        stores = self.selection.session.stores

        async def read(source: Source) -> dict[str, Any]:
            held = source.holdings[0]
            kept = await (await stores.at(held.place)).attachments_of(held.bucket, [held.stream])
            return dict(kept[held.stream].get(KEY, {}))

        found = await asyncio.gather(*(read(source) for source in sources))
        told: dict[str, dict[str, Any]] = {}
        for source, said in zip(sources, found, strict=True):
            if not source.film and (source.name not in told or "schema_data" in said):
                told[source.name] = said
        return told
