"""Carry readings from a robot's other processes to the one that judges, over a Unix datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgpack

from fleetbox_edge.triggers.readings import Reading

FILE = "triggers.sock"
DATAGRAM_BYTES = 60_000  # several fit into a socket's usual buffer of 208 kB
ROW_BYTES = 200  # a guess of one reading, so that few datagrams have to be packed again
BUFFER_BYTES = 4 << 20  # asked for on the judging side; the kernel gives what it allows


def letters(readings: Iterable[Reading], missed: Mapping[str, int]) -> Iterator[bytes]:
    """Yield datagrams; a reading too large for one is only counted as missed."""
    batch: list[Reading] = []
    size = 0
    for reading in readings:
        batch.append(reading)
        size += ROW_BYTES + len(reading.text or "") + 24 * len(reading.fields or ())
        if size >= DATAGRAM_BYTES // 2:
            yield from _packed(batch, missed)
            batch, size, missed = [], 0, {}
    if batch or missed:
        yield from _packed(batch, missed)


def _packed(batch: list[Reading], missed: Mapping[str, int]) -> Iterator[bytes]:
    data = msgpack.packb(
        [dict(missed), [[one.stream, one.time_us, one.fields, one.labels, one.text] for one in batch]], default=str
    )
    if len(data) <= DATAGRAM_BYTES:
        yield data
    elif len(batch) > 1:
        half = len(batch) // 2
        yield from _packed(batch[:half], missed)
        yield from _packed(batch[half:], {})
    else:
        yield msgpack.packb([{**missed, batch[0].stream: missed.get(batch[0].stream, 0) + 1}, []])


def opened(data: bytes) -> tuple[dict[str, int], list[Reading]]:
    """Read a datagram; raises ValueError for one that is not ours."""
    try:
        missed, rows = msgpack.unpackb(data)
        return dict(missed), [Reading(*row) for row in rows]
    except (TypeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"{len(data)} bytes are no readings: {error}") from error


class Postbox:
    """Receive readings in the process that judges. Raises OSError where the socket cannot be made."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._path.unlink(missing_ok=True)  # of a holder that died: only the holder of the duties makes one
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        with _short(self._path) as path:
            self.socket.bind(path)
        self._path.chmod(0o660)

    def take(self) -> Iterator[bytes]:
        """Yield the datagrams that have come."""
        while True:
            try:
                yield self.socket.recv(DATAGRAM_BYTES + 1)
            except BlockingIOError:
                return

    def close(self) -> None:
        """Close and remove the socket."""
        self.socket.close()
        self._path.unlink(missing_ok=True)


class Sender:
    """Send readings to the process that judges, if there is one and it has room."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._socket: socket.socket | None = None

    @property
    def reaches(self) -> bool:
        """Tell whether there is a process that judges."""
        try:
            self._connected()
        except OSError:
            return False
        return True

    def send(self, data: bytes) -> bool:
        """Send one datagram; return whether it was taken."""
        for _ in range(2):  # the socket we are connected to may be that of a holder that died
            try:
                self._connected().send(data)
            except BlockingIOError:
                return False
            except OSError:
                self.close()
                continue
            return True
        return False

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                with _short(self._path) as path:
                    fresh.connect(path)
            except OSError:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a path that fits into a socket's address of 108 bytes, however deep the folder lies."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
