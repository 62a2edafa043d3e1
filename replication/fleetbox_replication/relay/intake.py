"""Take records from the engine, bring them to the destination, and decide what the engine is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog
from aiohttp import web

from fleetbox.clock import Clock
from fleetbox.errors import FleetboxError
from fleetbox_replication.dead_letters import DeadLetters, named
from fleetbox_replication.relay.batch_write import Batch
from fleetbox_replication.relay.counters import RelayCounters
from fleetbox_replication.relay.delivery import Delivery
from fleetbox_replication.relay.destination import Destination
from fleetbox_replication.relay.holding import Holding
from fleetbox_replication.relay.options import RelayOptions, Timing
from fleetbox_replication.relay.patience import Patience
from fleetbox_replication.relay.requests import RecordsRequest
from fleetbox_replication.relay.responses import drain, refusal, taken
from fleetbox_replication.relay.settling import Outcome
from fleetbox_replication.wire import Part, WireError, slices

HELD_BYTES = 16 * 1024 * 1024  # the engine closes a batch at 8 MB; more is one large record, passed through unheld
BUDGET_BYTES = 64 * 1024 * 1024  # eight full batches at once, whatever number of tasks waits

log = structlog.get_logger()


class Intake:
    """Carry records through: held in memory where they fit, streamed where not; then vouch, let through, or keep."""

    def __init__(self, there: Destination, counters: RelayCounters, clock: Clock, options: RelayOptions) -> None:
        self._there, self._counters, self._clock = there, counters, clock
        self._letters: DeadLetters | None = options.letters
        self._on_stored = options.on_stored
        timing = options.timing or Timing()
        self._patience = Patience(timing.monotonic_s, options.patience_s, enabled=options.letters is not None)
        self._delivery = Delivery(there, counters, self._patience, timing)
        self._holding = Holding(BUDGET_BYTES)

    @property
    def held_bytes(self) -> int:
        """Tell how much memory the batches in flight take."""
        return self._holding.held_bytes

    async def take(self, request: web.Request, records: RecordsRequest, stopping: Callable[[], bool]) -> web.Response:
        """Deliver what a request brings and return the engine's answer."""

        def wanted() -> bool:
            return not stopping() and request.transport is not None and not request.transport.is_closing()

        if request.method == "PATCH":
            await drain(request)
            outcome = await self._delivery.relabel(records.entry, records.parts, wanted)
        elif _must_stream(request):
            outcome = await self._stream(request, records)
        else:
            outcome = await self._hold(request, records, wanted)
        return await self._answer(request, records, outcome)

    async def keep(self, request: web.Request, status: int, message: str) -> web.Response:
        """Read a request nobody understands to its end and leave it to the engine to send it again."""
        await drain(request)
        self._counters.refused("", "", status, message, self._clock.now_us())
        return refusal(503, message)

    async def _hold(self, request: web.Request, records: RecordsRequest, wanted: Callable[[], bool]) -> Outcome:
        async with self._holding.of(request.content_length or 0, self._there.pace.rank(records.entry.bucket)):
            body = bytearray()
            async for chunk in request.content.iter_any():
                body += chunk
            try:
                bodies = slices(records.parts, body)
            except WireError as error:
                return self._delivery.give_up(records.entry, records.parts, str(error))
            if sum(part.size for part in records.parts) != len(body):
                self._counters.healed["repeats"] += 1
            return await self._delivery.write(Batch(records.entry, records.parts, bodies), wanted)

    async def _stream(self, request: web.Request, records: RecordsRequest) -> Outcome:
        headers = {name: value for name, value in request.headers.items() if _goes_on(name)}
        if records.single:
            headers |= {f"x-reduct-time-{part.time_us}": part.header for part in records.parts}
        outcome = await self._delivery.stream(records.entry, records.parts, headers, request.content.iter_any())
        await drain(request)  # an answer before the last byte would reach the engine as a reset
        return outcome

    async def _answer(self, request: web.Request, records: RecordsRequest, outcome: Outcome) -> web.Response:
        outcome = await self._let_through(records, outcome)
        now_us, entry = self._clock.now_us(), records.entry
        if outcome.pending:
            self._counters.counts["kept"] += 1
            self._counters.refused(entry.bucket, entry.name, outcome.status, outcome.message, now_us)
            return refusal(503, f"kept at the source: {outcome.status} {outcome.message}")
        stored = [part for part in records.parts if part.time_us not in outcome.passed]
        moved = [] if request.method == "PATCH" else stored
        self._counters.counts["updates"] += len(stored) - len(moved)
        self._counters.vouched(entry.bucket, entry.name, len(moved), sum(part.size for part in moved), now_us)
        await self._vouched(records, stored)
        return taken(records, outcome)

    async def _let_through(self, records: RecordsRequest, outcome: Outcome) -> Outcome:
        """Note letters before the engine hears of them; those that cannot be noted stay with the engine."""
        if not outcome.letters:
            return outcome
        entry, letters = records.entry, outcome.letters
        if self._letters is not None:
            refused = [(at_us, error.status, error.message) for at_us, error in letters.items()]
            try:
                noted = named(entry.bucket, entry.name, refused, self._clock.now_us())
                await asyncio.to_thread(self._letters.note_all, noted)
            except FleetboxError as error:
                parts = tuple(part for part in records.parts if part.time_us in letters)
                first = next(iter(letters.values()))
                message = f"{first.message} ({error.message})"
                return Outcome(parts, status=first.status, message=message) | replace(outcome, letters={})
            self._counters.counts["letters"] += len(letters)
            _, status, message = refused[0]
            where = {"bucket": entry.bucket, "entry": entry.name, "records": len(refused)}
            log.warning("let dead letters through", **where, status=status, why=message)
        return replace(outcome, letters={}, passed={**outcome.passed, **letters})

    async def _vouched(self, records: RecordsRequest, stored: list[Part]) -> None:
        entry = records.entry
        self._patience.stored(entry, stored)
        if self._letters is not None and len(self._letters):
            try:
                times = [part.time_us for part in stored]
                await asyncio.to_thread(self._letters.settle_all, entry.bucket, entry.name, times)
            except FleetboxError as error:  # the reconciler settles it: it finds the record in its place
                log.debug("a letter stays open", why=error.message)
        if self._on_stored is not None and stored:
            try:
                self._on_stored(entry.bucket, entry.name, stored)
            except Exception:  # whoever listens must not cost a batch its answer
                log.exception("proof of arrival was not taken", bucket=entry.bucket, entry=entry.name)


def _must_stream(request: web.Request) -> bool:
    size = request.content_length
    return size is None or size > HELD_BYTES or "Content-Encoding" in request.headers


_PASSED_ON = {"content-type", "content-encoding", "content-length"}


def _goes_on(name: str) -> bool:
    return name.lower() in _PASSED_ON or name.lower().startswith("x-reduct-")
