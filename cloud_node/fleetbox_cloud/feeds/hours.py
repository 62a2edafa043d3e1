"""Add up hours of the books and of robots' machines, so that boards show a month as fast as a day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fleetbox.measurements import BOOKS, BOOKS_HOURS, HOST_HOURS, HOST_NUMBERS, HOST_STREAM, Measurement
from fleetbox.scalars import BATCH_LINES, ScalarStore, Series
from fleetbox_cloud.feeds.points import Value, point

HOUR_US = 3_600_000_000
_OF_SECONDS = {
    "min": "min",
    "mean": "mean",
    "max": "max",
    "last": "last",
    "count": "sum",
}  # roll-up -> of an hour


@dataclass(frozen=True, slots=True)
class HourRhythm:
    """Say when hours are added up; seconds and µs."""

    look_s: float = 60.0  # the books change by the minute
    settle_s: float = 300.0  # after something of an hour has changed: one sum for five minutes of changes
    host_s: float = 600.0  # whoever looks at weeks has no use for less
    host_back_us: int = 3 * HOUR_US  # what a short outage held up; what comes later the sweep finds
    sweep_s: float = 86_400.0  # InfluxDB reads a robot's month in about a second
    mended_s: float = 600.0  # between two sweeps while the loader puts back what InfluxDB has lost
    sweep_back_us: int = 31 * 24 * HOUR_US  # a month, whatever was missed


@dataclass(frozen=True, slots=True)
class Summed:
    """Say what is added up: from where to where, how, and by which field an hour shows that it is not what it was."""

    source: str
    target: Measurement
    taken: str
    tell_tale: str
    number: Callable[[float], Value]


OF_BOOKS = Summed(
    BOOKS.name, BOOKS_HOURS, ", ".join(f'sum("{name}") AS "{name}"' for name in BOOKS.fields), "selected", int
)
OF_HOST = Summed(
    HOST_STREAM,
    HOST_HOURS,
    ", ".join(
        f'{how}("{name}.{what}") AS "{name}.{what}"' for name in HOST_NUMBERS for what, how in _OF_SECONDS.items()
    ),
    "cpu.count",
    float,
)


class Hours:
    """Keep `books_hours` and `host_hours` at what `books` and the roll-ups of `fleetbox/host` add up to.

    Both are read out of InfluxDB itself, and an hour is written anew as often as something of it changes: `touch` says
    which hours of the books do. A sweep at the start and each day finds what nobody said.
    """

    def __init__(self, rhythm: HourRhythm | None = None) -> None:
        self.rhythm = rhythm or HourRhythm()
        self._due_s: dict[tuple[str, int], float | None] = {}  # robot and hour -> when; None: from the next look on
        self._said: dict[str, dict[int, int]] = {}
        self._host_s: float | None = None
        self._swept_s: float | None = None
        self._mended = 0

    def begin(self) -> None:
        """Write every hour again whose minutes are written again, and look at all of them soon."""
        self._said.clear()
        self._swept_s = None

    def touch(self, robot: str, lines: Iterable[str]) -> None:
        """Note which hours a robot's lines are about; what was written the last time just so changes nothing."""
        by_hour: dict[int, list[str]] = {}
        for line in lines:
            at_us = int(line.rpartition(" ")[2])
            by_hour.setdefault(at_us - at_us % HOUR_US, []).append(line)
        said = {hour_us: hash(frozenset(told)) for hour_us, told in by_hour.items()}
        before, self._said[robot] = self._said.get(robot, {}), said
        for hour_us, mark in said.items():
            if before.get(hour_us) != mark:
                self._due_s.setdefault((robot, hour_us), None)

    async def look(
        self, scalars: ScalarStore, robots: Sequence[str], now_us: int, now_s: float, mended: int = 0
    ) -> int:
        """Write the hours that are due and return their number of points. Raises FleetboxError; they stay due then.

        `mended` counts what the loader has put back so far: seconds of any hour.
        """
        rhythm, this_us = self.rhythm, now_us - now_us % HOUR_US
        written = await self._write_touched(scalars, now_s)
        if self._host_s is None or now_s >= self._host_s + rhythm.host_s:
            for robot in robots:
                written += await add_up(scalars, OF_HOST, robot, (this_us - rhythm.host_back_us, this_us + HOUR_US))
            self._host_s = now_s
        every_s = rhythm.sweep_s if mended == self._mended else min(rhythm.sweep_s, rhythm.mended_s)
        if self._swept_s is None or now_s >= self._swept_s + every_s:
            self._swept_s, self._mended = now_s, mended  # first: whoever begins anew meanwhile gets another sweep
            try:
                for robot in robots:
                    for what in (OF_BOOKS, OF_HOST):
                        span_us = (this_us - rhythm.sweep_back_us, this_us + HOUR_US)
                        written += await sweep(scalars, what, robot, span_us)
            except BaseException:
                self._swept_s = None
                raise
        return written

    async def _write_touched(self, scalars: ScalarStore, now_s: float) -> int:
        written = 0
        for where, due_s in sorted(self._due_s.items(), key=lambda item: item[0]):
            if due_s is None:
                due_s = self._due_s[where] = now_s + self.rhythm.settle_s
            if due_s <= now_s:
                robot, hour_us = where
                del self._due_s[where]  # first: what changes meanwhile makes it due again
                try:
                    written += await add_up(scalars, OF_BOOKS, robot, (hour_us, hour_us + HOUR_US))
                except BaseException:
                    self._due_s[where] = due_s
                    raise
        return written


async def add_up(scalars: ScalarStore, what: Summed, robot: str, range_us: tuple[int, int]) -> int:
    """Write a robot's hours of a range, start to stop (excluded) in µs; return their number of points."""
    lines = [line for one in await _hourly(scalars, what, robot, range_us) for line in _lines(what, one)]
    for at in range(0, len(lines), BATCH_LINES):
        await scalars.write_lines(lines[at : at + BATCH_LINES])  # older than the retention: so are the minutes
    return len(lines)


async def sweep(scalars: ScalarStore, what: Summed, robot: str, range_us: tuple[int, int]) -> int:
    """Write those of a robot's hours of a range that are not what they add up to; return their number of points."""
    tell_tale = f'sum("{what.tell_tale}")'
    fine = await _by_hour(scalars, what.source, tell_tale, robot, range_us)
    coarse = await _by_hour(scalars, what.target.name, tell_tale, robot, range_us)
    written = 0
    for hour_us in sorted(hour_us for hour_us, value in fine.items() if coarse.get(hour_us) != value):
        written += await add_up(scalars, what, robot, (hour_us, hour_us + HOUR_US))
    return written


async def _hourly(scalars: ScalarStore, what: Summed, robot: str, range_us: tuple[int, int]) -> list[Series]:
    by = ", ".join(f'"{tag}"' for tag in what.target.tags)
    asked = f'SELECT {what.taken} FROM "{what.source}" {_where(range_us)} GROUP BY time(1h), {by} fill(none)'
    return await scalars.query(asked, {"robot": robot})


async def _by_hour(
    scalars: ScalarStore, measurement: str, taken: str, robot: str, range_us: tuple[int, int]
) -> dict[int, float]:
    asked = f'SELECT {taken} FROM "{measurement}" {_where(range_us)} GROUP BY time(1h) fill(none)'
    return {int(row[0]): float(row[1]) for one in await scalars.query(asked, {"robot": robot}) for row in one.rows}


def _where(range_us: tuple[int, int]) -> str:
    return f"WHERE robot::tag = $robot AND time >= {range_us[0]}u AND time < {range_us[1]}u"


def _lines(what: Summed, series: Series) -> Iterable[str]:
    for at_us, *values in series.rows:
        named = zip(series.columns[1:], values, strict=True)
        fields = {name: None if value is None else what.number(value) for name, value in named}
        line = point(what.target, series.tags, fields, int(at_us))
        if line is not None:
            yield line
