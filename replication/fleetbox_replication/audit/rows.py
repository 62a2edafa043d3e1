"""The books of an audit: a row per robot, stream and hop, the worst first, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.errors import FleetboxError
from fleetbox.naming import Class
from fleetbox_replication.audit.terms import Terms

LOSS = 3  # the exit code of an answer that names a loss


@dataclass(frozen=True, slots=True)
class Row:
    """Hold the terms of one stream on one hop; all are records but `dropped`, `missing` and `gaps`: samples.

    `hop` is the site it leads to, "" for a robot that reports to none; `step` numbers the hops from 0. `kept_on_robot`
    stays at the hop's source, which beyond the first hop is a site. `by_hand` of those that arrived came on a stick.
    `removed` counts by reason the records that the robot took out of its ring to keep its disk or its policy's word:
    of those recorded, whatever became of them; told with the first hop.
    `until_us` is when the source was last heard of, 0 for never. `gaps` are numbers of the stream's sessions that
    nothing explains; `unasked`: nothing is known of what the destination holds.
    """

    robot: str
    stream: str
    cls: Class
    hop: str
    recorded: int = 0
    selected: int = 0
    kept_on_robot: int = 0
    arrived: int = 0
    waiting: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    unexplained: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    missing: int = 0
    gaps: int = 0
    until_us: int = 0
    source: str = ""
    step: int = 0
    unasked: bool = False
    by_hand: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Tell whether both equations hold."""
        rest = self.waiting + sum(self.refused.values()) + sum(self.lost.values()) + self.unexplained
        return self.recorded == self.selected + self.kept_on_robot and self.selected == self.arrived + rest

    @property
    def wrong(self) -> int:
        """Count what no person may be content with: lost, unexplained, or a hole in the order."""
        return sum(self.lost.values()) + self.unexplained + self.gaps

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Return how bad it is, worst highest."""
        return self.wrong, sum(self.refused.values()), sum(self.dropped.values()) + self.missing, self.waiting

    def as_dict(self) -> dict[str, Any]:
        """Return the row for JSON: every term an integer, or integers by reason."""
        return {
            "robot": self.robot, "stream": self.stream, "class": self.cls, "from": self.source, "hop": self.hop,
            "recorded": self.recorded, "selected": self.selected, "kept_on_robot": self.kept_on_robot,
            "arrived": self.arrived, "by_hand": self.by_hand, "waiting": self.waiting, "refused": dict(self.refused),
            "lost": dict(self.lost),
            "unexplained": self.unexplained, "dropped": dict(self.dropped), "missing": self.missing, "gaps": self.gaps,
            "removed": dict(self.removed), "until_us": self.until_us, "balanced": self.balanced,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unreached:
    """Say which place could not be asked, and why."""

    place: str
    error: FleetboxError


@dataclass(frozen=True, slots=True)
class Books:
    """Hold the rows of [start_us, stop_us), the worst first.

    `until_us` says per robot and place how far its ledger reaches; `unreached` names the places that did not answer;
    `now_us` is when they were closed.
    """

    rows: tuple[Row, ...]
    start_us: int
    stop_us: int
    until_us: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unreached: tuple[Unreached, ...] = ()
    now_us: int = 0

    @property
    def balanced(self) -> bool:
        """Tell whether both equations hold in every row."""
        return all(row.balanced for row in self.rows)

    @property
    def exit_code(self) -> int:
        """Return 3 when anything is lost or unexplained, else 0."""
        return LOSS if any(row.wrong for row in self.rows) or not self.balanced else 0

    @property
    def robots(self) -> list[str]:
        """Return the robots that the books are about, those with the worst rows first."""
        return list(dict.fromkeys([row.robot for row in self.rows] + sorted(self.until_us)))

    def hops(self, robot: str | None = None) -> list[Row]:
        """Return a sum per hop of a robot, or of all, in the order of travel; `stream` is empty in them."""
        chosen = [row for row in self.rows if robot in (None, row.robot)]
        sites = sorted({row.hop: row.step for row in chosen}.items(), key=lambda item: (item[1], item[0]))
        return [_sum(robot or "", hop, [row for row in chosen if row.hop == hop]) for hop, _ in sites]

    def as_dict(self) -> dict[str, Any]:
        """Return the books for JSON."""
        return {
            "start_us": self.start_us,
            "stop_us": self.stop_us,
            "now_us": self.now_us,
            "balanced": self.balanced,
            "lost": sum(sum(row.lost.values()) for row in self.rows),
            "unexplained": sum(row.unexplained for row in self.rows),
            "robots": {robot: [_short(row) for row in self.hops(robot)] for robot in self.robots},
            "rows": [row.as_dict() for row in self.rows],
            "until_us": {robot: dict(places) for robot, places in self.until_us.items()},
            "unreached": {one.place: {"error": one.error.message, "next_step": one.error.next_step}
                          for one in self.unreached},
        }  # fmt: skip


def row_of(terms: Terms, name: Row) -> Row:
    """Return a row with these terms; `name` gives everything else."""
    return Row(
        name.robot, name.stream, name.cls, name.hop,
        terms.recorded, terms.selected, terms.kept, terms.arrived, terms.waiting,
        dict(terms.refused), dict(terms.lost), terms.unexplained,
        name.dropped, name.missing, name.gaps, name.until_us, name.source, name.step, name.unasked,
        min(name.by_hand, terms.arrived), name.removed,
    )  # fmt: skip


def worst_first(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return rows ordered for reading: the worst first, equals by name."""
    return tuple(sorted(rows, key=lambda row: (*(-rank for rank in row.rank), row.robot, row.stream, row.hop)))


def _sum(robot: str, hop: str, rows: Sequence[Row]) -> Row:
    total, dropped, removed = Terms(), Counter[str](), Counter[str]()
    for row in rows:
        total.add(_terms(row))
        dropped.update(row.dropped)
        removed.update(row.removed)
    source = "" if len({row.source for row in rows}) > 1 else rows[0].source
    name = Row(
        robot, "", "sensor", hop, dropped=dropped, missing=sum(row.missing for row in rows),
        gaps=sum(row.gaps for row in rows), until_us=min(row.until_us for row in rows), source=source,
        step=rows[0].step, unasked=any(row.unasked for row in rows), by_hand=sum(row.by_hand for row in rows),
        removed=removed,
    )  # fmt: skip
    return row_of(total, name)


def _terms(row: Row) -> Terms:
    return Terms(
        row.recorded, row.selected, row.arrived, row.waiting, Counter(row.refused), Counter(row.lost), row.unexplained
    )


def _short(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.as_dict().items() if name not in ("robot", "stream", "class")}
