"""A robot program for drills: records numbered rows, texts and pictures until told to stop.

Usage: python -m fleetbox_local.drill.writer ROBOT_TOML PROGRESS_FILE [RATE_HZ [FLUSH_S]]. A number is promised once
every `log()` of it has returned; the progress file holds how many are. A program that was killed goes on where it was.
SIGUSR1 sets its wall clock a day ahead, SIGUSR2 a day back.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

import fleetbox as fb
from fleetbox.clock import Clock

DAY_NS = 86_400 * 10**9
RATE_HZ = 100.0  # numbers a second: a drill of half a minute writes hundreds of records, not thousands
TEXT_EVERY = 5
PICTURE_EVERY = 20
PICTURE_BYTES = 20_000  # some pictures fill a chunk of any link, so that cuts fall inside a request
FLUSH_S = 90.0  # a half-written record is healed after a minute
ROWS, TEXTS, PICTURES = "health", "log/text", "cam/front"  # these always ship
NEAR, LATER = "near/text", "cam/rear"  # shipped to the edge only; kept on the robot until an event asks


def main(config: str, progress: str, rate_hz: float = RATE_HZ, flush_s: float = FLUSH_S) -> None:
    """Write until SIGTERM, then flush."""
    stop, days = list[int](), [0]

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    def set_clock(number: int, frame: FrameType | None) -> None:
        days[0] += 1 if number == signal.SIGUSR1 else -1

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGUSR1, set_clock)
    signal.signal(signal.SIGUSR2, set_clock)
    clock = Clock(wall_ns=lambda: time.time_ns() + days[0] * DAY_NS)
    fd = os.open(progress, os.O_RDWR | os.O_CREAT, 0o644)
    number = int(os.pread(fd, 32, 0) or b"0")
    with fb.Recorder(config, duties=False, clock=clock) as recorder:
        due_s = time.monotonic()
        while not stop:
            write(recorder, number)
            number += 1
            os.pwrite(fd, b"%020d" % number, 0)  # after log() returned: these count
            due_s = max(due_s + 1 / rate_hz, time.monotonic() - 1.0)  # a second behind at most is made up for
            time.sleep(max(0.0, due_s - time.monotonic()))
        recorder.flush(flush_s)


def write(recorder: fb.Recorder, number: int) -> None:
    """Log one number: always as a row, at times as a text and as a picture."""
    recorder.log(ROWS, {"n": number, "half": number / 2})
    if number % TEXT_EVERY == 0:
        recorder.log(TEXTS, f"line {number}")
        recorder.log(NEAR, f"near {number}")
    if number % PICTURE_EVERY == 0:
        recorder.log(PICTURES, picture(number))
        recorder.log(LATER, picture(number))


def picture(number: int) -> bytes:
    """Return bytes that begin like a JPEG and carry the number."""
    return b"\xff\xd8\xff\xe0" + number.to_bytes(8, "big") * (PICTURE_BYTES // 8)


def number_of(stream: str, data: bytes) -> int:
    """Return the number that a text or picture carries."""
    if stream in (TEXTS, NEAR):
        return int(data.split()[-1])
    return int.from_bytes(data[4:12], "big")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
