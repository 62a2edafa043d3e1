"""What a recorder tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox_edge.circling import Circling


@dataclass(frozen=True, slots=True)
class Stats:
    """Tell what a recorder has accepted, what waits and what was dropped; bytes as they stand in memory."""

    session: str
    rows: int
    blobs: int
    bytes: int
    acknowledged: int  # rows and blobs readable in the store, replayed ones included
    waiting: int  # rows and blobs accepted and not acknowledged
    spooled_bytes: int  # disk that the spool takes
    memory_bytes: int  # payloads held in memory
    drops: dict[str, int]  # reason -> rows and blobs
    bumped: int  # stamps moved by 1 µs to keep keys apart
    backward: int  # times given out of order
    replayed: int  # rows and blobs of dead processes' spools
    damaged: int  # frames of those that could not be read
    previews_skipped: int
    last_error: str | None
    duties: bool  # whether this process does the robot's duties
    circling: Circling  # what circles in memory only; not among the rows and blobs above
