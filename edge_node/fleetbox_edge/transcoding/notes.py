"""Remember how far each stream was transcoded, what could not be, and whose pictures are still to go."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fleetbox.disk import write_whole

REASONS = 50  # of stretches whose pictures stay, told in full; the number of all of them is kept


@dataclass(slots=True)
class StreamNote:
    """Hold what is known of one stream; times in µs.

    `rule` names the rule it was done by: another one starts over. `left` are the spans that stand in a video and whose
    pictures were not all free to go; `kept` says of the last refused stretches why their pictures stay.
    """

    rule: str = ""
    at_us: int = 0
    videos: int = 0
    refused: int = 0
    pictures_bytes: int = 0
    video_bytes: int = 0
    left: list[tuple[int, int]] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def refuse(self, start_us: int, why: str) -> None:
        """Note that the pictures of a stretch stay."""
        self.refused += 1
        self.kept[str(start_us)] = why
        while len(self.kept) > REASONS:
            del self.kept[next(iter(self.kept))]


class Notes:
    """Keep the notes in a file; a lost one costs work and nothing else: videos are found in the store again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.streams = self._load()

    def of(self, stream: str, rule: str) -> StreamNote:
        """Return a stream's note under a rule; under another rule than before its pictures are looked at anew."""
        note = self.streams.setdefault(stream, StreamNote(rule))
        if note.rule != rule:
            self.streams[stream] = note = StreamNote(rule, left=note.left)
        return note

    def save(self) -> None:
        """Write them down; raises OSError when the disk is full."""
        told = {stream: asdict(note) for stream, note in self.streams.items()}
        write_whole(self._path, json.dumps(told), durable=True)

    def _load(self) -> dict[str, StreamNote]:
        try:
            raw: dict[str, dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                stream: StreamNote(**{**note, "left": [(int(a), int(b)) for a, b in note["left"]]})
                for stream, note in raw.items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
