"""Remember which minutes another place tells more of than this one holds: there, records are still to come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fleetbox.ledger import Key, Line, Page, Reach
from fleetbox.naming import RING_CLASSES

LONGEST_WAIT = 60  # looks between two listings of a minute that gets nothing: ten minutes or more
MOST = 10_000  # minutes remembered of one robot: five hours of 31 streams; more, a search of the entry finds

Stream = tuple[str, str]  # class, stream


@dataclass(slots=True)
class _Owed:
    records: int
    due: int = 0
    wait: int = 1
    listed: int = -1


@dataclass(slots=True)
class Owing:
    """Hold, per stream and minute, how many records are to come here at least."""

    minutes: dict[Stream, dict[int, _Owed]] = field(default_factory=dict)
    _changed: dict[Stream, int] = field(default_factory=dict)
    _look: int = 0

    def look(self, changed: Iterable[Stream]) -> None:
        """Begin a look in which these streams had changed."""
        self._look += 1
        self._changed.update(dict.fromkeys(changed, self._look))

    def expect(self, page: Page, reach: Reach, held: Callable[[Key], int | None]) -> None:
        """Take in another place's page: what it tells more of than is held here is owed.

        `held` gives the records told here of a stream's minute, 0 if that is not known, None for a stream that is not
        here: it is listed from its start when it comes.
        """
        for line in page.lines:
            records, here = line.selected(reach if line.cls in RING_CLASSES else "all").records, held(line.key)
            if here is not None and here < records:
                self._expect(line.key, records)

    def _expect(self, key: Key, records: int) -> None:
        of = self.minutes.setdefault((key[0], key[1]), {})
        known = of.get(key[2])
        if known is None:
            of[key[2]] = _Owed(records)
        elif known.records < records:
            known.records, known.wait = records, 1
        if len(of) > MOST // max(1, len(self.minutes)):
            del of[next(iter(of))]  # pages come in the order of time: the oldest, more or less

    def told(self, line: Line) -> None:
        """Note what is here now: a minute that has all is owed nothing, one that got nothing waits longer."""
        of = self.minutes.get((line.cls, line.stream), {})
        owed = of.get(line.minute_us)
        if owed is not None and line.held.records >= owed.records:
            del of[line.minute_us]
            if not of:
                del self.minutes[line.cls, line.stream]

    def due(self, stream: Stream, until_us: int, most: int) -> list[int]:
        """Return the oldest minutes before `until_us` that may have got something since they were listed last.

        One that was never listed for this may have got it before it was known to be owed.
        """
        changed = self._changed.get(stream, 0)
        found = (
            minute_us
            for minute_us, owed in self.minutes.get(stream, {}).items()
            if minute_us < until_us and owed.due <= self._look and owed.listed < changed
        )
        return sorted(found)[:most]

    def listed(self, stream: Stream, minutes: Iterable[int]) -> None:
        """Note that minutes were listed just now: the next time is twice as far away."""
        of = self.minutes.get(stream, {})
        for minute_us in minutes:
            if (owed := of.get(minute_us)) is not None:
                owed.listed, owed.due = self._look, self._look + owed.wait
                owed.wait = min(LONGEST_WAIT, owed.wait * 2)

    def gone(self, stream: Stream) -> None:
        """Forget a stream that is not here any more."""
        self.minutes.pop(stream, None)
        self._changed.pop(stream, None)

    def packed(self) -> list[Any]:
        """Return it as JSON takes it."""
        return [
            [cls, stream, [[minute_us, owed.records] for minute_us, owed in sorted(of.items())]]
            for (cls, stream), of in sorted(self.minutes.items())
        ]

    @staticmethod
    def unpacked(items: list[Any]) -> Owing:
        """Read what `packed` returned."""
        return Owing({(cls, stream): {at: _Owed(records) for at, records in of} for cls, stream, of in items})
