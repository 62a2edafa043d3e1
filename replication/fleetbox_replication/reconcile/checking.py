"""Look at open minutes: list both ends over them, bring what is missing, and say what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from fleetbox.blobs import EntryInfo
from fleetbox.ledger import MINUTE_US, Key, minute_of
from fleetbox.naming import RING_CLASSES, site_bucket
from fleetbox.records import Head
from fleetbox_replication.dead_letters import DeadLetter, named
from fleetbox_replication.reconcile.copying import Mended
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.hop import Hop
from fleetbox_replication.reconcile.listing import Ends, Listed, entries_of, heads, horizon_of, list_both
from fleetbox_replication.reconcile.means import Means
from fleetbox_replication.reconcile.minute import OPEN, Minute, is_clear
from fleetbox_replication.reconcile.rhythm import Flow, is_due
from fleetbox_replication.reconcile.standings import PASSING, SINGLE, Findings, is_news, judge

log = structlog.get_logger()

NEIGHBOURS_US = 10 * MINUTE_US  # minutes so close are listed together: a request costs more than their records
RUN_US = 60 * MINUTE_US  # and at most so much time of a stream
RUN_RECORDS = 20_000  # or so many records: heads of both ends stand in memory
CONFLICT = "conflict: another record stands at this time at the destination"
WORTH_SAYING = 3  # refusals named in the log a look


@dataclass(frozen=True, slots=True)
class Look:
    """Hold what does not change during one look at a hop: both ends, what bounds them, the source's entries."""

    hop: Hop
    ends: Ends
    bounds: Bounds
    source_full_us: int
    here: dict[str, EntryInfo]
    refusing: int | None
    letters: tuple[DeadLetter, ...]


@dataclass(slots=True)
class Checker:
    """Look at the open minutes of hops when they are due; it remembers when to look at each again."""

    means: Means
    _next_s: dict[tuple[str, Key], tuple[float, float]] = field(default_factory=dict)
    _hasty: set[str] = field(default_factory=set)

    def hasten(self, hop: Hop) -> None:
        """Look at all open minutes of a hop at the next step: something broke, or was mended."""
        self._hasty.add(hop.spec.name)
        for key in [key for key in self._next_s if key[0] == hop.robot and key[1][0] == hop.cls]:
            del self._next_s[key]

    def due(self, hop: Hop, pending: int) -> list[Minute]:
        """Return the open minutes of a hop that are to be looked at now."""
        now_s, now_us = self.means.options.monotonic_s(), self.means.options.now_us()
        hasty = hop.spec.name in self._hasty and pending == 0
        bucket, proofs = hop.spec.dst_bucket, self.means.proofs
        moved_s = proofs.moved_s(bucket)
        still_s = None if moved_s is None else now_s - moved_s
        return [
            minute
            for minute in self.means.state.open(hop.robot, hop.cls)
            if self._next_s.get((hop.robot, minute.key), (0.0, 0.0))[0] <= now_s
            and (
                hasty
                or is_due(
                    minute.minute_us,
                    (now_us - minute.since_us) / 1e6,
                    Flow(pending, still_s, proofs.reached_us(bucket, minute.stream)),
                    self.means.options.rhythm,
                )
            )
        ]

    async def check(self, hop: Hop, minutes: Sequence[Minute]) -> list[Minute]:
        """Look at minutes of a hop; return those whose standing is news. Raises Unreachable, AccessDenied."""
        self._hasty.discard(hop.spec.name)
        look, now_us = await self._begin(hop), self.means.options.now_us()
        news: list[Minute] = []
        for run in runs(minutes):
            start_us, stop_us = run[0].minute_us, run[-1].minute_us + MINUTE_US
            listed = await list_both(look.ends, run[0].stream, start_us, stop_us, look.bounds)
            mended = await self._mend(look, listed)
            self._name_conflicts(look, listed)
            for minute in run:
                judged = judge(minute, await self._findings(look, listed, mended, minute), hop.site, now_us)
                if self._note(judged, before=minute):
                    news.append(judged)
        return news

    async def _begin(self, hop: Hop) -> Look:
        source, there, state = self.means.source(), self.means.there, self.means.state
        stones = state.stones_at(hop.robot, hop.cls, hop.site)
        return Look(
            hop,
            Ends(hop.spec, source, there),
            Bounds(await horizon_of(there, hop.spec.dst_bucket), stones),
            await horizon_of(source, hop.spec.src_bucket),
            {info.name: info for info in await entries_of(source, hop.spec.src_bucket) if info.records},
            self.means.refusing(hop.spec.dst_bucket),
            tuple(self.means.letters(hop.spec.dst_bucket)),
        )

    async def _mend(self, look: Look, listed: Listed) -> Mended:
        """Bring what differs, unless the destination refuses the bucket just now: the task asks it every 10 s."""
        if listed.difference.clean:
            return Mended()
        if look.refusing is not None and look.refusing not in PASSING | SINGLE:
            return Mended(refused=[(head, look.refusing, "") for head in listed.difference.missing])
        mended = await self.means.copier(look.hop).mend(listed)
        self._tell(look.hop, mended)
        return mended

    def _name_conflicts(self, look: Look, listed: Listed) -> None:
        """List records whose time another record holds at the destination as dead letters, each once."""
        letters, named_us = self.means.options.letters, {letter.time_us for letter in look.letters}
        new = [(head.time_us, 409, CONFLICT) for head in listed.difference.conflicts if head.time_us not in named_us]
        if letters is not None and new:
            bucket, now_us = look.hop.spec.dst_bucket, self.means.options.now_us()
            letters.note_all(named(bucket, listed.stream, new, now_us))

    def _tell(self, hop: Hop, mended: Mended) -> None:
        counts = self.means.counts
        counts.update(brought=mended.brought, mended=mended.mended, relabelled=mended.relabelled)
        self.means.brought[hop.robot] += mended.brought
        if mended.brought or mended.mended:
            self.means.relay.brought(mended.brought + mended.mended)
            log.warning(
                "brought records that their task had not",
                task=hop.spec.name,
                records=mended.brought,
                wrong=mended.mended,
            )
        for head, status, why in mended.refused[:WORTH_SAYING]:
            log.warning(
                "a record is refused",
                task=hop.spec.name,
                entry=head.entry,
                time_us=head.time_us,
                status=status,
                why=why,
            )

    async def _findings(self, look: Look, listed: Listed, mended: Mended, minute: Minute) -> Findings:
        def here(heads: Iterable[Head]) -> list[Head]:
            return [head for head in heads if minute_of(head.time_us) == minute.minute_us]

        differs, went = listed.difference, {head.time_us for head in mended.gone}
        known = [head for head in here(listed.known()) if head.time_us not in went]
        left: dict[int, int | None] = {head.time_us: 409 for head in here(differs.conflicts)}
        left |= {head.time_us: status for head, status, _ in mended.refused if head in here([head])}
        found = Findings(
            known,
            left,
            len(here(differs.beyond)),
            len(here(differs.buried)),
            turned=minute.partial or self._turned(look, minute),
            given_up=self.means.state.given_up(minute.robot, minute.key),
            died=_died(look, minute, {head.time_us for head in known}),
        )
        if len(known) >= minute.told.records or minute.cls not in RING_CLASSES:
            return found
        return await self._with_saved(look, found, minute)

    def _turned(self, look: Look, minute: Minute) -> bool:
        """Tell whether the source's ring has taken records of a minute."""
        info = look.here.get(minute.stream)
        return look.source_full_us > 0 and (info is None or info.oldest_us > minute.minute_us)

    async def _with_saved(self, look: Look, found: Findings, minute: Minute) -> Findings:
        """Look whether what is gone from the ring was saved in `kept` before, at either end."""
        hop, stop_us = look.hop, minute.minute_us + MINUTE_US
        saved: set[int] = set()
        own = "kept" if hop.from_robot else site_bucket(hop.robot, "kept")
        for store, bucket in ((look.ends.source, own), (look.ends.there, site_bucket(hop.robot, "kept"))):
            saved |= {head.time_us for head in await heads(store, bucket, minute.stream, minute.minute_us, stop_us)}
        saved -= {head.time_us for head in found.known}
        gone = minute.told.records - len(found.known)
        return replace(found, saved=min(gone, len(saved)))

    def _note(self, minute: Minute, before: Minute) -> bool:
        """Note what was found and when to look again; tell whether its standing is news.

        What is news is noted by whoever has told it: a crash in between must not leave it untold.
        """
        self._plan(minute)
        waited_s = (self.means.options.now_us() - minute.since_us) / 1e6
        standing = minute.standing
        only_waits = standing is not None and not (standing.refused or standing.lost or standing.unexplained)
        early = only_waits and not is_clear(standing) and waited_s <= self.means.options.rhythm.waiting_s
        if is_news(before.standing, standing) and not early:
            return True
        with self.means.state.change():
            self.means.state.put(replace(minute, standing=before.standing))
        return False

    def _plan(self, minute: Minute) -> None:
        """Look at a minute that stays open again, each time later."""
        where, rhythm = (minute.robot, minute.key), self.means.options.rhythm
        _, wait_s = self._next_s.pop(where, (0.0, rhythm.again_s / 2))
        if minute.state == OPEN:
            wait_s = min(rhythm.longest_s, 2 * wait_s)
            self._next_s[where] = self.means.options.monotonic_s() + wait_s, wait_s


def runs(minutes: Iterable[Minute]) -> Iterator[list[Minute]]:
    """Cut open minutes into runs of one stream that are listed together."""
    run: list[Minute] = []
    for minute in sorted(minutes, key=lambda minute: (minute.stream, minute.minute_us)):
        if run and not _belongs(minute, run):
            yield run
            run = []
        run.append(minute)
    if run:
        yield run


def _belongs(minute: Minute, run: list[Minute]) -> bool:
    return (
        minute.stream == run[0].stream
        and minute.minute_us - run[-1].minute_us <= NEIGHBOURS_US
        and minute.minute_us - run[0].minute_us < RUN_US
        and sum(item.told.records for item in run) < RUN_RECORDS
    )


def _died(look: Look, minute: Minute, known: set[int]) -> tuple[int, ...]:
    """Return with what the records that are gone now were refused, as far as they were named."""
    return tuple(
        letter.status
        for letter in look.letters
        if letter.entry == minute.stream
        and minute_of(letter.time_us) == minute.minute_us
        and letter.time_us not in known
    )
