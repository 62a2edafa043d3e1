"""What is known of one stream's minute of a hop, as a value and as a row of a table."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, cast

from fleetbox.ledger import Count, Key, Standing
from fleetbox.naming import Class

NOTHING = Count()
OPEN, PROVEN, SETTLED = 0, 1, 2  # settled: nothing more can be done, its standing says why


@dataclass(frozen=True, slots=True)
class Minute:
    """Hold what is known of one stream's minute of a hop.

    It is in its `state` since `since_us`. `told` is the most the source ever selected, `last` what its last line
    counted, `there` what the destination told last, `cloud` and `cloud_there` those promoted for the cloud. `once`: all
    of it stood at the destination some time. `standing` is what was published last, None if nothing is to be taken
    back; `told_us` and `there_us` are when the pages were written.
    """

    robot: str
    cls: Class
    stream: str
    minute_us: int
    state: int = OPEN
    since_us: int = 0
    told: Count = NOTHING
    last: Count = NOTHING
    partial: bool = False
    cloud: int = 0
    there: Count | None = None
    cloud_there: int = 0
    once: bool = False
    standing: Standing | None = None
    told_us: int = 0
    there_us: int = 0

    @property
    def key(self) -> Key:
        """Return what identifies the minute of a robot."""
        return self.cls, self.stream, self.minute_us


def is_clear(standing: Standing | None) -> bool:
    """Tell whether a standing says nothing."""
    return standing is None or not (standing.waiting or standing.refused or standing.lost or standing.unexplained)


def reopened(minute: Minute, now_us: int) -> Minute:
    """Return a minute that has to be looked at again."""
    return replace(minute, state=OPEN, since_us=now_us)


def to_row(minute: Minute) -> tuple[Any, ...]:
    """Return a minute as the columns of a table, in the order of its fields."""
    return (
        minute.robot, minute.cls, minute.stream, minute.minute_us, minute.state, minute.since_us,
        _packed(minute.told), _packed(minute.last), minute.partial, minute.cloud,
        _packed(minute.there), minute.cloud_there, minute.once, _packed_standing(minute.standing),
        minute.told_us, minute.there_us,
    )  # fmt: skip


def from_row(row: tuple[Any, ...]) -> Minute:
    """Read a minute from the columns that `to_row` made."""
    robot, cls, stream, minute_us, state, since_us, told, last, partial, *others = row
    cloud, there, cloud_there, once, shown, told_us, there_us = others
    standing = None
    if shown is not None:
        site, waiting, refused, lost, unexplained = json.loads(shown)
        standing = Standing(site, cls, stream, minute_us, waiting, refused, lost, unexplained)
    return Minute(
        robot, cast(Class, cls), stream, minute_us, state, since_us, _count(told) or Count(), _count(last) or Count(),
        bool(partial), cloud, _count(there), cloud_there, bool(once), standing,
        told_us, there_us,
    )  # fmt: skip


def _packed(count: Count | None) -> str | None:
    return None if count is None else f"{count.records} {count.bytes} {count.digest:x}"


def _count(text: str | None) -> Count | None:
    if text is None:
        return None
    records, size, digest = text.split()
    return Count(int(records), int(size), int(digest, 16))


def _packed_standing(standing: Standing | None) -> str | None:
    if standing is None or is_clear(standing):
        return None
    return json.dumps(
        [standing.site, standing.waiting, dict(standing.refused), dict(standing.lost), standing.unexplained]
    )
