"""Turn records into what an expression may name: fields, labels, text, rates."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEVELS = {"warn": "warning", "err": "error", "critical": "fatal", "crit": "fatal"}  # one word for each
_LEVEL = re.compile(r"\b(debug|info|warn(?:ing)?|err(?:or)?|fatal|crit(?:ical)?)\b", re.IGNORECASE)
TEXT_CHARS = 16_384  # of a log line that are judged; what a person wrote is shorter
LOOK_CHARS = 80  # a level stands at a line's beginning, after a time and a name
HZ_OVER = 17  # records: sixteen distances smooth a jittering driver and still follow within a second at 30 Hz


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold one record as a tap saw it: a row's fields by dotted names, or a text, or only labels."""

    stream: str
    time_us: int
    fields: Mapping[str, Any] | None = None
    labels: Mapping[str, Any] | None = None
    text: str | None = None


class Trace:
    """Remember of one stream what `rate` and `hz` need."""

    def __init__(self) -> None:
        self._stamps: deque[int] = deque(maxlen=HZ_OVER)
        self._last: Reading | None = None

    def add(self, reading: Reading) -> dict[str, Any]:
        """Take the next record; return `hz` and `rate` as far as they can be told."""
        last, self._last = self._last, reading
        told: dict[str, Any] = {}
        if last is not None and reading.time_us <= last.time_us:
            self._stamps.clear()  # time ran back: distances across it mean nothing
        self._stamps.append(reading.time_us)
        if len(self._stamps) > 1:
            assert last is not None
            told["hz"] = (len(self._stamps) - 1) * 1e6 / (self._stamps[-1] - self._stamps[0])
            told["rate"] = nested(_rates(last, reading))
        return told


def _rates(last: Reading, now: Reading) -> dict[str, float]:
    seconds = (now.time_us - last.time_us) / 1e6
    before = last.fields or {}
    return {
        name: (value - before[name]) / seconds
        for name, value in (now.fields or {}).items()
        if _is_number(value) and _is_number(before.get(name))
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def variables(reading: Reading, wanted: frozenset[str]) -> dict[str, Any]:
    """Return the wanted names that a record gives; `rate`, `hz` and other streams are the caller's."""
    fields, given = reading.fields or {}, {}
    for name, value in fields.items():
        root, dot, rest = name.partition(".")
        if root not in wanted:
            continue
        if not dot:
            given[name] = value
        elif isinstance(inner := given.setdefault(root, {}), dict):
            _put(inner, rest, value)
    if "labels" in wanted:
        given["labels"] = {name: str(value) for name, value in (reading.labels or {}).items()}
    if "fields" in wanted:
        given["fields"] = dict(fields)
    if "stream" in wanted:
        given["stream"] = reading.stream
    if reading.text is not None and wanted & {"text", "level"}:
        given["text"], given["level"] = reading.text, level_of(reading)
    return given


def whole(reading: Reading) -> dict[str, Any]:
    """Return a record as another stream's expression sees it: bat.percent, bat.labels, bat.text."""
    out = nested(reading.fields or {})
    if reading.text is not None:
        out |= {"text": reading.text, "level": level_of(reading)}
    return {**out, "labels": {name: str(value) for name, value in (reading.labels or {}).items()}}


def level_of(reading: Reading) -> str:
    """Return a log line's level, as its label `level` or its first words say: debug, info, warning, error, fatal."""
    given = (reading.labels or {}).get("level")
    if given is None:
        match = _LEVEL.search((reading.text or "")[:LOOK_CHARS])
        given = match[1] if match else ""
    level = str(given).lower()
    return LEVELS.get(level, level)


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into maps: pose.x -> {"pose": {"x": ...}}; a name that is both keeps what came first."""
    out: dict[str, Any] = {}
    for name, value in fields.items():
        _put(out, name, value)
    return out


def _put(out: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for step in path:
        inner = out.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        out = inner
    out.setdefault(last, value)
