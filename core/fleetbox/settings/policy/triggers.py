"""What the policy says of a trigger: which records of which stream make a moment, without anybody marking it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fleetbox.settings.policy.hours import Hours, parse_hours
from fleetbox.settings.values import DurationUs, Table

Point = tuple[float, float]


class Fence(Table):
    """Draw a circle, a box or a polygon; the position is two fields of the trigger's stream.

    On earth (fields in degrees of latitude and longitude, the default) a radius is in metres; with `plane` positions
    and radius share whatever unit the fields have.
    """

    circle: tuple[float, float, float] | None = None  # first field, second field, radius
    box: tuple[Point, Point] | None = None  # two opposite corners
    polygon: tuple[Point, ...] | None = None  # three corners or more, in order
    fields: tuple[str, str] = ("lat", "lon")
    plane: bool = False  # for maps in metres: x and y of a warehouse
    side: Literal["inside", "outside"] = "inside"

    @model_validator(mode="after")
    def _one_shape(self) -> Fence:
        if [self.circle, self.box, self.polygon].count(None) != 2:
            raise ValueError("draw exactly one of circle, box and polygon")
        if self.polygon is not None and len(set(self.polygon)) < 3:
            raise ValueError("a polygon has three different corners or more")
        if self.circle is not None and self.circle[2] <= 0:
            raise ValueError("a circle's radius is more than 0")
        return self


class TriggerRule(Table):
    """Say when a stream's records are a moment: an expression, a fence, or a gap (it went silent).

    `when` is CEL over the fields of the record (`ax < -4.0`), `labels`, `text` of logs, `rate` (change of each number a
    second, `rate.ax`), `hz` (records a second) and the newest row of each stream named in `using` (`bat.percent < 20`).
    `when` and `fence` must both hold where both are given. rising: when it begins to hold; level: as long as it does.
    """

    on: str = Field(min_length=1)  # a stream's name or glob; each stream a glob matches is judged by itself
    when: str | None = None
    fence: Fence | None = None
    gap: DurationUs | None = Field(default=None, gt=0)  # µs without a record
    using: dict[str, str] = Field(default_factory=dict)  # name in the expression -> stream
    mode: Literal["rising", "level"] = "rising"
    hold: DurationUs = 0  # µs it must hold without a break; 0: a single record is enough
    cooldown: DurationUs = 10_000_000  # µs until the same rule may speak again: one moment, one event
    per_hour: int = Field(default=60, ge=1)  # beyond, the rule is muted for the rest of the hour, and says so
    between: Annotated[Hours | None, BeforeValidator(lambda v: v if v is None else parse_hours(v))] = None
    event: str | None = None  # the kind it raises; None: the trigger's own name
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _has_a_cause(cls, given: Any) -> Any:
        if isinstance(given, dict):
            if not given.keys() & {"when", "fence", "gap"}:
                raise ValueError("say what the moment is: when = '...', fence = {...} or gap = '2s'")
            if "gap" in given and given.keys() & {"when", "fence"}:
                raise ValueError("a silent stream has no records for `when` or `fence`: make it a trigger of its own")
        return given
