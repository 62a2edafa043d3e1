"""The relay: the server on localhost that a store's replication tasks send through; it vouches for every batch."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, web

from fleetbox.clock import Clock
from fleetbox.errors import FleetboxError
from fleetbox_replication.relay.counters import RelayCounters
from fleetbox_replication.relay.delivery import Delivery, Timing
from fleetbox_replication.relay.destination import HEADER_BYTES, HEADERS, Cut, Destination
from fleetbox_replication.relay.holding import Holding
from fleetbox_replication.relay.requests import RecordsRequest, is_probe, probed_bucket, read_records
from fleetbox_replication.relay.responses import drain, once, passed_back, refusal, taken
from fleetbox_replication.relay.settling import Outcome
from fleetbox_replication.wire import WireError, slices

HELD_BYTES = 16 * 1024 * 1024  # the engine closes a batch at 8 MB; more is one large record, passed through unheld
BUDGET_BYTES = 64 * 1024 * 1024  # eight full batches at once, whatever number of tasks waits
IDLE_S = 86_400.0  # the engine must be the one to close: a request into a closing connection is lost to it
STOP_S = 10.0  # a batch on the wire may be in its 8 s of retries; stopping ends them at their next pause

QUIET_S = 0.3  # a task in mid-flow sends its next batch within milliseconds; an idle one polls every 0.25 s

_GONE = (ConnectionError, ClientError, web.RequestPayloadError)
_PASSED_ON = {"content-type", "content-encoding", "content-length"}


class Relay:
    """Forward what tasks send to one destination, and answer 200 only when every record of it is stored there.

    Everything else becomes a 503: the engine keeps those records and sends them again after about 10 s. `secret` is
    what the tasks show (`relay_secret`); the destination's token is read from `destination_token`, again after a 401.
    What a relay that is killed had on its way, a `Sweeper` brings.
    """

    def __init__(
        self,
        listen_url: str,
        destination_url: str,
        destination_token: str | Callable[[], str],
        secret: str,
        *,
        ca_file: str | None = None,
        clock: Clock | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.url = listen_url.rstrip("/")
        self._secret = secret
        self._clock = clock or Clock()
        self._counters = RelayCounters(destination_url, self._clock.now_us())
        read_token = destination_token if callable(destination_token) else lambda: destination_token
        self._there = Destination(destination_url, read_token, ca_file)
        self._timing = timing or Timing()
        self._delivery = Delivery(self._there, self._counters, self._timing)
        self._holding = Holding(BUDGET_BYTES)
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._runner: web.AppRunner | None = None
        self._stopping = False
        self._in_flight = 0
        self._last_request_s = 0.0

    async def start(self) -> None:
        """Listen; raises FleetboxError when the address is taken."""
        app = web.Application()
        app.router.add_get("/relay/status", self._status)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=IDLE_S,
            max_headers=HEADERS,
            max_field_size=HEADER_BYTES,
            shutdown_timeout=STOP_S,
        )
        self._stopping = False
        await self._there.open()
        await self._runner.setup()
        await self._listen(self._runner)

    async def stop(self) -> None:
        """Answer what is on the wire, then close; the engine keeps the rest and comes back."""
        self._stopping = True
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            await self._quiet()
            await self._runner.cleanup()
            self._runner = None
        await self._there.close()

    @property
    def cuts(self) -> int:
        """Tell how many requests the source broke off: it may have dropped their batches."""
        return self._counters.counts["cuts"]

    def brought(self, records: int) -> None:
        """Count records that a sweep has brought after their task had forgotten them."""
        self._counters.counts["brought"] += records

    def turn(self, bucket: str, entry: str) -> asyncio.Lock:
        """Give one entry of the destination to one writer at a time: a batch of its task, or a sweep."""
        return self._turns.setdefault((bucket, entry), asyncio.Lock())

    def counters(self) -> dict[str, Any]:
        """Return what passed, what was healed, what is refused and why, as plain values."""
        flow = {
            "reachable": self._there.reachable,
            "in_flight": self._in_flight,
            "held_bytes": self._holding.held_bytes,
            "stopping": self._stopping,
        }
        return {"url": self.url, **self._counters.show(), **flow}

    async def _listen(self, runner: web.AppRunner) -> None:
        address = urlsplit(self.url)
        try:
            await web.TCPSite(runner, address.hostname, address.port or 0).start()
        except OSError as error:
            await runner.cleanup()
            await self._there.close()
            raise FleetboxError(
                f"the relay cannot listen on {self.url}: {error.strerror}",
                "stop what holds the port, or give the place another `relay` address in fleet.toml",
            ) from error
        self.url = f"http://{address.hostname}:{runner.addresses[0][1]}"

    async def _quiet(self) -> None:
        """Wait until every task in mid-flow has had its answer: a request into a closing connection is lost to it."""
        stop_s = self._timing.monotonic_s() + STOP_S
        while self._timing.monotonic_s() < stop_s:
            if not self._in_flight and self._timing.monotonic_s() - self._last_request_s > QUIET_S:
                return
            await self._timing.sleep(0.02)

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"schema_version": 1, **self.counters()})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        try:
            answer = await self._answer(request)
            if self._stopping:
                answer.force_close()  # the engine's next request then meets a closed port, which it waits out
            await answer.prepare(request)
            await answer.write_eof()
        except _GONE as error:  # the engine hung up in mid-body: killed, or its ring took the block it was sending
            self._counters.counts["cuts"] += 1
            answer = refusal(503, f"the source hung up: {error}")
        finally:
            self._in_flight -= 1
            self._last_request_s = self._timing.monotonic_s()
        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            records = read_records(request.method, request.raw_path, request.headers)
        except WireError as error:
            return await self._keep(request, "", 422, str(error))
        if not self._is_known(request):
            return await self._turn_away(request, records)
        if records is not None:
            async with self.turn(records.entry.bucket, records.entry.name):
                return await self._take(request, records)
        if is_probe(request.method, request.raw_path):
            return await self._probe(request)
        return refusal(405, "a relay passes on what replication tasks need and nothing else")

    def _is_known(self, request: web.Request) -> bool:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(shown.encode(errors="replace"), self._secret.encode())

    async def _turn_away(self, request: web.Request, records: RecordsRequest | None) -> web.Response:
        """Answer 401, but 503 to records: on a 401 in mid-flow the engine throws the batch away."""
        self._counters.counts["denied"] += 1
        await drain(request)
        message = "wrong secret: apply the replication tasks again, they carry the secret of another store"
        return refusal(401 if records is None else 503, message)

    async def _probe(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() == "content-type"}
        try:
            reply = await self._there.forward(request.method, request.raw_path, headers, once(body))
            if reply.status in (401, 403) and self._there.renew():
                reply = await self._there.forward(request.method, request.raw_path, headers, once(body))
        except Cut as cut:
            self._counters.refused("", 0, str(cut), self._clock.now_us())
            return refusal(503, str(cut))
        if reply.status >= 400 and not (request.method == "GET" and reply.status == 404):  # a 404 asks for a bucket
            self._counters.refused(probed_bucket(request.raw_path), reply.status, reply.message, self._clock.now_us())
        return passed_back(reply)

    async def _take(self, request: web.Request, records: RecordsRequest) -> web.StreamResponse:
        if self._stopping:
            return await self._keep(request, records.entry.bucket, 503, "the relay is stopping", counted=False)

        def wanted() -> bool:
            return not self._stopping and request.transport is not None and not request.transport.is_closing()

        if request.method == "PATCH":
            await drain(request)
            outcome = await self._delivery.relabel(records.entry, records.parts, wanted)
        elif _must_stream(request):
            outcome = await self._stream(request, records)
        else:
            try:
                outcome = await self._hold(request, records, wanted)
            except WireError as error:
                return await self._keep(request, records.entry.bucket, 422, str(error))
        return self._vouch(request, records, outcome)

    async def _hold(self, request: web.Request, records: RecordsRequest, wanted: Callable[[], bool]) -> Outcome:
        async with self._holding.of(request.content_length or 0):
            body = bytearray()
            async for chunk in request.content.iter_any():
                body += chunk
            announced = sum(part.size for part in records.parts)
            bodies = slices(records.parts, body)
            if announced != len(body):
                self._counters.healed["repeats"] += 1
            return await self._delivery.write(records.entry, records.parts, bodies, wanted)

    async def _stream(self, request: web.Request, records: RecordsRequest) -> Outcome:
        headers = {name: value for name, value in request.headers.items() if _goes_on(name)}
        if records.single:
            headers |= {f"x-reduct-time-{part.time_us}": part.header for part in records.parts}
        outcome = await self._delivery.stream(records.entry, records.parts, headers, request.content.iter_any())
        await drain(request)  # an answer before the last byte would reach the engine as a reset
        return outcome

    def _vouch(self, request: web.Request, records: RecordsRequest, outcome: Outcome) -> web.Response:
        now_us, bucket = self._clock.now_us(), records.entry.bucket
        if outcome.pending:
            self._counters.counts["kept"] += 1
            self._counters.refused(bucket, outcome.status, outcome.message, now_us)
            return refusal(503, f"kept at the source: {outcome.status} {outcome.message}")
        stored = [part for part in records.parts if part.time_us not in outcome.passed]
        if request.method == "PATCH":
            self._counters.counts["updates"] += len(stored)
            self._counters.vouched(bucket, 0, 0, now_us)
        else:
            self._counters.vouched(bucket, len(stored), sum(part.size for part in stored), now_us)
        return taken(records, outcome)

    async def _keep(
        self, request: web.Request, bucket: str, status: int, message: str, counted: bool = True
    ) -> web.Response:
        await drain(request)
        if counted:
            self._counters.refused(bucket, status, message, self._clock.now_us())
        return refusal(503, message)


def _must_stream(request: web.Request) -> bool:
    size = request.content_length
    return size is None or size > HELD_BYTES or "Content-Encoding" in request.headers


def _goes_on(name: str) -> bool:
    return name.lower() in _PASSED_ON or name.lower().startswith("x-reduct-")
