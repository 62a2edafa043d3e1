"""Hours of the day in which something holds: "22:00-06:00", by the robot's own local time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """Hold the first and the last minute of the day, the last one excluded; they may span midnight."""

    first: int
    last: int

    def hold(self, minute_of_day: int) -> bool:
        """Tell whether a minute of the day (0 to 1439) lies within."""
        if self.first <= self.last:
            return self.first <= minute_of_day < self.last
        return minute_of_day >= self.first or minute_of_day < self.last


def parse_hours(value: Any) -> Hours:
    """Return hours from "22:00-06:00"; raise ValueError for what is none."""
    if isinstance(value, Hours):
        return value
    match = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[1] + match[2] == match[3] + match[4]:
        raise ValueError("write hours of the day like '22:00-06:00'")
    return Hours(60 * int(match[1]) + int(match[2]), 60 * int(match[3]) + int(match[4]))
