"""What came of a scenario."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetbox_local.drill.comparing import Difference
from fleetbox_local.drill.symptoms import Symptom


@dataclass(frozen=True, slots=True)
class Balance:
    """Hold the books of the hops as `fleetbox audit` closes them; `named` says per reason what was lost."""

    recorded: int = 0
    selected: int = 0
    arrived: int = 0
    waiting: int = 0
    refused: int = 0
    lost: int = 0
    unexplained: int = 0

    @property
    def closed(self) -> bool:
        """Tell whether everything selected is accounted for and nothing is outstanding."""
        return self.unexplained == 0 and self.waiting == 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say how one scenario ended: what was compared, how long the way back took, what a person could read."""

    name: str
    promised: int
    differences: tuple[Difference, ...] = ()
    back_s: float | None = None
    seconds: float = 0.0
    symptom: Symptom | None = None
    balance: Balance | None = None
    faults: tuple[str, ...] = ()
    skipped: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether nothing was lost, or everything that was is named; a skipped one is not a failure."""
        return self.skipped is not None or not self.faults

    @property
    def missing(self) -> int:
        """Count the records that a place lacks, summed over places."""
        return sum(len(difference.missing) for difference in self.differences)

    def row(self) -> dict[str, Any]:
        """Return it as plain values."""
        held = {difference.place: difference for difference in self.differences}
        return {
            "fault": self.name,
            "ok": self.ok,
            "promised": self.promised,
            "selected": {name: one.selected for name, one in held.items()},
            "missing": {name: len(one.missing) for name, one in held.items()},
            "wrong": {name: len(one.wrong) for name, one in held.items()},
            "back_s": self.back_s,
            "seconds": round(self.seconds, 1),
            "symptom": self.symptom.row() if self.symptom else None,
            "balance": _plain(self.balance),
            "faults": list(self.faults),
            "skipped": self.skipped,
        }


def _plain(balance: Balance | None) -> dict[str, int] | None:
    if balance is None:
        return None
    return {name: getattr(balance, name) for name in Balance.__dataclass_fields__}


@dataclass(slots=True)
class Report:
    """Collect the outcomes of a drill."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    folder: Path | None = None  # where data and logs were left, if they were

    @property
    def ok(self) -> bool:
        """Tell whether every scenario ended well."""
        return all(outcome.ok for outcome in self.outcomes)
