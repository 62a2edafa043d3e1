"""Remember on disk which batches are on their way, so that a relay that is killed can say which ones were.

When its connection breaks in mid-request the engine drops the batch for good. A relay that is stopped answers first;
one that is killed cannot. What it leaves in this file is touched at the source by the next one (`recovery`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LONGEST_BYTES = 1_000_000  # the file is emptied when nothing is on its way and it has grown beyond this


@dataclass(frozen=True, slots=True)
class Flight:
    """Name the records of one batch; `done` when it was answered."""

    bucket: str
    entry: str
    times_us: tuple[int, ...]
    done: bool = False


class RelayJournal:
    """Note each batch before its body is read and again when its answer is out; two short appends, no fsync.

    The page cache outlives a killed process. A machine that goes down takes the engine with it, which then still has
    the batch in its own log.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self.left = tuple(_read(path.read_bytes()))
        self._open = 0
        self._last = 0
        self._settled = not self.left
        self._latest: dict[tuple[str, str], tuple[int, list[int]]] = {}

    def begin(self, bucket: str, entry: str, times_us: Sequence[int]) -> int:
        """Note a batch; return its number."""
        self._last += 1
        self._open += 1
        self._latest[bucket, entry] = (self._last, list(times_us))
        self._append(["+", f"{os.getpid()}-{self._last}", bucket, entry, list(times_us)])
        return self._last

    def end(self, number: int) -> None:
        """Note that a batch was answered."""
        self._open -= 1
        self._append(["-", f"{os.getpid()}-{number}"])
        if self._open == 0 and self._settled and os.fstat(self._fd).st_size > LONGEST_BYTES:
            self._forget()

    def settle(self) -> None:
        """Forget what an earlier process left: it has been seen to."""
        self._settled = True
        self.left = ()
        if self._open == 0:
            self._forget()

    def close(self) -> None:
        """Close the file; what was answered needs no memory."""
        if self._open == 0 and self._settled:
            os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def _forget(self) -> None:
        """Empty the file but for each entry's latest batch: it says where the engine was."""
        os.ftruncate(self._fd, 0)
        for (bucket, entry), (number, times_us) in self._latest.items():
            self._append(["+", f"{os.getpid()}-{number}", bucket, entry, times_us])
            self._append(["-", f"{os.getpid()}-{number}"])

    def _append(self, line: list[object]) -> None:
        os.write(self._fd, json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _read(data: bytes) -> Iterator[Flight]:
    flights: dict[str, Flight] = {}
    for line in data.splitlines():
        try:
            mark, number, *more = json.loads(line)
        except ValueError:
            continue  # the last line of a killed process
        if mark == "+":
            bucket, entry, times_us = more
            flights[number] = Flight(bucket, entry, tuple(times_us))
        elif number in flights:
            flight = flights[number]
            flights[number] = Flight(flight.bucket, flight.entry, flight.times_us, done=True)
    yield from flights.values()
