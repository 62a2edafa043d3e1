"""Keep back, in the times of some episodes, fields that others of one selection show."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

Window = tuple[int, int]  # [start, stop) in µs since the epoch
Globs = tuple[str, ...] | None  # of fields; None for all of them


@dataclass(frozen=True, slots=True)
class Veil:
    """Show only fields that `globs` choose in [start_us, stop_us)."""

    start_us: int
    stop_us: int
    globs: tuple[str, ...]


def lay_veils(asked: Iterable[tuple[Window, str | None]]) -> tuple[Globs, tuple[Veil, ...]]:
    """Return the globs of fields that are shown at all, and where not all of those are.

    asked: windows of one stream, each with a glob of fields, "!ax" for all but that one, or None for all. What is asked
    for the same time counts together: a field that is refused there is not shown, whoever else asks for it.
    """
    wanted = list(asked)
    if len({glob for _, glob in wanted}) == 1:
        glob = wanted[0][1]
        return (None if glob is None else (glob,)), ()
    parts = list(_parts(wanted))
    kinds = dict.fromkeys(globs for _, _, globs in parts)
    if len(kinds) <= 1:
        return next(iter(kinds), None), ()
    shown = _shown_at_all(list(kinds))
    return shown, tuple(Veil(start, stop, globs) for start, stop, globs in parts if globs not in (None, shown))


def veils_over(veils: Sequence[Veil], first_us: int, last_us: int) -> Sequence[Veil]:
    """Return the veils, which are in order of time, that lie over an interval, its last point included."""
    begin = bisect_right(veils, first_us, key=lambda veil: veil.stop_us)
    return veils[begin : bisect_right(veils, last_us, key=lambda veil: veil.start_us)]


def _parts(wanted: Sequence[tuple[Window, str | None]]) -> Iterable[tuple[int, int, Globs]]:
    """Yield stretches of time with the globs asked for in each; a refusal goes before asking for everything."""
    begins: dict[int, list[str | None]] = {}
    ends: dict[int, list[str | None]] = {}
    for (start, stop), glob in wanted:
        begins.setdefault(start, []).append(glob)
        ends.setdefault(stop, []).append(glob)
    now: Counter[str | None] = Counter()
    order = [glob for glob in dict.fromkeys(glob for _, glob in wanted) if glob]
    times = sorted({*begins, *ends})
    for start, stop in pairwise(times):
        now.update(begins.get(start, ()))
        now.subtract(ends.get(start, ()))
        now += Counter()  # without what has ended
        if now:
            named = sorted((glob for glob in now if glob), key=order.index)
            refused = tuple(glob for glob in named if glob[0] == "!")
            asked = tuple(glob for glob in named if glob[0] != "!")
            yield start, stop, (refused or None) if None in now else (*asked, *refused)


def _shown_at_all(kinds: Sequence[Globs]) -> Globs:
    """Return globs that choose whatever some of these choose."""
    if any(globs is None for globs in kinds):
        return None
    found = [globs or () for globs in kinds]
    named = dict.fromkeys(glob for globs in found for glob in globs)
    if not any(glob[0] == "!" for glob in named):
        return tuple(named)
    if all(glob[0] == "!" for glob in named):
        return tuple(glob for glob in named if all(glob in globs for globs in found)) or None
    return None
