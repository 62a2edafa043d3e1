"""What a policy may cost, and when a robot counts as idle."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fleetbox.settings.values import Bytes, DurationUs, Table


def _percent(value: Any) -> float:
    """Return 0.15 for "15 %"."""
    if isinstance(value, float):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
    if match is None or not 0 < float(match[1]) <= 100:
        raise ValueError("write a share like '15 %', at most '100 %'")
    return float(match[1]) / 100


Share = Annotated[float, BeforeValidator(_percent)]


class Budget(Table):
    """Say what a policy may cost a robot; what costs more is rolled back, or its triggers are muted, and says so."""

    bytes_per_day: Bytes | None = None  # selected to travel within any 24 h; None: not bounded
    cpu: Share | None = None  # of one core, the agent's whole process, as a mean of a minute; None: not bounded
    trial: DurationUs = 1_800_000_000  # µs after a switch in which a breach rolls back; later it mutes triggers


class Idle(Table):
    """Say when a robot has time: an expression over one stream, as a trigger's, and a machine that is not busy."""

    on: str | None = None  # a stream's name, such as battery
    when: str | None = None  # CEL, such as "charging == true"
    hold: DurationUs = 60_000_000  # µs it must hold: a stop at a crossing is not idleness
    cpu: Share = Field(default=0.5)  # of the whole machine; above, it is busy whatever `when` says
