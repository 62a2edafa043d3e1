"""Watches what `doctor` says while a fault lasts: does it name the cause, and how soon."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fleetbox.checks import Check, run_checks
from fleetbox_local.drill.setting import ROBOT

WITHIN_S = 15.0  # how soon a person must be able to read the cause
LOOK_S = 0.5  # a look costs some twenty small requests
OVER_S = 60.0  # after the fault's end the same words must go away in this time


@dataclass(frozen=True, slots=True)
class Symptom:
    """Say which words were looked for, when they were first seen, and in which finding."""

    words: str
    after_s: float | None = None
    finding: str = ""
    instead: tuple[str, ...] = ()

    @property
    def shown(self) -> bool:
        """Tell whether the cause was named in time."""
        return self.after_s is not None

    def row(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"words": self.words, "after_s": self.after_s, "finding": self.finding, "instead": list(self.instead)}


def find(checks: Sequence[Check], words: str) -> str | None:
    """Return the finding, not PASS, that names the cause; `words` is a regular expression."""
    for check in checks:
        text = f"{check.subject}: {check.text} {check.phrase or ''}"
        if check.verdict != "PASS" and re.search(words, text, re.IGNORECASE):
            return text.strip()
    return None


def watch(fleet_of: Callable[[], Any], words: str, within_s: float = WITHIN_S) -> Symptom:
    """Ask what `doctor` asks until a finding holds the words, at the longest for `within_s`."""
    started = time.monotonic()
    checks: list[Check] = []
    while time.monotonic() - started < within_s:
        checks = asyncio.run(run_checks(fleet_of(), ROBOT))
        if (finding := find(checks, words)) is not None:
            return Symptom(words, round(time.monotonic() - started, 1), finding)
        time.sleep(LOOK_S)
    said = tuple(f"{check.verdict} {check.subject}: {check.text}" for check in checks if check.verdict != "PASS")
    return Symptom(words, instead=said)
