"""Remember which files of an export are finished, line by line, so that a crash costs the last line at most."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Finished:
    """Hold one finished file: its path within the output, size, xxh3-64, and what its maker wants to remember."""

    path: str
    size_bytes: int
    xxh3: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Journal:
    """Append to and read the lines of one partial export: files finished and dropped, checkpoints reached."""

    path: Path

    def append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines and bring them to the disk."""
        with self.path.open("a") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> tuple[dict[str, Finished], Any]:
        """Return the finished files and the last checkpoint (None without one).

        Files finished after the last checkpoint do not count; a torn line is passed over.
        """
        kept: dict[str, Finished] = {}
        counted: dict[str, Finished] | None = None  # as of the last checkpoint
        checkpoint = None
        for said in self._lines():
            if "checkpoint" in said:
                checkpoint, counted = said["checkpoint"], dict(kept)
            elif "dropped" in said:
                kept.pop(said["dropped"], None)
            else:
                kept[said["path"]] = Finished(**said)
        if counted is None:
            return kept, None
        return {name: one for name, one in counted.items() if name in kept}, checkpoint

    def _lines(self) -> list[dict[str, Any]]:
        try:
            texts = self.path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        lines = []
        for text in texts:
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
        return lines
