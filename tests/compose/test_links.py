"""A link delays, narrows, breaks and heals as it says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from fleetbox_local.links import Link

TIMEOUT_S = 60.0


class Echo:
    """A server that sends back what it gets, and remembers how much that was."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.received = 0
        self.threads: list[threading.Thread] = []
        self.closed = False
        self._start(self._accept)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            if self.closed:
                client.close()
                return
            self._start(self._answer, client)

    def _answer(self, client: socket.socket) -> None:
        with client:
            try:
                while piece := client.recv(65_536):
                    self.received += len(piece)
                    client.sendall(piece)
            except OSError:
                return

    def close(self) -> None:
        """End all threads."""
        self.closed = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self.threads:
            thread.join(TIMEOUT_S)
        self.listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """An echo server."""
    with closing(Echo()) as server:
        yield server


def connect(link: Link) -> socket.socket:
    """Connect to a link."""
    return socket.create_connection(("127.0.0.1", link.port), TIMEOUT_S)


def round_trip_s(client: socket.socket, size: int = 100) -> float:
    """Send and wait for the same bytes."""
    data = (bytes(range(251)) * (size // 251 + 1))[:size]  # a prime period: shifted pieces do not match
    began = time.monotonic()
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    got = bytearray()
    while len(got) < size:
        piece = client.recv(1 << 20)
        assert piece
        got += piece
    sender.join()
    assert bytes(got) == data
    return time.monotonic() - began


def fastest_s(client: socket.socket, enough_s: float) -> float:
    """Return the shortest of five round trips, or of more until one is short enough: others may have the processor."""
    found = min(round_trip_s(client) for _ in range(5))
    deadline = time.monotonic() + TIMEOUT_S
    while found >= enough_s and time.monotonic() < deadline:
        found = min(found, round_trip_s(client))
    return found


def talk_for_ever(client: socket.socket) -> None:
    """Send and receive until the connection breaks."""
    while True:
        client.sendall(bytes(50_000))
        client.recv(65_536)


def test_round_trip(echo: Echo) -> None:
    """A small request takes the round trip, not less and not much more."""
    with Link("127.0.0.1", echo.port, rtt_ms=80) as link, connect(link) as client:
        assert 0.080 <= fastest_s(client, 0.160) < 0.160
        link.set_rtt(0)
        assert fastest_s(client, 0.080) < 0.080


def test_delay_does_not_limit_throughput(echo: Echo) -> None:
    """20 MB come back after one round trip and the time they take without one, not one round trip a piece."""
    with Link("127.0.0.1", echo.port, rtt_ms=1_000) as link, connect(link) as client:
        took_s = round_trip_s(client, 20_000_000)
        assert 1.0 <= took_s < 100.0  # 306 pieces of 64 kB in turn would take 300 s
        assert link.bytes_up == link.bytes_down == 20_000_000


def test_narrow_link(echo: Echo) -> None:
    """1 MB at 16 Mbit/s takes half a second, whatever the number of connections."""
    with Link("127.0.0.1", echo.port, mbit_s=16) as link, connect(link) as one, connect(link) as two:
        began = time.monotonic()
        threads = [threading.Thread(target=round_trip_s, args=(client, 500_000)) for client in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0.45 <= time.monotonic() - began < TIMEOUT_S


def test_cut_and_heal(echo: Echo) -> None:
    """A cut resets what is open and refuses what is new; healed, the same port works again."""
    with Link("127.0.0.1", echo.port) as link:
        with connect(link) as client:
            round_trip_s(client)
            assert link.connections == 1
            link.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(link)
        link.heal()
        with connect(link) as client:
            round_trip_s(client)


def test_reset_after(echo: Echo) -> None:
    """The reset comes at exactly the byte asked for, once; the next connection lives."""
    with Link("127.0.0.1", echo.port) as link:
        link.reset_after(150_000)
        with connect(link) as client, pytest.raises(OSError, match=r"reset|Broken pipe"):
            talk_for_ever(client)
        assert (link.bytes_up, link.resets) == (150_000, 1)
        assert echo.received <= 150_000
        with connect(link) as client:
            round_trip_s(client, 200_000)
        assert link.resets == 1


def test_reset_now(echo: Echo) -> None:
    """A reset ends what is open and nothing else."""
    with Link("127.0.0.1", echo.port) as link, connect(link) as client:
        round_trip_s(client)
        link.reset_now()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with connect(link) as again:
            round_trip_s(again)


def test_a_held_link_swallows_and_forgets_nothing(echo: Echo) -> None:
    """Held, nothing passes and nothing breaks; released, what was sent meanwhile comes out whole."""
    with Link("127.0.0.1", echo.port) as link, connect(link) as client:
        round_trip_s(client)
        link.hold()
        client.sendall(b"x" * 1_000)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert echo.received == 100
        link.release()
        client.settimeout(TIMEOUT_S)
        got = b""
        while len(got) < 1_000:
            got += client.recv(1_000)
        assert got == b"x" * 1_000
        assert link.resets == 0


def test_a_lossy_link_stands_still_for_a_retransmission(echo: Echo) -> None:
    """With every packet lost once, each way costs the time of a retransmission; every byte still arrives."""
    with Link("127.0.0.1", echo.port, loss=1.0) as link, connect(link) as client:
        assert 0.4 <= fastest_s(client, 1.0) < 1.0  # 0.2 s each way
        link.set_loss(0.0)
        assert fastest_s(client, 0.2) < 0.2
        link.set_loss(0.02)
        round_trip_s(client, 300_000)


def test_target_down() -> None:
    """Nobody behind the link: the connection is reset, the link lives."""
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can have the port
        with Link("127.0.0.1", owner.getsockname()[1]) as link:
            with pytest.raises(ConnectionResetError), connect(link) as client:  # may come before connect returns
                client.recv(1)
            assert link.connections == 0


def test_half_closed(echo: Echo) -> None:
    """An orderly end on one side leaves the other direction open until it ends too."""
    with Link("127.0.0.1", echo.port, rtt_ms=20) as link, connect(link) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"last words"
        assert client.recv(100) == b""


def test_closing_with_bytes_on_their_way_is_silent(echo: Echo, caplog: pytest.LogCaptureFixture) -> None:
    """A link closed while bytes travel resets its connections and complains of nothing."""
    with Link("127.0.0.1", echo.port, rtt_ms=60_000) as link:
        client = connect(link)
        client.sendall(b"never to arrive")
        deadline = time.monotonic() + TIMEOUT_S
        while not link.connections:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    with client, pytest.raises(ConnectionResetError):
        client.recv(1)
    assert caplog.records == []
