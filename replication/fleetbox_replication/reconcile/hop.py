"""One robot's class on one hop: what it selects, and whose pages tell of its two ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from fleetbox.blobs import TaskSpec
from fleetbox.blobs.patterns import matches_any
from fleetbox.ledger import ENTRIES, Line, Reach, entry_of
from fleetbox.naming import RING_CLASSES, Class, site_bucket
from fleetbox_replication.tasks import is_ours, parse_name


@dataclass(frozen=True, slots=True)
class Hop:
    """Hold one task with the names of its ends: `place` is the source (a robot or a site), `site` the destination."""

    place: str
    site: str
    robot: str
    cls: Class
    spec: TaskSpec
    from_robot: bool = False

    @property
    def reach(self) -> Reach:
        """Return which of the source's records travel."""
        if self.cls not in RING_CLASSES:
            return "all"
        return "keep" if self.from_robot else "cloud"

    @property
    def own_meta(self) -> str:
        """Name the bucket at the source that holds the source's pages."""
        return "meta" if self.from_robot else site_bucket(self.robot, "meta")

    @property
    def own_entry(self) -> str:
        """Name the entry that holds the source's pages."""
        return entry_of(self.robot if self.from_robot else self.place, self.robot)

    @property
    def far_meta(self) -> str:
        """Name the bucket at the destination that holds the destination's pages."""
        return site_bucket(self.robot, "meta")

    @property
    def far_entry(self) -> str:
        """Name the entry that holds the destination's pages."""
        return entry_of(self.site, self.robot)

    def takes(self, stream: str) -> bool:
        """Tell whether a stream travels and is counted in the ledger."""
        return matches_any(self.spec.entries, stream) and not (self.cls == "meta" and is_ledger(stream))

    def counts(self, line: Line) -> bool:
        """Tell whether a line of the ledger is about this hop's records."""
        return line.cls == self.cls and self.takes(line.stream)


def is_ledger(stream: str) -> bool:
    """Tell whether an entry of `meta` holds pages, which no page counts."""
    return matches_any(ENTRIES, stream)


def hop_of(spec: TaskSpec, place: str) -> Hop | None:
    """Return the hop a task serves, or None for a task that is not fleetbox's; `place` is where it was found."""
    name = parse_name(spec.name)
    if name is None or not is_ours(spec):
        return None
    robot = spec.dst_bucket.removesuffix(f"--{name.cls}")
    return Hop(place, name.site, robot, cast(Class, name.cls), spec, name.robot is None)
