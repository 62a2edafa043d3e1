"""What came of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fleetbox_local.drill.comparing import Difference
from fleetbox_local.drill.symptoms import Symptom


@dataclass(frozen=True, slots=True)
class Balance:
    """Hold the books of the robot's hops as `fleetbox audit` closes them, in records, summed over the hops.

    `arrived_at` counts by place, `lost_of` by stream on the first hop what is lost or missing in the order; `named`
    says per term where and why.
    """

    recorded: int = 0
    selected: int = 0
    arrived: int = 0
    waiting: int = 0
    refused: int = 0
    lost: int = 0
    unexplained: int = 0
    gaps: int = 0
    balanced: bool = True
    arrived_at: Mapping[str, int] = field(default_factory=dict)
    lost_of: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Tell whether everything selected is accounted for and nothing is outstanding."""
        return self.balanced and not (self.unexplained or self.waiting or self.refused or self.gaps)

    def row(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


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
            "balance": self.balance.row() if self.balance else None,
            "faults": list(self.faults),
            "skipped": self.skipped,
        }


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
