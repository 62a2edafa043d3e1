"""Write one point of our own measurements as line protocol."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from fleetbox.measurements import Measurement
from fleetbox.points import clean

Value = float | int | bool | str | None

_KEY = re.compile(r"([,= ])")  # what line protocol wants escaped in tags
_TEXT = re.compile(r'(["\\])')  # and in text
UNKNOWN = "-"  # a tag without a value would be left out, and make another series


def point(measurement: Measurement, tags: Mapping[str, str], fields: Mapping[str, Value], time_us: int) -> str | None:
    """Return a point with every tag that the measurement has; unknown fields (None, NaN) are left out.

    None when nothing is left. Whole numbers, numbers and truth values keep their types: a field has one for ever.
    """
    told = ",".join(
        f"{name}={text}" for name in measurement.fields if (text := _value(fields.get(name))) is not None
    )  # in the order of the measurement, whatever order they come in
    if strange := fields.keys() - measurement.fields.keys():
        raise ValueError(f"{measurement.name} has no field {', '.join(sorted(strange))}")
    named = "".join(f",{name}={_escaped(tags[name])}" for name in measurement.tags)
    return f"{measurement.name}{named} {told} {time_us}" if told else None


def _value(value: Value) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{_TEXT.sub(_doubled, _one_line(value))}"'
    if isinstance(value, int):
        return f"{value}i"
    return repr(float(value)) if math.isfinite(value) else None


def _one_line(text: str) -> str:
    """Return text on one line: in a request a line break is the next point's beginning for some readers."""
    return text.replace("\r\n", " ⏎ ").replace("\n", " ⏎ ").replace("\r", " ").replace("\x00", "")


def _doubled(match: re.Match[str]) -> str:
    return f"\\{match[1]}"


def _escaped(text: str) -> str:
    return _KEY.sub(r"\\\1", clean(text)) or UNKNOWN
