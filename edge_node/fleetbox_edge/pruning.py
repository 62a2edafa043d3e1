"""Bound what dead processes have left in their spools: the least valuable and oldest goes first, by its numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from fleetbox.ledger import Drop
from fleetbox.naming import Class
from fleetbox_edge.numbers import Numbers
from fleetbox_edge.session import Session
from fleetbox_edge.spool import LEAST_VALUABLE_FIRST
from fleetbox_edge.spooled import Index, Key, parts_in, read_index


@dataclass(slots=True)
class _Given:
    """Gather the numbers that go with a file, and the oldest stamp among them."""

    time_us: int
    numbers: Numbers = field(default_factory=Numbers)


class Pruner:
    """Give up files of leftover spools beyond the bound, or while the disk is at its floor."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def prune(self, folders: Iterable[Path]) -> None:
        """Remove files until the rest is within the bound; every number that goes is written down first."""
        paths = [path for folder in folders for path in sorted(folder.glob("*.seg"))]
        sizes = {path: path.stat().st_size for path in paths}
        used = sum(sizes.values())
        indexes: dict[tuple[Path, str], Index] = {}
        for cls in LEAST_VALUABLE_FIRST:
            for path in [path for path in paths if path.name.startswith(f"{cls}-")]:
                reason = self._fault(path.parent, used)
                if reason is None:
                    return
                index = indexes.get((path.parent, cls)) or _index(path.parent, cls)
                indexes[path.parent, cls] = index
                self._give_up(index, path, cls, reason)
                used -= sizes[path]

    def _fault(self, folder: Path, used: int) -> str | None:
        limits = self._session.spool.limits
        if used > limits.max_bytes:
            return "spool full"
        free = os.statvfs(folder)
        short = limits.leave_free_bytes - free.f_bavail * free.f_frsize
        return "disk floor" if 0 < short <= used else None  # beyond that, somebody else fills the disk

    def _give_up(self, index: Index, path: Path, cls: str, reason: str) -> None:
        given: dict[Key, _Given] = {}
        for part in parts_in(index, cls, path.read_bytes()):
            found = given.setdefault(part.key, _Given(part.start_us))
            found.numbers.add(part.seq, part.seq + part.count)
        with self._session.lock:
            for (session, stream), found in given.items():
                for first, end in found.numbers:
                    drop = Drop(cast("Class", cls), stream, session, first, end - first, reason, found.time_us)
                    self._session.outbox.drops.note(drop)
        path.unlink(missing_ok=True)


def _index(folder: Path, cls: str) -> Index:
    index = Index()
    for path in sorted(folder.glob(f"{cls}-*.seg")):
        read_index(index, cls, path.read_bytes())
    return index
