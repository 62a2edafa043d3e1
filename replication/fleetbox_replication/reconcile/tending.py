"""Tend one hop: sweep it after a break, look at its open minutes, try its dead letters, compare its pages."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from fleetbox.ledger import MINUTE_US
from fleetbox.time import FOR_EVER_US
from fleetbox_replication.reconcile.attaching import bring_attachments
from fleetbox_replication.reconcile.checking import Checker
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.hop import Hop, is_ledger
from fleetbox_replication.reconcile.listing import Ends, entries_of, horizon_of
from fleetbox_replication.reconcile.means import Means
from fleetbox_replication.reconcile.minute import Minute
from fleetbox_replication.reconcile.paging import compare_pages, doubt_pages, side_of
from fleetbox_replication.reconcile.posting import post
from fleetbox_replication.reconcile.rereading import Suspects, reread
from fleetbox_replication.reconcile.sweeping import Swept, sweep
from fleetbox_replication.reconcile.timetable import Timetable

log = structlog.get_logger()

CLOCK_US = 600_000_000  # µs; a clock that ran ahead told minutes that are still to come: list ten minutes at least
WORTH_SAYING = 3  # refusals named in the log a sweep


class Tender:
    """Do what is due on a hop; it remembers which hops are to be swept."""

    def __init__(self, means: Means, times: Timetable, suspects: Suspects) -> None:
        self._means, self._times, self._suspects = means, times, suspects
        self._checker = Checker(means)
        self._to_sweep: set[str] = set()
        self._missing: set[str] = set()
        self._short: dict[tuple[str, str], int] = {}  # proven records that a stream's destination does not count

    def alarm(self, hop: Hop) -> None:
        """Take up that a hop's task may have forgotten something: sweep it, and look at what is open."""
        self._to_sweep.add(hop.spec.name)
        self._checker.hasten(hop)

    def waits(self, hop: Hop) -> bool:
        """Tell whether a hop is to be swept, or has minutes that are open for longer than a grace."""
        return hop.spec.name in self._to_sweep or bool(self._checker.due(hop, 0))

    async def tend(self, hop: Hop) -> list[Minute]:
        """Do what is due; return the minutes whose standing is news. Raises Unreachable, AccessDenied."""
        rhythm, name = self._means.options.rhythm, hop.spec.name
        self._watch_bucket(hop)
        if self._times.is_due("whole", name, rhythm.whole_s):
            await self._look_whole(hop)
            if hop.cls == "meta" and await doubt_pages(self._means, hop):
                self._times.hasten("pages", name)
            await bring_attachments(Ends(hop.spec, self._means.source(), self._means.there))
            self._times.done("whole", name)
        news = await self._tend_minutes(hop)
        if self._means.options.letters is not None and self._times.is_due("letters", name, rhythm.letters_s):
            self._times.done("letters", name)
            news += await post(self._means, self._checker, hop)
        if self._suspects.has(hop.spec.dst_bucket):
            await self._read_back(hop)
        if hop.cls == "meta" and self._times.is_due("pages", name, rhythm.ledger_s):
            await compare_pages(self._means, hop)
            self._times.done("pages", name)
        return news

    async def _tend_minutes(self, hop: Hop) -> list[Minute]:
        name = hop.spec.name
        sweeps = name in self._to_sweep and self._times.is_due("sweep", name, self._means.options.rhythm.sweep_s)
        if not sweeps and not self._checker.due(hop, 0):
            return []
        task = await self._means.source().task(name)
        if task is None or task.mode != "enabled":
            return []
        if sweeps and not task.pending:
            await self._sweep(hop)
        minutes = self._checker.due(hop, task.pending)
        before = self._means.counts["brought"]
        news = await self._checker.check(hop, minutes) if minutes else []
        if self._means.counts["brought"] > before:  # perhaps of a stream that was not there at all
            await bring_attachments(Ends(hop.spec, self._means.source(), self._means.there))
        return news

    async def _sweep(self, hop: Hop) -> None:
        """List what no page covers yet, after a break; the minutes that are open are looked at by themselves."""
        copier = self._means.copier(hop)
        bounds = Bounds(0, self._means.state.stones_at(hop.robot, hop.cls, hop.site))
        swept = await sweep(copier, self._means.options.sleep, self._watermark(hop), bounds)
        self._tell(hop, swept)
        if swept.clean:
            self._to_sweep.discard(hop.spec.name)
        else:
            self._times.done("sweep", hop.spec.name)

    async def _read_back(self, hop: Hop) -> None:
        """Read what was sent right after a break; what is refused is tried with the next break or sample."""
        bucket = hop.spec.dst_bucket
        ends = Ends(hop.spec, self._means.source(), self._means.there)
        read, mended = await reread(ends, self._means.copier(hop), self._suspects.of(bucket))
        self._suspects.forget(bucket)
        self._means.counts["payloads_read"] += read
        self._means.counts["mended"] += mended.mended

    def _watermark(self, hop: Hop) -> Callable[[str], int]:
        """Return what gives per stream the time in µs up to which the pages cover it."""
        state = self._means.state
        told = state.told_until(hop.robot, hop.cls)
        latest_us = self._means.options.now_us() - CLOCK_US

        def since_us(stream: str) -> int:
            if hop.cls == "meta" and is_ledger(stream):
                return max(0, state.cursor(side_of(stream), hop.robot).time_us)
            return min(told[stream] + MINUTE_US, latest_us) if stream in told else 0

        return since_us

    def _tell(self, hop: Hop, swept: Swept) -> None:
        self._means.counts["brought"] += swept.brought
        self._means.brought[hop.robot] += swept.brought
        if swept.brought:
            self._means.relay.brought(swept.brought)
            log.warning("brought records that their task had forgotten", task=hop.spec.name, records=swept.brought)
        for head, status, why in swept.mended.refused[:WORTH_SAYING]:
            log.warning("a forgotten record is refused", task=hop.spec.name, entry=head.entry, status=status, why=why)

    def _watch_bucket(self, hop: Hop) -> None:
        """Look at a whole bucket as soon as it is back after it was missing at the destination."""
        name = hop.spec.name
        if self._means.refusing(hop.spec.dst_bucket) == 404:
            self._missing.add(name)
            self._means.proofs.forget(hop.spec.dst_bucket)  # gone with the bucket before their minute was told
        elif name in self._missing:
            self._missing.discard(name)
            self._times.hasten("whole", name)
            self._checker.hasten(hop)

    async def _look_whole(self, hop: Hop) -> None:
        """Open minutes again when the destination counts fewer records of a stream than were proven.

        Its count is no proof, as half-written records are in it, but too small a one is reason for doubt.
        """
        state, spec, now_us = self._means.state, hop.spec, self._means.options.now_us()
        held = state.proven_records(hop.robot, hop.cls)  # first: what is proven while stores are asked is not there yet
        there = {info.name: info.records for info in await entries_of(self._means.there, spec.dst_bucket)}
        if await horizon_of(self._means.there, spec.dst_bucket):
            return  # a full ring lets go of its oldest
        here = {info.name: info for info in await entries_of(self._means.source(), spec.src_bucket) if info.records}
        for stream, proven in held.items():
            short, known = proven - there.get(stream, 0), self._short.get((spec.name, stream), 0)
            self._short[spec.name, stream] = max(0, short)
            if short <= known or stream not in here:
                continue  # what its source has no more cannot be brought, and is short at each look
            start_us = here[stream].oldest_us - here[stream].oldest_us % MINUTE_US
            with state.change():
                opened = state.doubt(hop.robot, (hop.cls, stream), start_us, FOR_EVER_US, now_us)
            self._means.proofs.drop_before(spec.dst_bucket, stream, FOR_EVER_US)  # what came since is told by pages
            if opened:
                log.warning("proven records are not at the destination any more", task=spec.name, stream=stream)
                self._checker.hasten(hop)
