"""Record numbered rows, log lines and pictures until told to stop; every number counts once `log()` has returned.

Usage: writer.py ROBOT_TOML PROGRESS_FILE. The next number is read from the progress file, so that a killed writer
goes on where it was.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import fleetbox as fb

PERIOD_S = 0.005  # 200 numbers a second; each is a row, every tenth a log line, every fortieth a picture
PICTURE_BYTES = 20_000


def main(config: str, progress: str) -> None:
    """Write until SIGTERM, then flush."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    fd = os.open(progress, os.O_RDWR | os.O_CREAT, 0o644)
    number = int(os.pread(fd, 32, 0) or b"0")
    with fb.Recorder(config) as rec:
        while not stop:
            rec.log("health", {"n": number, "half": number / 2})
            if number % 10 == 0:
                rec.log("log/text", f"line {number}")
            if number % 40 == 0:
                rec.log("cam/front", _picture(number))
            number += 1
            os.pwrite(fd, b"%020d" % number, 0)  # after log() returned: these count
            time.sleep(PERIOD_S)
        rec.flush(60)


def _picture(number: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + number.to_bytes(8, "big") * (PICTURE_BYTES // 8)


if __name__ == "__main__":
    main(*sys.argv[1:])
