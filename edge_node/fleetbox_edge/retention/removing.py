"""Take records out of the robot's store and count each of them in its ledger, whatever ends the process meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fleetbox.disk import write_whole
from fleetbox.errors import NotFound
from fleetbox.ledger import Page, Removal, write_page
from fleetbox.naming import Class
from fleetbox_edge.ports import Door
from fleetbox_edge.retention.value import Rank, Worth, rank_of

META = "meta"
AT_ONCE = 500  # records between two notes: some blocks of a camera, whose rest the engine copies anew each time

Touch = Callable[[str, str, int], None]  # class, stream, time in µs: the ledger shall look there again


@dataclass(frozen=True, slots=True)
class Note:
    """Remember what is just being removed, and why: if the process ends now, the next one counts what is gone."""

    reason: str
    records: tuple[Worth, ...]
    at_us: int

    def dump(self) -> str:
        """Return it as text."""
        rows = [
            [one.cls, one.stream, one.time_us, one.end_us, one.size, one.selected, one.proven] for one in self.records
        ]
        return json.dumps({"reason": self.reason, "at_us": self.at_us, "records": rows})

    @classmethod
    def load(cls, text: str) -> Note:
        """Read it; raises ValueError, KeyError or TypeError for what is none."""
        raw: dict[str, Any] = json.loads(text)
        return cls(str(raw["reason"]), tuple(Worth(*row) for row in raw["records"]), int(raw["at_us"]))


class Removing:
    """Remove records of one robot; one caller at a time.

    A note of what is to go is on the disk before anything goes; the page that counts it stands before the note goes.
    A kill between page and note counts nothing twice: the page says the same again, and readers fold equal ones.
    """

    def __init__(self, door: Door, robot: str, note: Path, touch: Touch, now_us: Callable[[], int]) -> None:
        self._door, self._robot, self._path, self._touch, self._now_us = door, robot, note, touch, now_us
        self.gone: Counter[str] = Counter()  # reason -> records since the start
        self.gone_bytes: Counter[str] = Counter()

    async def finish(self) -> int:
        """End what a former process began; return how many records were gone."""
        try:
            note = Note.load(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError):
            self._path.unlink(missing_ok=True)  # cut short while it was written: nothing had begun
            return 0
        return len(await self._settle(note))

    async def remove(
        self, records: Sequence[Worth], reason: str, enough: Callable[[], bool] = lambda: False
    ) -> list[Worth]:
        """Remove records, stream by stream, until it is `enough`; return those that went. Raises what a Store raises.

        In the loop of whatever labels: a label given between the choice and the removal would be lost.
        """
        by_stream: dict[tuple[str, str], list[Worth]] = {}
        for one in records:
            by_stream.setdefault((one.cls, one.stream), []).append(one)
        gone: list[Worth] = []
        for (cls, stream), found in by_stream.items():
            for some in _portions(sorted(found, key=lambda one: one.time_us)):
                if gone and enough():
                    return gone
                note = Note(reason, some, self._now_us())
                self._write(note)
                await self._door.store.delete(cls, stream, [one.time_us for one in some])
                gone += await self._settle(note)
        return gone

    async def _settle(self, note: Note) -> list[Worth]:
        """Count what of a note is not there any more, tell the ledger, forget the note."""
        gone = await self._missing(note)
        for one in {(one.cls, one.stream, one.minute_us): one for one in gone}.values():
            self._touch(one.cls, one.stream, one.time_us)
        if gone:
            page = Page(self._robot, self._robot, self._now_us(), removals=removals(gone, note.reason, note.at_us))
            await write_page(self._door.store, META, page)
            self.gone[note.reason] += len(gone)
            self.gone_bytes[note.reason] += sum(one.size for one in gone)
        self._path.unlink(missing_ok=True)
        return gone

    async def _missing(self, note: Note) -> list[Worth]:
        cls, stream = note.records[0].cls, note.records[0].stream
        first, last = note.records[0].time_us, note.records[-1].time_us
        try:
            query = self._door.store.query(cls, (stream,), start_us=first, stop_us=last + 1, head=True)
            there = {head.time_us async for head in query}
        except NotFound:
            there = set()
        return [one for one in note.records if one.time_us not in there]

    def _write(self, note: Note) -> None:
        """Write the note whole; a full disk raises OSError, and nothing is removed uncounted."""
        write_whole(self._path, note.dump(), durable=True)


def removals(records: Iterable[Worth], reason: str, at_us: int) -> tuple[Removal, ...]:
    """Return what the ledger is told of removed records, by stream and minute."""
    by_minute: dict[tuple[str, str, int], list[Worth]] = {}
    for one in records:
        by_minute.setdefault((one.cls, one.stream, one.minute_us), []).append(one)
    return tuple(
        Removal(
            cast(Class, cls), stream, minute_us, len(found), sum(one.size for one in found),
            sum(rank_of(one) is Rank.UNDELIVERED for one in found), reason, at_us,
        )
        for (cls, stream, minute_us), found in sorted(by_minute.items())
    )  # fmt: skip


def _portions(records: Sequence[Worth]) -> Iterable[tuple[Worth, ...]]:
    return (tuple(records[at : at + AT_ONCE]) for at in range(0, len(records), AT_ONCE))
