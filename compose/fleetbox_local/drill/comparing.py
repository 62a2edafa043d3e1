"""Compares what a robot, its edge and the cloud hold, record by record, and the promised numbers with all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import xxhash

from fleetbox import chunks, ledger
from fleetbox.blobs import Store
from fleetbox.errors import NotFound, StoreRefused, Unreachable
from fleetbox.naming import CLASSES, RING_CLASSES
from fleetbox.records import Head, Record
from fleetbox.settings import Place
from fleetbox_local.drill import writer
from fleetbox_local.drill.setting import ROBOT

Key = tuple[str, str, int]  # class, stream, time in µs


@dataclass(frozen=True, slots=True)
class Held:
    """Hold one record as a place has it; `xxh` was computed from the payload as it was read back."""

    size: int
    xxh: str
    labels: Mapping[str, str]

    @property
    def sound(self) -> bool:
        """Tell whether the payload is the one that was written."""
        return self.labels.get("xxh", self.xxh) == self.xxh


@dataclass(frozen=True, slots=True)
class Shelf:
    """Hold everything one place holds of the robot, but for the ledger's pages, and the numbers found in it."""

    place: str
    records: Mapping[Key, Held]
    numbers: Mapping[str, Counter[int]] = field(default_factory=dict)

    def of(self, *streams: str) -> set[Key]:
        """Return the keys of some streams."""
        return {key for key in self.records if key[1] in streams}


@dataclass(frozen=True, slots=True)
class Difference:
    """Say what a place lacks of what was selected for it, what it holds otherwise, and which numbers it lacks."""

    place: str
    selected: int
    missing: tuple[Key, ...] = ()
    wrong: tuple[Key, ...] = ()
    absent: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0
    promised: tuple[str, ...] = ()  # the streams whose numbers were looked for

    @property
    def clean(self) -> bool:
        """Tell whether every selected record and every promised number is there, whole."""
        return not (self.missing or self.wrong or self.absent)

    def __str__(self) -> str:
        parts = [f"{len(self.missing)} of {self.selected} missing {_streams(self.missing)}"] if self.missing else []
        parts += [f"{len(self.wrong)} with other bytes {_streams(self.wrong)}"] if self.wrong else []
        parts += [f"{count} promised numbers of {stream} absent" for stream, count in self.absent.items()]
        return f"{self.place}: {'; '.join(parts) or 'all there'}"


def is_selected(tier: str, key: Key, labels: Mapping[str, str]) -> bool:
    """Tell whether a record of the robot is meant for a tier."""
    if key[0] not in RING_CLASSES:
        return True  # events, parameters and what was rescued travel whole
    return "keep" in labels if tier == "edge" else labels.get("keep") == "1"


def compare(before: Sequence[Shelf], there: Shelf, tier: str, promised: int) -> Difference:
    """Compare what the places before a tier selected with what it holds, and the promised numbers with its own.

    Every place before has a say: a site writes events of its own, and promotes what the robot had sent no further.
    """
    selected = {
        key: held for place in before for key, held in place.records.items() if is_selected(tier, key, held.labels)
    }
    wrong = [
        key
        for key, held in there.records.items()
        if not held.sound or (key in selected and (held.size, held.xxh) != (selected[key].size, selected[key].xxh))
    ]
    streams = promised_streams(promised, tier)
    absent = {stream: lacking for stream, wanted in streams.items() if (lacking := _lacking(wanted, there, stream))}
    repeated = sum(_repeated(there, stream) for stream in streams)
    missing = tuple(sorted(selected.keys() - there.records.keys()))
    return Difference(there.place, len(selected), missing, tuple(sorted(wrong)), absent, repeated, tuple(streams))


def promised_streams(promised: int, tier: str) -> dict[str, range]:
    """Return which numbers the streams that always ship must hold at a tier."""
    wanted = {
        writer.ROWS: range(promised),
        writer.TEXTS: range(0, promised, writer.TEXT_EVERY),
        writer.PICTURES: range(0, promised, writer.PICTURE_EVERY),
    }
    return wanted if tier == "cloud" else {**wanted, writer.NEAR: range(0, promised, writer.TEXT_EVERY)}


async def keys(store: Store, place: Place) -> dict[Key, Head]:
    """List what a place holds of the robot; a bucket that is not there, or cannot be listed now, holds nothing."""
    found: dict[Key, Head] = {}
    for cls in CLASSES:
        try:
            async for head in store.query(place.bucket(ROBOT, cls), head=True):
                if not _is_page(head.entry):
                    found[cls, head.entry, head.time_us] = head
        except (NotFound, StoreRefused, Unreachable):
            continue
    return found


async def shelf(store: Store, place: Place) -> Shelf:
    """Read everything that a place holds of the robot, payloads included."""
    records: dict[Key, Held] = {}
    numbers: dict[str, Counter[int]] = {}
    seen: set[tuple[str, int]] = set()
    for cls in CLASSES:
        try:
            async for record in store.query(place.bucket(ROBOT, cls)):
                if _is_page(record.entry):
                    continue
                xxh = xxhash.xxh3_64_hexdigest(record.data)
                records[cls, record.entry, record.time_us] = Held(len(record.data), xxh, record.labels)
                if (record.entry, record.time_us) not in seen:  # a copy rescued in `kept` is no second number
                    numbers.setdefault(record.entry, Counter()).update(_numbers(record))
                seen.add((record.entry, record.time_us))
        except NotFound:
            continue
    return Shelf(place.name, records, numbers)


def _is_page(entry: str) -> bool:
    """Tell whether an entry holds the ledger's pages: they are written all the time, also while we compare."""
    return entry == ledger.STREAM or entry.startswith(f"{ledger.STREAM}/")


def _numbers(record: Record) -> Iterable[int]:
    if record.entry == writer.ROWS:
        return [row["n"] for row in chunks.rows(record.data)]
    if record.entry in (writer.TEXTS, writer.NEAR, writer.PICTURES, writer.LATER):
        return [writer.number_of(record.entry, record.data)]
    return []


def _lacking(wanted: range, there: Shelf, stream: str) -> int:
    found = there.numbers.get(stream, Counter())
    return sum(number not in found for number in wanted)


def _repeated(there: Shelf, stream: str) -> int:
    return sum(count - 1 for count in there.numbers.get(stream, Counter()).values())


def _streams(missing: Iterable[Key]) -> str:
    return str(dict(Counter(key[1] for key in missing)))
