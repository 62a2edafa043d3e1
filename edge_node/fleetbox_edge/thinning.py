"""Decide which of a stream's originals are recorded at all, as the policy's `keep` and `every` say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleetbox import types
from fleetbox.naming import RING_CLASSES, parent_of
from fleetbox.settings import StreamRule
from fleetbox.types import images


@dataclass(slots=True)
class _Limit:
    """Hold what limits a stream: at most one within `every_us`, and no pictures at all unless `pictures`."""

    every_us: int | None
    pictures: bool
    next_us: int = 0


class Thinning:
    """Tell what is left out before it gets a number; the session's lock guards it.

    What is left out was never recorded: no record, no drop, no gap. Small frames are made of it all the same, and
    triggers judge it.
    """

    def __init__(self, rule_of: Callable[[str], StreamRule]) -> None:
        self._rule_of = rule_of
        self._limits: dict[str, _Limit | None] = {}
        self._next_us: dict[str, int] = {}
        self.left_out = 0

    def limits(self, stream: str) -> bool:
        """Tell whether anything of a stream may be left out."""
        return self._limit(stream) is not None

    def takes(self, stream: str, time_us: int, kind: types.Type) -> bool:
        """Tell whether a row or blob is recorded, and count it if not."""
        limit = self._limit(stream)
        if limit is None or kind.cls not in RING_CLASSES:
            return True
        taken = (limit.pictures or kind is not images.TYPE) and self._is_due(stream, limit, time_us)
        self.left_out += not taken
        return taken

    def choose(self, stream: str, times_us: Any) -> Any:
        """Return which of many rows are recorded, as indices, or None for all; times_us: int64, 1-D."""
        limit = self._limit(stream) if isinstance(stream, str) else None
        if limit is None or limit.every_us is None:
            return None
        chosen = [at for at, time_us in enumerate(times_us.tolist()) if self._is_due(stream, limit, time_us)]
        self.left_out += len(times_us) - len(chosen)
        return chosen

    def learn(self) -> None:
        """Ask the policy anew, which has changed; what is due when stays."""
        self._limits = {}

    def _is_due(self, stream: str, limit: _Limit, time_us: int) -> bool:
        if limit.every_us is None:
            return True
        if limit.next_us - limit.every_us <= time_us < limit.next_us:
            return False  # earlier than the last one taken means that a clock was set back: it counts anew
        limit.next_us = self._next_us[stream] = time_us + limit.every_us
        return True

    def _limit(self, stream: str) -> _Limit | None:
        if stream not in self._limits:
            self._limits[stream] = self._made(stream)
        return self._limits[stream]

    def _made(self, stream: str) -> _Limit | None:
        if parent_of(stream)[1]:
            return None
        rule = self._rule_of(stream)
        if rule.every is None and rule.keep == "original":
            return None
        return _Limit(rule.every, rule.keep == "original", self._next_us.get(stream, 0))
