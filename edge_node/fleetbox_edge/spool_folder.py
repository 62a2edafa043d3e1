"""Make the spool of one recorder in a folder of its own, and put it away at the end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

from fleetbox.errors import FleetboxError
from fleetbox.settings import RobotSettings
from fleetbox_edge.session import Session
from fleetbox_edge.spool import Limits, Segment, Spool


def make_spool(settings: RobotSettings, mark: int, on_drop: Callable[[str, Segment, str], None]) -> Spool:
    """Make an empty spool; `mark` tells recorders of one moment apart. Raises FleetboxError where it cannot be."""
    limits = Limits(
        settings.spool.max, settings.ring.leave_free, lingering=classes_synced(settings, "interval", "always")
    )
    root = settings.state / "spool" / settings.robot
    try:
        return Spool(root / f"{time.time_ns():020d}-{mark & 0xFFFFFF:06x}", limits, on_drop)  # sorts by start
    except OSError as error:
        raise FleetboxError(
            f"the spool of {settings.robot} cannot be made in {root}: {error.strerror or error}",
            "let `state` in robot.toml name a folder that this program may write to, on a disk with room",
        ) from error


def classes_synced(settings: RobotSettings, *modes: str) -> frozenset[str]:
    """Return the classes whose spool reaches the disk in one of these ways."""
    return frozenset(cls for cls, mode in settings.spool.fsync.items() if mode in modes)


def put_away(session: Session) -> None:
    """Close a session and its spool; the folder goes when all of it has arrived, else the next start takes it up."""
    session.move_all()
    with session.lock:
        session.seal_all()
        session.closed = True
        empty = all([session.spool.close(), session.outbox.drops.close()])
    for segment in session.spool.garbage:
        segment.release()
        segment.path.unlink(missing_ok=True)
    if empty:
        shutil.rmtree(session.spool.folder, ignore_errors=True)  # what cannot be removed the next start removes
    session.spool.unlock()
