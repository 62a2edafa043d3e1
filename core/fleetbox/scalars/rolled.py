"""Ask an InfluxDB for roll-ups: how many values they count, their mean, their steps at any resolution."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fleetbox.measurements import ROLLUP_S, ROLLUPS
from fleetbox.points import clean

if TYPE_CHECKING:
    from fleetbox.rollups import Rolled
    from fleetbox.scalars.store import Series

SECOND_US = ROLLUP_S * 1_000_000
TOGETHER = 4  # fields in one question: their columns are added up one after the other, so several questions share cores
SIDE_BY_SIDE = 4  # such questions at once: a site's other readers wait behind them
T = TypeVar("T")
Ask = Callable[[str, Mapping[str, Any]], Awaitable[Sequence["Series"]]]
_WHERE = "WHERE robot::tag = $robot{site} AND time >= {start}u AND time < {stop}u"


def quote(name: str) -> str:
    """Return a measurement's or a field's name as InfluxQL has it."""
    escaped = clean(name).replace('"', '\\"')
    return f'"{escaped}"'


class RolledAsk:
    """Ask about one robot's stream from start to stop (excluded), as one site wrote it or all."""

    def __init__(self, ask: Ask, stream: str, robot: str, site: str | None, span_us: tuple[int, int]) -> None:
        self._ask, self._stream = ask, quote(stream)
        site_too = " AND site::tag = $site" if site else ""
        self._where = _WHERE.format(site=site_too, start=int(span_us[0]), stop=int(span_us[1]))
        self._params = {"robot": robot, **({"site": site} if site else {})}

    async def values_by_minute(self) -> dict[int, int]:
        """Return how many values the roll-ups of each minute count, all fields together; minutes without are left out.

        InfluxDB adds up about 10 million counts a second, each of a second of one field.
        """
        held: dict[int, int] = {}
        for one in await self._select("sum(/\\.count$/)", "GROUP BY time(1m) fill(none)"):
            counts = _rolled(one.columns, "sum_")
            for row in one.rows:
                held[int(row[0])] = held.get(int(row[0]), 0) + round(sum(row[at] or 0 for at in counts))
        return held

    async def raw_by_minute(self) -> dict[int, int]:
        """Return how many raw values each minute holds: a field is raw if a roll-up of it stands beside it."""
        held: dict[int, int] = {}
        for one in await self._select("count(*)", "GROUP BY time(1m) fill(none)"):
            names = {column.removeprefix("count_") for column in one.columns[1:]}
            raw = [at for at, column in enumerate(one.columns) if f"{column.removeprefix('count_')}.count" in names]
            for row in one.rows:
                held[int(row[0])] = held.get(int(row[0]), 0) + sum(row[at] or 0 for at in raw)
        return held

    async def counts(self, names: Iterable[str]) -> dict[str, dict[int, int]]:
        """Return per field how many values each second counts, by its start in µs."""
        wanted = list(names)
        found: dict[str, dict[int, int]] = {name: {} for name in wanted}
        for one in await self._select(", ".join(quote(f"{name}.count") for name in wanted)):
            for time_us, *counts in one.rows:
                for name, n in zip(wanted, counts, strict=True):
                    if n is not None:
                        found[name][int(time_us)] = round(n)
        return found

    async def mean(self, name: str) -> tuple[float, int] | None:
        """Return a field's mean and of how many values, or None when there is none."""
        inner = self._inner((("n", name, "count"), ("w", name, "weight")))
        found = await self._ask(f"SELECT sum(w) / sum(n), sum(n) FROM ({inner})", self._params)
        if not found or not found[0].rows[0][2]:
            return None
        _, mean, count = found[0].rows[0]
        return float(mean), round(count)

    async def fields(self) -> list[str]:
        """Return the fields that have roll-ups in that time."""
        found = await self._select("sum(/\\.count$/)")
        return [name[len("sum_") : -len(".count")] for one in found for name in _rolled(one.columns, "sum_").values()]

    async def steps(self, names: Iterable[str], step_us: int) -> dict[str, Rolled]:
        """Return the steps of some fields; a step is a whole number of seconds, counted from 1970."""
        wanted = list(names)
        if step_us == SECOND_US:
            asked = [self._seconds(name) for name in wanted]
        else:
            asked = [self._longer(wanted[at : at + TOGETHER], step_us) for at in range(0, len(wanted), TOGETHER)]
        room = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(work: Coroutine[Any, Any, dict[str, Rolled]]) -> dict[str, Rolled]:
            async with room:
                return await work

        return {name: steps for part in await _all([one(work) for work in asked]) for name, steps in part.items()}

    async def _seconds(self, name: str) -> dict[str, Rolled]:
        series = await self._select(", ".join(quote(f"{name}.{kind}") for kind in ROLLUPS))
        return _made({name: series[0].rows}) if series else {}

    async def _longer(self, names: Sequence[str], step_us: int) -> dict[str, Rolled]:
        """Ask for what InfluxDB adds up by itself, and beside it for the sums of mean times count.

        Only a product needs an inner query, which makes a row of every point of all its columns: asked all in one,
        a field costs three times as much, and twelve of them minutes.
        """
        group = f"GROUP BY time({step_us // SECOND_US}s) fill(none)"
        kinds = (("min", "min"), ("max", "max"), ("last", "last"), ("sum", "count"))
        plain = ", ".join(f"{how}({quote(f'{name}.{kind}')})" for name in names for how, kind in kinds)
        sums = (f"SELECT sum(w) FROM ({self._inner([('w', name, 'weight')])}) {group}" for name in names)
        steps, *weights = await _all([self._select(plain, group), *(self._ask(text, self._params) for text in sums)])
        if not steps:
            return {}
        found = {}
        for at, (name, sum_of) in enumerate(zip(names, weights, strict=True)):
            weighed = {row[0]: row[1] for row in sum_of[0].rows} if sum_of else {}
            cut = slice(1 + at * len(kinds), 1 + (at + 1) * len(kinds))
            rows = ((row[0], weighed.get(row[0]), *row[cut]) for row in steps[0].rows)
            found[name] = [
                (time_us, low, weight / count, high, last, count)
                for time_us, weight, low, high, last, count in rows
                if count and weight is not None
            ]
        return _made(found)

    def _inner(self, columns: Iterable[tuple[str, str, str]]) -> str:
        shown = ", ".join(f'{_term(name, kind)} AS "{alias}"' for alias, name, kind in columns)
        return f"SELECT {shown} FROM {self._stream} {self._where}"

    async def _select(self, what: str, group: str = "") -> Sequence[Series]:
        return await self._ask(f"SELECT {what} FROM {self._stream} {self._where} {group}", self._params)


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """Return all answers in order; after a failure the others still end, since their session is closed behind them."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]


def _rolled(columns: Sequence[str], prefix: str) -> dict[int, str]:
    """Return where the counts are: a raw field may be called so too, and then has a count of its own beside it."""
    names = {column.removeprefix(prefix) for column in columns}
    return {at: name for at, name in enumerate(columns) if at and f"{name.removeprefix(prefix)}.count" not in names}


def _term(name: str, kind: str) -> str:
    if kind == "weight":
        return f"{quote(f'{name}.mean')} * {quote(f'{name}.count')}"
    return quote(f"{name}.{kind}")


def _made(fields: Mapping[str, Sequence[Sequence[Any]]]) -> dict[str, Rolled]:
    """Return the steps of fields, given as rows of time and the roll-ups; rows that lack one are left out."""
    import numpy as np

    from fleetbox.rollups import Rolled

    made = {}
    for name, rows in fields.items():
        if whole := [row for row in rows if None not in row]:
            low, mean, high, last, count = np.array([row[1:] for row in whole], np.float64).T
            at_us = np.array([row[0] for row in whole], np.int64)
            made[name] = Rolled(at_us, low, mean, high, last, count.round().astype(np.int64))
    return made
