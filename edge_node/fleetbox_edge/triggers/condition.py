"""Follow one expression over one stream: does it hold, and for long enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetbox_edge.triggers.expressions import compile_expression, contexts
from fleetbox_edge.triggers.readings import Reading, variables


class Condition:
    """Tell whether `when` has held on the stream `on` for `hold` µs, by a clock of which only differences count.

    Raises InputError for text that is no CEL. An expression that raises on a record does not hold; `error` says why.
    """

    def __init__(self, on: str, when: str, hold: int = 0) -> None:
        self.on, self.when, self.hold_us = on, when, hold
        self.error = ""
        self._program = compile_expression(when)
        self._context = contexts()
        self._names = frozenset(self._program.variables())
        self._since_us: int | None = None

    def row(
        self,
        stream: str,
        time_us: int,
        fields: Mapping[str, Any] | None = None,
        labels: Mapping[str, Any] | None = None,
        text: str | None = None,
        *,
        now_us: int | None = None,
    ) -> None:
        """Take a row or record; those of other streams are passed over."""
        self.read(Reading(stream, time_us, fields, labels, text), time_us if now_us is None else now_us)

    def read(self, reading: Reading, now_us: int) -> None:
        """Take a reading."""
        if reading.stream != self.on:
            return
        if not self._test(reading):
            self._since_us = None
        elif self._since_us is None:
            self._since_us = now_us

    def holds(self, now_us: int) -> bool:
        """Tell whether it holds and has held long enough; what has not been seen does not hold."""
        return self._since_us is not None and now_us - self._since_us >= self.hold_us

    def _test(self, reading: Reading) -> bool:
        try:
            result = self._program.execute(self._context(variables(reading, self._names)))
        except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            self.error = str(error).partition("\n")[0]
            return False
        self.error = "" if isinstance(result, bool) else f"it gives {result!r}, not true or false"
        return result is True
