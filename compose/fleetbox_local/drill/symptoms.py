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

LOOK_S = 0.5  # between two looks; one costs some twenty small requests, 0.2 s where nothing hangs
LOOKS = 20  # how soon a person must be able to read the cause: 15 s, more where a busy machine takes long for a look
OVER_S = 60.0  # after the fault's end the same words must go away in this time


@dataclass(frozen=True, slots=True)
class Symptom:
    """Say which words were looked for, when they were first seen, after how many looks, and in which finding."""

    words: str
    after_s: float | None = None
    finding: str = ""
    instead: tuple[str, ...] = ()
    looks: int = 0

    @property
    def shown(self) -> bool:
        """Tell whether the cause was named in time."""
        return self.after_s is not None

    def row(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "words": self.words, "after_s": self.after_s, "looks": self.looks, "finding": self.finding,
            "instead": list(self.instead),
        }  # fmt: skip


def find(checks: Sequence[Check], words: str) -> str | None:
    """Return the finding, not PASS, that names the cause; `words` is a regular expression."""
    for check in checks:
        text = f"{check.subject}: {check.text} {check.phrase or ''}"
        if check.verdict != "PASS" and re.search(words, text, re.IGNORECASE):
            return text.strip()
    return None


def watch(fleet_of: Callable[[], Any], words: str, most: int = LOOKS) -> Symptom:
    """Ask what `doctor` asks until a finding holds the words, `most` times at the most."""
    started = time.monotonic()
    checks: list[Check] = []
    for looks in range(1, most + 1):
        checks = asyncio.run(run_checks(fleet_of(), ROBOT))
        if (finding := find(checks, words)) is not None:
            return Symptom(words, round(time.monotonic() - started, 1), finding, looks=looks)
        time.sleep(LOOK_S)
    said = tuple(f"{check.verdict} {check.subject}: {check.text}" for check in checks if check.verdict != "PASS")
    return Symptom(words, instead=said, looks=most)
