"""How lines of the ledger open and close minutes: pure, from what is known to what is known next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetbox.ledger import Count, Line, Reach, ever
from fleetbox_replication.reconcile.state import OPEN, PROVEN, Minute, reopened


@dataclass(frozen=True, slots=True)
class Telling:
    """Say when a page was written and when it was read, in µs."""

    page_us: int
    now_us: int


def told(minute: Minute, line: Line, reach: Reach, at: Telling) -> Minute:
    """Return a minute after its source has told of it: open unless the destination holds as much already.

    A page that is read once more changes nothing.
    """
    if at.page_us == minute.told_us:
        return minute
    count = line.selected(reach)
    most = ever(minute.told, minute.last, count, (minute.partial, line.partial))
    known = replace(
        minute, told=most, last=count, partial=line.partial, cloud=max(minute.cloud, line.cloud.records),
        told_us=at.page_us,
    )  # fmt: skip
    if (known.told, known.cloud) == (minute.told, minute.cloud):
        return known
    return closed(reopened(replace(known, once=False), at.now_us), reach)


def arrived(minute: Minute, line: Line, reach: Reach, at: Telling) -> Minute:
    """Return a minute after its destination has told of it.

    One that was proven stays so while a ring turns over it there; when the destination held more before, and no ring
    has turned, it is open again.
    """
    if at.page_us == minute.there_us:
        return minute
    before = minute.there
    shrunk = before is not None and line.held.records < before.records
    if shrunk and line.partial:
        return replace(minute, there_us=at.page_us)
    known = replace(minute, there=line.held, cloud_there=line.cloud.records, there_us=at.page_us)
    if minute.state == OPEN:
        return closed(known, reach)
    return reopened(known, at.now_us) if shrunk and not agrees(known, reach) else closed(known, reach)


def vouched(minute: Minute, count: Count, cloud: int, reach: Reach) -> Minute:
    """Return a minute after the relay has vouched for so many of its records, so many of them for the cloud."""
    late = reach == "keep" and cloud < minute.cloud
    if minute.state == OPEN and minute.told.records and count == minute.told and not late:
        return replace(minute, state=PROVEN, once=True)
    return minute


def agrees(minute: Minute, reach: Reach) -> bool:
    """Tell whether both ends count the same records, late labels included."""
    late = reach == "keep" and minute.cloud_there < minute.cloud
    return minute.there == minute.told and not late


def closed(minute: Minute, reach: Reach) -> Minute:
    """Return the minute as proven if both ends agree, else as it is."""
    return replace(minute, state=PROVEN, once=True) if minute.told.records and agrees(minute, reach) else minute
