"""What stands between two ends of a hop: records missing, wrong or with older labels, decided from their heads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fleetbox.labels import Labels
from fleetbox.ledger import Tombstone
from fleetbox.records import Head

Times = Mapping[int, Head]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Say what must not be brought: records before the destination's horizon, in µs, and those under tombstones."""

    horizon_us: int = 0
    stones: tuple[Tombstone, ...] = ()

    def buried(self, stream: str, time_us: int) -> bool:
        """Tell whether a person deleted a stream's record at the destination."""
        return any(stone.stream == stream and stone.start_us <= time_us < stone.stop_us for stone in self.stones)


@dataclass(frozen=True, slots=True)
class Difference:
    """Sort one stream's selected records by what stands at the destination at their times.

    `wrong` is the same record with other bytes, `conflicts` another record, `stale` ours with older labels;
    `beyond` are absent because the destination's own ring has turned over, `buried` because a person deleted them.
    """

    missing: tuple[Head, ...] = ()
    wrong: tuple[Head, ...] = ()
    conflicts: tuple[Head, ...] = ()
    stale: tuple[Head, ...] = ()
    beyond: tuple[Head, ...] = ()
    buried: tuple[Head, ...] = ()

    @property
    def clean(self) -> bool:
        """Tell whether there is nothing to bring or mend."""
        return not (self.missing or self.wrong or self.conflicts or self.stale)

    def all(self) -> list[Head]:
        """Return everything that is to be brought or mended, in order of time."""
        return sorted((*self.missing, *self.wrong, *self.conflicts, *self.stale), key=lambda head: head.time_us)

    def among(self, times_us: Collection[int]) -> Difference:
        """Return what of it lies at some times."""
        piles = {name: getattr(self, name) for name in Difference.__slots__}
        return Difference(**{
            name: tuple(head for head in heads if head.time_us in times_us) for name, heads in piles.items()
        })  # fmt: skip


def compare(selected: Iterable[Head], there: Times, bounds: Bounds) -> Difference:
    """Compare one stream's selected records with the destination's, given by their times."""
    piles: dict[str, list[Head]] = {name: [] for name in Difference.__slots__}
    for head in selected:
        pile = _pile(head, there.get(head.time_us), bounds)
        if pile is not None:
            piles[pile].append(head)
    return Difference(**{name: tuple(heads) for name, heads in piles.items()})


def same_payload(ours: Head, theirs: Head) -> bool:
    """Tell whether two heads are of equal bytes, by size and hash as far as both carry one."""
    hashes = (ours.labels.get("xxh"), theirs.labels.get("xxh"))
    return ours.size == theirs.size and (None in hashes or hashes[0] == hashes[1])


def lacking(ours: Labels, theirs: Labels) -> Labels:
    """Return the labels that the destination's copy should get.

    One label may differ for good: an event at the edge turns `keep=edge` into `keep=1` there.
    """
    wanted = {name: value for name, value in ours.items() if theirs.get(name) != value}
    if theirs.get("keep") == "1":
        wanted.pop("keep", None)
        if "policy" in theirs:  # it names the one by which the edge promoted it
            wanted.pop("policy", None)
    return wanted


def union(*ends: Iterable[Head]) -> Sequence[Head]:
    """Return one head per time, the first end's before the others'."""
    found: dict[int, Head] = {}
    for heads in ends:
        for head in heads:
            found.setdefault(head.time_us, head)
    return list(found.values())


def _pile(head: Head, there: Head | None, bounds: Bounds) -> str | None:
    if there is None:
        if bounds.buried(head.entry, head.time_us):
            return "buried"
        return "beyond" if head.time_us < bounds.horizon_us else "missing"
    if not same_payload(head, there):
        return "wrong" if _same_record(head.labels, there.labels) else "conflicts"
    return "stale" if lacking(head.labels, there.labels) else None


def _same_record(ours: Labels, theirs: Labels) -> bool:
    return all(name in ours and ours[name] == theirs.get(name) for name in ("session", "seq"))
