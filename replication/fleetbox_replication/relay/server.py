"""The relay: the server on localhost that a store's replication tasks send through; it vouches for every batch."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientError, web

from fleetbox.clock import Clock
from fleetbox.errors import FleetboxError
from fleetbox_replication.dead_letters import shown_letters
from fleetbox_replication.relay.counters import Refusal, RelayCounters
from fleetbox_replication.relay.destination import HEADER_BYTES, HEADERS, Cut, Destination
from fleetbox_replication.relay.intake import Intake
from fleetbox_replication.relay.options import RelayOptions, Timing
from fleetbox_replication.relay.pace import Pace
from fleetbox_replication.relay.requests import RecordsRequest, is_probe, probed_bucket, read_records
from fleetbox_replication.relay.responses import drain, once, passed_back, refusal
from fleetbox_replication.wire import WireError

BACKLOG = 128  # connects at once; a site with fifty robots has 250 tasks, which come one by one
IDLE_S = 86_400.0  # the engine must be the one to close: a request into a closing connection is lost to it
STOP_S = 10.0  # a batch on the wire may be in its 8 s of retries; stopping ends them at their next pause

QUIET_S = 0.3  # a task in mid-flow sends its next batch within milliseconds; an idle one polls every 0.25 s

log = structlog.get_logger()

_GONE = (ConnectionError, ClientError, web.RequestPayloadError)
_DEFAULTS = RelayOptions()


class Relay:
    """Forward what tasks send to one destination, and answer 200 only when every record of it is stored there.

    Everything else becomes a 503: the engine keeps those records and sends them again after about 10 s. `secret` is
    what the tasks show (`relay_secret`); the destination's token is read from `destination_token`, again after a 401.
    What a relay that is killed had on its way, a `Reconciler` brings. `pace` may be changed while it runs.
    """

    def __init__(
        self,
        listen_url: str,
        destination_url: str,
        destination_token: str | Callable[[], str],
        secret: str,
        options: RelayOptions = _DEFAULTS,
    ) -> None:
        self.url = listen_url.rstrip("/")
        self._secret = secret
        self._clock = options.clock or Clock()
        self._counters = RelayCounters(destination_url, self._clock.now_us())
        self.pace = options.pace or Pace()
        self._letters = options.letters
        read_token = destination_token if callable(destination_token) else lambda: destination_token
        self._there = Destination(destination_url, read_token, options.ca_file, self.pace)
        self._timing = options.timing or Timing()
        self._intake = Intake(self._there, self._counters, self._clock, options)
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
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
        try:
            if self._runner is not None:
                await self._shut()
                await self._quiet()
        finally:  # also when whoever stops it is cancelled meanwhile
            await self._close()

    async def _close(self) -> None:
        runner, self._runner = self._runner, None
        try:
            if runner is not None:
                await runner.cleanup()
        finally:
            await self._there.close()

    @property
    def cuts(self) -> int:
        """Tell how many requests the source broke off: it may have dropped their batches."""
        return self._counters.counts["cuts"]

    def brought(self, records: int) -> None:
        """Count records that a sweep has brought after their task had forgotten them."""
        self._counters.counts["brought"] += records

    def refusing(self, bucket: str) -> Refusal | None:
        """Return the answer by which the destination holds up this bucket right now, None when it does not."""
        return self._counters.refusing(bucket)

    def held_up(self) -> set[str]:
        """Return the buckets that the destination holds up right now."""
        return self._counters.held_up()

    def turn(self, bucket: str, entry: str) -> asyncio.Lock:
        """Give one entry of the destination to one writer at a time: a batch of its task, or a sweep."""
        return self._turns.setdefault((bucket, entry), asyncio.Lock())

    def counters(self) -> dict[str, Any]:
        """Return what passed, what was healed, what is refused and why, as plain values."""
        flow = {
            "reachable": self._there.reachable,
            "token": self._there.token_name,
            "in_flight": self._in_flight,
            "held_bytes": self._intake.held_bytes,
            "stopping": self._stopping,
            "dead_letters": {"open": 0, "groups": []} if self._letters is None else shown_letters(self._letters),
            "pace": {
                "max_bytes_s": self.pace.max_bytes_s,
                "order": list(self.pace.order),
                "waiting": self.pace.waiting,
                "sent_bytes": self.pace.sent_bytes,
            },
        }
        return {"url": self.url, **self._counters.show(), **flow}

    async def _listen(self, runner: web.AppRunner) -> None:
        address = urlsplit(self.url)
        try:
            listening = await asyncio.get_running_loop().create_server(
                _server_of(runner), address.hostname, address.port or 0, backlog=BACKLOG
            )
        except OSError as error:
            await self._close()
            raise FleetboxError(
                f"the relay cannot listen on {self.url}: {error.strerror}",
                "stop what holds the port, or give the place another `relay` address in fleet.toml",
            ) from error
        self._listening = listening
        self.url = f"http://{address.hostname}:{listening.sockets[0].getsockname()[1]}"

    async def _shut(self) -> None:
        """Accept no more, then close the port: between the two, what was just accepted is taken up by the server.

        A connection that asyncio takes up after the port was closed is nobody's and stays open (CPython's gh-109564).
        """
        if self._listening is not None:
            for one in self._listening.sockets:
                asyncio.get_running_loop().remove_reader(one.fileno())
            await asyncio.sleep(0)
            self._listening.close()
            self._listening = None

    async def _quiet(self) -> None:
        """Wait until every task in mid-flow has had its answer: a request into a closing connection is lost to it.

        A moment at least: a connection accepted just before the port closed is the server's own, to close, only then.
        """
        stop_s = self._timing.monotonic_s() + STOP_S
        while True:
            await self._timing.sleep(0.02)
            now_s = self._timing.monotonic_s()
            if now_s >= stop_s or (not self._in_flight and now_s - self._last_request_s > QUIET_S):
                return

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"schema_version": 1, **self.counters()})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        try:
            answer = await self._unharmed(request)
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

    async def _unharmed(self, request: web.Request) -> web.StreamResponse:
        """Answer, and answer 503 where the relay itself is at fault: on a 500 the engine throws the batch away."""
        try:
            return await self._answer(request)
        except _GONE:
            raise
        except Exception as error:
            log.exception("the relay failed at a request, which is kept at the source", path=request.path)
            return await self._intake.keep(request, 500, f"the relay itself failed: {type(error).__name__}: {error}")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            records = read_records(request.method, request.raw_path, request.headers)
        except WireError as error:
            return await self._intake.keep(request, 422, str(error))
        if not self._is_known(request):
            return await self._turn_away(request, records)
        if records is not None:
            async with self.turn(records.entry.bucket, records.entry.name):
                if self._stopping:
                    await drain(request)
                    return refusal(503, "the relay is stopping")
                return await self._intake.take(request, records, lambda: self._stopping)
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
            if reply.status in (401, 403) and self._there.renew(reply.token):
                reply = await self._there.forward(request.method, request.raw_path, headers, once(body))
        except Cut as cut:
            self._counters.refused("", "", 0, str(cut), self._clock.now_us())
            return refusal(503, str(cut))
        if reply.status >= 400 and not (request.method == "GET" and reply.status == 404):  # a 404 asks for a bucket
            bucket, status, message = probed_bucket(request.raw_path), reply.status, reply.message
            if bucket and request.method == "POST" and status == 403:  # asked only after a 404: that is what holds it
                status, message = 404, f"there is no bucket {bucket}, and the relay's token may not make it"
            self._counters.refused(bucket, "", status, message, self._clock.now_us())
        return passed_back(reply)


def _server_of(runner: web.AppRunner) -> web.Server:
    assert runner.server is not None, "the runner is set up"
    return runner.server
