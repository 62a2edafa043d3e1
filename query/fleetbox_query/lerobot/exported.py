"""Say what came of an export to LeRobot, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Exported:
    """Say what came of an export: where it is, its totals, what was left out and what was missing (a line each)."""

    path: Path
    episodes: int
    frames: int
    tasks: int
    skipped: tuple[str, ...]
    lacks: tuple[str, ...]
    report: Mapping[str, Any]

    def __repr__(self) -> str:
        head = f"{self.path}: {self.episodes:,} episodes, {self.frames:,} frames, {self.tasks:,} tasks"
        return "\n".join([head, *self.lacks, *(f"left out: {text}" for text in self.skipped)])

    @property
    def complete(self) -> bool:
        """Tell whether every interval became an episode and every picture could be read."""
        return not (self.skipped or self.lacks)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        named = {name: getattr(self, name) for name in ("episodes", "frames", "tasks", "skipped", "lacks")}
        units = [{"interval": one["interval"], "resampling": one["resampling"]} for one in self.report["units"]]
        return {"path": str(self.path), "complete": self.complete, **named, "intervals": units}

    def resampling(self) -> list[str]:
        """Return a line for what resampling left out, and one for each feature that stands for itself repeatedly."""
        units = [one["resampling"] for one in self.report["units"]]
        slots, frames = (sum(one[name] for one in units) for name in ("slots", "frames"))
        lines = [f"resampling: {slots - frames} of {slots} frames left out"] if slots > frames else []
        for name in units[0]["features"]:
            of = [one["features"][name] for one in units]
            dropped, repeated, passed = (
                sum(one[what] for one in of) for what in ("dropped_frames", "repeated_frames", "passed_over_records")
            )
            age = max((one["age_ms_most"] or 0.0 for one in of), default=0.0)
            said = f"{name}: {of[0]['method']}, at most {age:.1f} ms away, {repeated} repeated, {passed} passed over"
            lines.append(said + (f", missing for {dropped} frames" if dropped else ""))
        return lines
