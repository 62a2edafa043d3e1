"""How long something takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

Done = TypeVar("Done")
REPEATS = 5  # the median of so many: other work shares these cores


def timed(work: Callable[[], Done]) -> tuple[float, Done]:
    """Do it once; return the seconds it took and what it returned."""
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


def median_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Do it several times; return the median in ms."""
    return statistics.median(timed(work)[0] * 1e3 for _ in range(repeats))
