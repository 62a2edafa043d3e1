"""Carry rows from a robot's programs to whoever watches them on the same machine, before their chunk is closed.

Who watches makes a Unix datagram socket in the agent's folder, and beside it a file that names the streams. Every
program that records looks there twice a second, and sends what it logs of them. Nobody waits for anybody: what finds
no room is not seen live, and is recorded all the same.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from fleetbox.disk import write_whole

FOLDER = "live"  # in the agent's state folder
DATAGRAM_BYTES = 60_000  # several fit into a socket's usual buffer of 208 kB
ROW_BYTES = 100  # a guess of one row besides its fields, so that few datagrams have to be packed again
FIELD_BYTES = 24
BUFFER_BYTES = 4 << 20  # asked for by who watches; the kernel gives what it allows


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one row as it was logged: stream, µs since the epoch, fields by dotted name, the user's labels."""

    stream: str
    time_us: int
    fields: Mapping[str, Any]
    labels: Mapping[str, Any] | None = None


def packed(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield datagrams; a row too large for one is left out."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += ROW_BYTES + FIELD_BYTES * len(row.fields)
        if size >= DATAGRAM_BYTES // 2:
            yield from _whole(batch)
            batch, size = [], 0
    if batch:
        yield from _whole(batch)


def unpacked(data: bytes) -> list[Row]:
    """Read a datagram; raises ValueError for one that is not ours."""
    try:
        return [Row(*row) for row in msgpack.unpackb(data)]
    except (TypeError, ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"{len(data)} bytes are no rows: {error}") from error


class Ear:
    """Hear the rows of some streams of one robot; raises OSError where its agent's folder cannot be written."""

    def __init__(self, state: Path) -> None:
        folder = state / FOLDER
        folder.mkdir(mode=0o770, exist_ok=True)
        self._path = folder / f"{uuid.uuid4().hex}.sock"
        self._wish = self._path.with_suffix(".want")
        self.socket = _socket()
        try:
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            with _short(self._path) as path:
                self.socket.bind(path)
            self._path.chmod(0o660)
        except OSError:
            self.close()
            raise

    def want(self, streams: Iterable[str]) -> None:
        """Say which streams are watched."""
        write_whole(self._wish, "\n".join(sorted(streams)))

    def take(self) -> Iterator[Row]:
        """Yield the rows that have come."""
        while True:
            try:
                data = self.socket.recv(DATAGRAM_BYTES + 1)
            except BlockingIOError:
                return
            with suppress(ValueError):
                yield from unpacked(data)

    def close(self) -> None:
        """Close and remove the socket, and the wish beside it."""
        self.socket.close()
        for path in (self._path, self._wish):
            path.unlink(missing_ok=True)


class Voice:
    """Send rows to who watches them, as last looked for."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._watchers: dict[str, tuple[socket.socket, frozenset[str]]] = {}

    def look(self) -> frozenset[str]:
        """Look who watches; return the streams. What a watcher that died left is removed."""
        names = set()
        with suppress(OSError):
            names = {path.name for path in self._folder.iterdir() if path.suffix == ".sock"}
        for name in self._watchers.keys() - names:
            self._drop(name)
        for name in names:
            self._hear(self._folder / name)
        return frozenset().union(*(streams for _, streams in self._watchers.values()))

    def send(self, rows: Iterable[Row]) -> None:
        """Send each row to those who watch its stream and have room."""
        waiting = list(rows)
        for name, (connected, streams) in list(self._watchers.items()):
            try:
                for data in packed(row for row in waiting if row.stream in streams):
                    connected.send(data)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(name)

    def close(self) -> None:
        """Close what is open."""
        for name in list(self._watchers):
            self._drop(name)

    def _hear(self, path: Path) -> None:
        try:
            streams = frozenset(path.with_suffix(".want").read_text(errors="replace").splitlines())
        except OSError:  # it has not said yet
            return
        known = self._watchers.get(path.name)
        if known is not None:
            self._watchers[path.name] = known[0], streams
            return
        fresh = _socket()
        try:
            with _short(path) as short:
                fresh.connect(short)
        except OSError as error:
            fresh.close()
            if isinstance(error, ConnectionRefusedError):  # whoever made it has died
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                    path.with_suffix(".want").unlink(missing_ok=True)
            return
        self._watchers[path.name] = fresh, streams

    def _drop(self, name: str) -> None:
        self._watchers.pop(name)[0].close()


def _whole(batch: list[Row]) -> Iterator[bytes]:
    rows = [[row.stream, row.time_us, dict(row.fields), row.labels and dict(row.labels)] for row in batch]
    data = msgpack.packb(rows, default=_plain)
    if len(data) <= DATAGRAM_BYTES:
        yield data
    elif len(batch) > 1:
        yield from _whole(batch[: len(batch) // 2])
        yield from _whole(batch[len(batch) // 2 :])


def _plain(value: Any) -> Any:
    """Return numpy's scalars and arrays as Python's; anything else, whole numbers beyond 64 bits too, as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a path that fits into a socket's address of 108 bytes, however deep the folder lies."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
