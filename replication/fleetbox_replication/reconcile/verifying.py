"""Compare both ends of hops now, record by record, from any machine that reaches both: `replicate verify|repair`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import FleetboxError, StoreRefused, Unreachable
from fleetbox.ledger import read_ledger
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, Place
from fleetbox.time import FOR_EVER_US
from fleetbox_replication.apply import ahead_of, connect
from fleetbox_replication.reconcile.attaching import bring_attachments
from fleetbox_replication.reconcile.copying import Copier, Mended
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.hop import Hop, hop_of
from fleetbox_replication.reconcile.listing import (
    Ends,
    Listed,
    entries_of,
    horizon_of,
    list_both,
    windows,
)
from fleetbox_replication.reconcile.patience import Patience
from fleetbox_replication.reconcile.payloads import with_payloads

TORN = 425
STILL_S, STILL_LOOKS = 0.5, 20  # a busy stream gets a batch every quarter of a second
TORN_S = 61.0  # a half-written record is healed once it has been seen for a minute

Tell = Callable[[int, str], None]  # records compared so far, and where


@dataclass(frozen=True, slots=True)
class Question:
    """Say what is to be compared: streams, a range of times in µs, with payloads or without, and whether to repair."""

    selector: Selector = field(default_factory=Selector)
    start_us: int = 0
    stop_us: int = FOR_EVER_US
    deep: bool = False
    repair: bool = False
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Found:
    """Say how one stream of a hop stands, in records.

    `stale` have older labels at the destination; `too_old` lie before what it keeps, `deleted` a person deleted there.
    `brought`, `mended` and `relabelled` were repaired, `refused` could not be.
    """

    place: str
    site: str
    robot: str
    cls: str
    stream: str
    selected: int = 0
    missing: int = 0
    wrong: int = 0
    conflicts: int = 0
    stale: int = 0
    too_old: int = 0
    deleted: int = 0
    brought: int = 0
    mended: int = 0
    relabelled: int = 0
    refused: int = 0
    why: str | None = None

    @property
    def amiss(self) -> int:
        """Count the records that are not as they should be, after what was repaired."""
        repaired = self.brought + self.mended + self.relabelled
        return max(0, self.missing + self.wrong + self.conflicts + self.stale - repaired)

    def row(self) -> dict[str, Any]:
        """Return it as a row for people and JSON."""
        row = asdict(self)
        row["class"] = row.pop("cls")
        return {**row, "amiss": self.amiss}


@dataclass(slots=True)
class Verdict:
    """Hold what was found per hop and stream, and which hops could not be compared."""

    found: list[Found] = field(default_factory=list)
    failed: dict[str, FleetboxError] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Return 0 when all is as it should be, 3 when something is not or was not asked, else the first failure's."""
        if self.failed and not self.found:
            return next(iter(self.failed.values())).exit_code
        return 3 if self.failed or any(item.amiss for item in self.found) else 0


async def verify(
    fleet: FleetSettings, places: Iterable[Place], question: Question, tell: Tell = lambda records, where: None
) -> Verdict:
    """Compare the hops that leave some places; with `question.repair` copy what differs.

    Lists about 25,000 records a second at each end. A place that does not answer is among `failed`.
    """
    verdict = Verdict()
    for place in places:
        try:
            await _verify_place(fleet, place, question, verdict, tell)
        except FleetboxError as error:
            verdict.failed[f"{place.name} to {place.next}"] = error
    return verdict


async def _verify_place(fleet: FleetSettings, place: Place, question: Question, verdict: Verdict, tell: Tell) -> None:
    target = ahead_of(fleet, place)
    async with connect(place) as source, connect(target) as there:
        hops = [hop for task in await source.tasks() if (hop := hop_of(task.spec, place.name)) is not None]
        await there.buckets()  # one that is away is said once, not for each task
        for hop in hops:
            if hop.site != target.name or not Selector(question.selector.robot).matches(hop.robot, "any"):
                continue
            try:
                await _verify_hop(Ends(hop.spec, source, there), hop, question, verdict, tell)
            except Unreachable:
                raise
            except FleetboxError as error:
                verdict.failed[hop.spec.name] = error


async def _verify_hop(ends: Ends, hop: Hop, question: Question, verdict: Verdict, tell: Tell) -> None:
    ledger = await read_ledger(ends.there, hop.far_meta, hop.robot)
    stones = tuple(stone for stone in ledger.tombstones if (stone.site, stone.cls) == (hop.site, hop.cls))
    bounds = Bounds(await horizon_of(ends.there, hop.spec.dst_bucket), stones)
    for info in await entries_of(ends.source, hop.spec.src_bucket):
        if hop.takes(info.name) and question.selector.matches(hop.robot, info.name):
            done = sum(item.selected for item in verdict.found)
            tell(done, f"{hop.spec.name}: {info.name}")
            verdict.found.append(await _verify_stream(ends, hop, info, question, bounds))
    if question.repair:
        await bring_attachments(ends)


async def _verify_stream(ends: Ends, hop: Hop, info: EntryInfo, question: Question, bounds: Bounds) -> Found:
    found = Found(hop.place, hop.site, hop.robot, hop.cls, info.name)
    for start_us, stop_us in windows(info, question.start_us, question.stop_us):
        listed = await list_both(ends, info.name, start_us, stop_us, bounds)
        listed = await question.patience.settled(ends, listed, bounds)
        if question.deep:
            listed = await with_payloads(ends, listed)
        differs = listed.difference
        mended = await _repair(ends, listed) if question.repair and not differs.clean else Mended()
        found = replace(
            found,
            selected=found.selected + len(listed.selected),
            missing=found.missing + len(differs.missing),
            wrong=found.wrong + len(differs.wrong),
            conflicts=found.conflicts + len(differs.conflicts),
            stale=found.stale + len(differs.stale),
            too_old=found.too_old + len(differs.beyond),
            deleted=found.deleted + len(differs.buried),
            brought=found.brought + mended.brought,
            mended=found.mended + mended.mended,
            relabelled=found.relabelled + mended.relabelled,
            refused=found.refused + len(mended.refused),
            why=_why(mended) or found.why,
        )
    return found


async def _repair(ends: Ends, listed: Listed) -> Mended:
    """Copy what differs; half-written records at the destination are healed after a minute."""
    if listed.difference.wrong:
        await still(ends.there, ends.spec.dst_bucket, listed.stream)
    copier = Copier(ends, lambda bucket, entry: nullcontext())
    done = await copier.mend(listed)
    torn = [head for head, status, _ in done.refused if status == TORN]
    if torn:
        await asyncio.sleep(TORN_S)
        done.refused = [item for item in done.refused if item[1] != TORN]
        done.add(await copier.bring(torn))
    return done


async def still(store: Store, bucket: str, stream: str) -> None:
    """Return once nobody writes to a stream, as far as its count tells; raise StoreRefused if that does not come.

    A delete beside a write by another process may leave that one with wrong bytes.
    """
    before = await _count(store, bucket, stream)
    for _ in range(STILL_LOOKS):
        await asyncio.sleep(STILL_S)
        now = await _count(store, bucket, stream)
        if now == before:
            return
        before = now
    raise StoreRefused(
        f"wrong records of {bucket}/{stream} cannot be replaced while others arrive there",
        409,
        "pause the hop first: fleetbox replicate pause; the reconciler beside the relay needs no pause",
    )


async def _count(store: Store, bucket: str, stream: str) -> int:
    return sum(info.records for info in await entries_of(store, bucket) if info.name == stream)


def _why(mended: Mended) -> str | None:
    """Return the first reason for which a record could not be repaired."""
    if mended.refused:
        _, status, message = mended.refused[0]
        return f"{status} {message}"
    return "left its source meanwhile" if mended.gone else None
