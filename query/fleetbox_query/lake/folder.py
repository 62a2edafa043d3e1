"""Say where the tables of a lake lie in its folder, and let one sync at a time write there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetbox.errors import FleetboxError, InputError
from fleetbox_query.lake.tables import PARTITIONS, LakeTable

LOCK = ".sync.lock"


class Lake:
    """Name the tables of a lake in a folder; each is opened once.

    Example:
        Lake(Path("lake")).scalars("arm/joints").folder  # lake/scalars/arm.joints
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, LakeTable] = {}

    def scalars(self, stream: str) -> LakeTable:
        """Return the table of one stream's rows, of all robots: no name of a stream has a dot of its own."""
        return self._at(f"scalars/{stream.replace('/', '.')}")

    @property
    def media(self) -> LakeTable:
        """Return the catalog of pictures, videos, files and texts."""
        return self._at("media")

    @property
    def events(self) -> LakeTable:
        """Return the table of events."""
        return self._at("events")

    @property
    def episodes(self) -> LakeTable:
        """Return the table of episodes."""
        return self._at("episodes")

    @property
    def windows(self) -> LakeTable:
        """Return the lake's own books: a row per window taken from a robot's ledger at a site."""
        return self._at("windows", ())

    def tables(self) -> dict[str, LakeTable]:
        """Return every table there is, by its path in the lake."""
        logs = sorted(self.folder.glob("**/_delta_log"))
        found = {log.parent.relative_to(self.folder).as_posix(): LakeTable(log.parent) for log in logs}
        return {name: table for name, table in found.items() if table.exists}

    def _at(self, path: str, partitions: tuple[str, ...] = PARTITIONS) -> LakeTable:
        if path not in self._open:
            self._open[path] = LakeTable(self.folder / path, partitions)
        return self._open[path]


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one sync at a time write to a lake, where the system can say so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("w") as file:
            _hold(file.fileno(), folder)
            yield
    except OSError as error:
        raise FleetboxError(f"the lake at {folder} cannot be written: {error.strerror or error}", "--to DIR") from error


def _hold(number: int, folder: Path) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: a second writer is refused at its commit
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another sync writes to the lake at {folder}", "wait for it, or give another --to") from None
