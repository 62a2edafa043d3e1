"""The folder beside a target in which an export is made, so that the same export can go on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbox.disk import write_whole
from fleetbox.errors import InputError
from fleetbox_query.exports.journal import Journal
from fleetbox_query.exports.syncing import write_synced


@dataclass(frozen=True, slots=True)
class Partial:
    """Name what lies in `OUT.partial/`, and say whether it answers the question that is asked now."""

    target: Path

    @property
    def folder(self) -> Path:
        """Return the folder itself."""
        return self.target.with_name(self.target.name + ".partial")

    @property
    def files(self) -> Path:
        """Return where finished files lie."""
        return self.folder / "files"

    @property
    def writing(self) -> Path:
        """Return where files lie that are finished together, or gone."""
        return self.folder / "writing"

    @property
    def growing(self) -> Path:
        """Return the file that grows over several checkpoints."""
        return self.folder / "growing"

    @property
    def journal(self) -> Journal:
        """Return the journal of what is finished."""
        return Journal(self.folder / "finished.ndjson")

    @property
    def _asked(self) -> Path:
        return self.folder / "asked.json"

    @property
    def _ended(self) -> Path:
        return self.folder / "ended"

    def lock(self) -> int | None:
        """Return what holds the folder for this process until it is closed; raises InputError where another does."""
        if os.name == "nt":
            return None  # no flock there; two exports into one output are the user's own care
        import fcntl

        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            step = "wait for it to end, or give another -o OUT"
            raise InputError(f"another export is writing {self.target}", step) from None
        return lock

    def notes_of(self, question: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what an earlier attempt at this very question remembered; None where there is none to go on with."""
        try:
            kept = json.loads(self._asked.read_text())
        except (OSError, ValueError):
            return None
        if self._ended.exists() or any(kept.get(name) != said for name, said in question.items()):
            return None
        return dict(kept.get("notes", {}))

    def write_asked(self, question: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Bring the question and what is remembered of it to the disk."""
        write_whole(self._asked, json.dumps({**question, "notes": notes}), durable=True)

    def empty(self) -> None:
        """Remove what is finished: it answers another question."""
        for path in (self.journal.path, self._ended):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.files)
        self.files.mkdir()

    def end(self) -> None:
        """Say that what lies in `files/` from here on may be the old output."""
        write_synced(self._ended, "")

    def keep_only(self, names: Mapping[str, object]) -> None:
        """Remove files that are not among the finished ones."""
        for path in self.files.rglob("*"):
            if path.is_file() and str(path.relative_to(self.files)) not in names:
                path.unlink()
