"""Write points, and find out which ones InfluxDB will never take."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from fleetbox.points import Points, lines, slices
from fleetbox.scalars.report import ScalarReport, settled, turned_down
from fleetbox.scalars.wire import Wire, message
from fleetbox.tallies import merge, total

IN_FLIGHT = 2  # requests at a time: InfluxDB reads one while it stores the other
BATCH_LINES = 5_000  # the vendor's advice; larger requests gained nothing when measured
_NOW = 1 << 62
_CONFLICT = re.compile(r"field type conflict.*dropped=(\d+)", re.S)
_TOO_OLD = re.compile(r"dropped (\d+) points outside retention")


class Writer:
    """Write to one bucket."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def write(self, points: Iterable[Points]) -> ScalarReport:
        """Write columns; see ScalarStore.write."""
        report, pending = ScalarReport(), list[str]()
        on_the_way: deque[asyncio.Task[ScalarReport]] = deque()
        try:
            for part in slices(points, BATCH_LINES):
                made = await asyncio.to_thread(lines, part)
                merge(report.minutes, made.minutes)
                pending += made.text
                if len(pending) >= BATCH_LINES:  # the next lines are built while these are on their way
                    on_the_way.append(asyncio.create_task(self.write_lines(pending)))
                    pending = []
                if len(on_the_way) == IN_FLIGHT:
                    _note(report, await on_the_way.popleft())
            _note(report, await self.write_lines(pending))
            while on_the_way:
                _note(report, await on_the_way.popleft())
        finally:
            for task in on_the_way:
                task.cancel()
            await asyncio.gather(*on_the_way, return_exceptions=True)
        sent = total(report.minutes.values())
        report.values, report.refused = sent.values, report.refused + Counter(sent.refused)
        report.minutes = settled(report.minutes, report.refusals)
        return report

    async def write_lines(self, text: Sequence[str]) -> ScalarReport:
        """Write line protocol with times in µs; see ScalarStore.write_lines."""
        if not text:
            return ScalarReport()
        influx = self._wire.influx
        query = {"org": influx.org, "bucket": influx.bucket, "precision": "us"}
        body = "\n".join(text).encode()
        status, answer = await self._wire.ask("POST", "/api/v2/write", f"write {len(text)} points", query, body)
        if status == 204:
            return ScalarReport(len(text))
        if status == 422:
            return await self._partly(text, message(answer))
        if status in (400, 413):
            if len(text) > 1:
                return await self._halves(text)
            return turned_down("too_large" if status == 413 else "malformed", text, message(answer))
        raise self._wire.refusal(f"write {len(text)} points", status, answer)

    async def _partly(self, text: Sequence[str], words: str) -> ScalarReport:
        """Count a partial write.

        InfluxDB names one reason, and a type conflict hides points outside retention and those of other shards: then
        halve until a conflict explains every point. Age alone is counted right, and takes the oldest.
        """
        old, conflict = _TOO_OLD.search(words), _CONFLICT.search(words)
        if old and not conflict:
            by_age = sorted(text, key=_time_us)
            dropped = int(old[1])
            return ScalarReport(len(text) - dropped) + turned_down("retention", by_age[:dropped], words)
        if conflict and int(conflict[1]) == len(text):
            return turned_down("type", text, words)
        if len(text) == 1:
            return turned_down("type" if conflict else "other", text, words)
        return await self._halves(text)

    async def _halves(self, text: Sequence[str]) -> ScalarReport:
        middle = len(text) // 2
        return await self.write_lines(text[:middle]) + await self.write_lines(text[middle:])


def _note(report: ScalarReport, more: ScalarReport) -> None:
    report.written += more.written
    report.refused.update(more.refused)
    report.refusals += more.refusals


def _time_us(line: str) -> int:
    """Return a line's time; one without is stamped by InfluxDB as it arrives, so it is never too old."""
    text = line.rpartition(" ")[2]
    return int(text) if text.lstrip("-").isdigit() else _NOW
