"""Stands in for a long, narrow or broken network link between two programs on this machine."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType

from fleetbox.background import BackgroundLoop
from fleetbox_local.ports import HOST, free_port

CHUNK_BYTES = 262_144
QUEUED_CHUNKS = 1_024  # 256 MB on their way: 100 ms at 2.5 GB/s, so that delay never limits throughput
ROUTER_QUEUE_S = 0.2  # what a narrow link's router holds back before it makes the sender wait
SEGMENT_BYTES = 1_448  # what one Ethernet packet carries of a TCP stream: the unit in which a link loses
LEAST_RETRY_S = 0.2  # Linux sends a lost segment again after a round trip and no less than this
UP, DOWN = 0, 1
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST instead of FIN


class Link:
    """Forward a loopback port to another one, late, slowly or not at all; a context manager.

    Each direction is delayed by half of `rtt_ms`; `mbit_s` bounds each direction over all connections. `loss` is the
    share of packets lost: TCP never shows one to a program, so what is emulated is what it costs, the connection
    standing still until the retransmission. Like every proxy it answers a connect at once: a request on a fresh
    connection costs one round trip here, two on a real link.
    Its methods may be called from any thread, inside or outside an event loop.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int,
        rtt_ms: float = 0.0,
        mbit_s: float | None = None,
        loss: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        self.port = free_port()
        losses = _Losses(loss, rng or random.Random())
        self._wire = _Wire(target_host, target_port, self.port, rtt_ms / 2000.0, mbit_s, losses)
        self._loop: BackgroundLoop | None = None

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """Tell how many connections are open."""
        return len(self._wire.pairs)

    @property
    def resets(self) -> int:
        """Tell how often open connections were reset."""
        return self._wire.resets

    @property
    def bytes_up(self) -> int:
        """Tell how many bytes went towards the target."""
        return self._wire.passed[UP]

    @property
    def bytes_down(self) -> int:
        """Tell how many bytes came back from the target."""
        return self._wire.passed[DOWN]

    def __enter__(self) -> Link:
        self._loop = BackgroundLoop("fleetbox-link")
        self._loop.run(self._wire.listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._running.run(self._wire.end())
        self._running.stop()

    def set_rtt(self, rtt_ms: float) -> None:
        """Change the round trip from the next byte on."""
        self._wire.delay_s = rtt_ms / 2000.0

    def set_loss(self, loss: float) -> None:
        """Change the share of packets lost from the next byte on."""
        self._wire.losses.share = loss

    def hold(self) -> None:
        """Swallow everything without a word, like a link whose far end is gone: connections stay open, nothing passes.

        What was sent into it comes out after `release`, as TCP's retransmissions would.
        """
        self._running.run(self._wire.hold(True))

    def release(self) -> None:
        """Let everything pass again."""
        self._running.run(self._wire.hold(False))

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._running.run(self._wire.cut())

    def heal(self) -> None:
        """Accept connections again, on the same port."""
        self._running.run(self._wire.listen())

    def reset_now(self) -> None:
        """Reset all connections; new ones are accepted."""
        self._running.run(self._wire.reset())

    def reset_after(self, count_bytes: int) -> None:
        """Reset all connections once, as soon as `count_bytes` more bytes have gone towards the target."""
        self._wire.left_until_reset = count_bytes

    @property
    def _running(self) -> BackgroundLoop:
        assert self._loop is not None, "use the link in a `with` block"
        return self._loop


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class _Losses:
    """Decide how long a piece is held up by lost packets."""

    share: float
    rng: random.Random

    def stall_s(self, count_bytes: int, rtt_s: float) -> float:
        packets = -(-count_bytes // SEGMENT_BYTES)
        if not self.share or self.rng.random() < (1 - self.share) ** packets:
            return 0.0
        return max(LEAST_RETRY_S, rtt_s)


@dataclass(eq=False)
class _Wire:
    """The link itself, inside its event loop."""

    host: str
    target_port: int
    port: int
    delay_s: float
    mbit_s: float | None
    losses: _Losses
    pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = field(default_factory=set)
    resets: int = 0
    passed: list[int] = field(default_factory=lambda: [0, 0])
    left_until_reset: int | None = None
    _free_at_s: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _passing: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=CHUNK_BYTES)

    async def hold(self, held: bool) -> None:
        if held:
            self._passing.clear()
        else:
            self._passing.set()

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.reset()

    async def end(self) -> None:
        """End what a cut leaves: connections that had not reached the target."""
        serving = tuple(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def reset(self) -> None:
        self.resets += bool(self.pairs)
        for pair in self.pairs:
            for writer in pair:
                _abort(writer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, the task our own: asyncio 3.11 prints a traceback when it cancels one it made itself.
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._serving.discard(task)
            if task.cancelled():  # perhaps before it had reached the target, or begun at all
                _abort(writer)

        task.add_done_callback(ended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = await asyncio.open_connection(self.host, self.target_port, limit=CHUNK_BYTES)
        except OSError:
            _abort(writer)
            return
        pair = (writer, target[1])
        self.pairs.add(pair)
        if self._server is None:  # cut while the target was being reached
            await self.reset()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._forward((reader, target[1]), UP))
                pumps.create_task(self._forward((target[0], writer), DOWN))
        except* OSError:  # one side reset its connection: so does the other
            for one in pair:
                _abort(one)
        finally:
            self.pairs.discard(pair)
            for one in pair:
                one.close()

    async def _forward(self, ends: _Stream, direction: int) -> None:
        reader, writer = ends
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take(reader, queue, direction))
            both.create_task(self._give(queue, writer, direction))

    async def _take(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]], way: int) -> None:
        """Stamp each piece with the time at which it comes out at the other end."""
        now_s = asyncio.get_running_loop().time
        while piece := await reader.read(CHUNK_BYTES):
            due_s = self._leaves_s(way, len(piece), now_s()) + self.losses.stall_s(len(piece), 2 * self.delay_s)
            await queue.put((due_s + self.delay_s, piece))
            if (ahead_s := due_s - now_s() - ROUTER_QUEUE_S) > 0:
                await asyncio.sleep(ahead_s)
        await queue.put((now_s() + self.delay_s, b""))

    async def _give(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, way: int) -> None:
        now_s = asyncio.get_running_loop().time
        while True:
            due_s, piece = await queue.get()
            if (early_s := due_s - now_s()) > 0:
                await asyncio.sleep(early_s)
            await self._passing.wait()
            if not piece:
                break
            left = self.left_until_reset if way == UP else None
            if left is not None:
                piece, self.left_until_reset = piece[:left], left - len(piece[:left])
            self.passed[way] += len(piece)  # before it goes: who has received it finds it counted
            writer.write(piece)
            await writer.drain()
            if left is not None and self.left_until_reset == 0:
                self.left_until_reset = None
                await self.reset()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def _leaves_s(self, way: int, count_bytes: int, now_s: float) -> float:
        """Return when a piece has left a link of this rate, after all that was given to it before."""
        if self.mbit_s is None:
            return now_s
        self._free_at_s[way] = max(now_s, self._free_at_s[way]) + count_bytes * 8 / (self.mbit_s * 1e6)
        return self._free_at_s[way]


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST, whatever was still to be sent."""
    end = writer.get_extra_info("socket")
    if end is not None and end.fileno() != -1:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
