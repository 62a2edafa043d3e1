"""How lines of the ledger open and close minutes: pure, from what is known to what is known next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetbox.ledger import Count, Line, Reach, ever
from fleetbox_replication.reconcile.minute import OPEN, PROVEN, Minute, reopened


@dataclass(frozen=True, slots=True)
class Telling:
    """Say when a page was written and when it was read, in µs; `thinned`: records were removed from the minute."""

    page_us: int
    now_us: int
    thinned: bool = False


def told(minute: Minute, line: Line, reach: Reach, at: Telling) -> Minute:
    """Return a minute after its source has told of it: open unless the destination holds as much already.

    A page that is read once more changes nothing.
    """
    if at.page_us == minute.told_us:
        return minute
    count = line.selected(reach)
    partial = (minute.partial or at.thinned, line.partial or at.thinned)
    most = ever(minute.told, minute.last, count, partial)
    known = replace(
        minute, told=most, last=count, partial=line.partial, cloud=max(minute.cloud, line.cloud.records),
        told_us=at.page_us,
    )  # fmt: skip
    if (known.told, known.cloud) == (minute.told, minute.cloud):
        return known
    return closed(reopened(replace(known, once=False), at.now_us), reach, at.now_us)


def arrived(minute: Minute, line: Line, reach: Reach, at: Telling) -> Minute:
    """Return a minute after its destination has told of it.

    A proven one stays so while a ring turns over it there. Where none has turned and it tells of fewer records than
    were proven, it is open again: a store that is killed may lose what it had taken.
    """
    if at.page_us == minute.there_us:
        return minute
    before, held = minute.there, line.held
    if line.partial and before is not None and held.records < before.records:
        return replace(minute, there_us=at.page_us)
    known = replace(minute, there=held, cloud_there=line.cloud.records, there_us=at.page_us)
    if minute.state != PROVEN or line.partial:
        return closed(known, reach, at.now_us)
    short = held.records < known.told.records or (held.records == known.told.records and held != known.told)
    return reopened(known, at.now_us) if short else known


def vouched(minute: Minute, count: Count, cloud: int, reach: Reach, now_us: int) -> Minute:
    """Return a minute after the relay has vouched for so many of its records, so many of them for the cloud."""
    late = reach == "keep" and cloud < minute.cloud
    if minute.state == OPEN and minute.told.records and count == minute.told and not late:
        return _proven(minute, now_us)
    return minute


def agrees(minute: Minute, reach: Reach) -> bool:
    """Tell whether both ends count the same records, late labels included."""
    late = reach == "keep" and minute.cloud_there < minute.cloud
    return minute.there == minute.told and not late


def closed(minute: Minute, reach: Reach, now_us: int) -> Minute:
    """Return the minute as proven if both ends agree, else as it is."""
    if minute.state == PROVEN or not minute.told.records or not agrees(minute, reach):
        return minute
    return _proven(minute, now_us)


def _proven(minute: Minute, now_us: int) -> Minute:
    return replace(minute, state=PROVEN, once=True, since_us=now_us)
