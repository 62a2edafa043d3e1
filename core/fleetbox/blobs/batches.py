"""Cut drafts into batches the engine takes, and into lanes that may travel side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fleetbox.records import Draft

MAX_RECORDS = 80  # the engine takes 85 records + 15 other headers; HTTP itself needs a dozen of those
MAX_BYTES = 8_000_000  # the engine's own batch size on every hop: what fits here fits everywhere
MAX_METADATA_BYTES = 400_000  # the engine reads at most 512 kB of headers; the rest is room for our estimate
RECORD_OVERHEAD_BYTES = 48  # header name, size and separators of one record

Batch = list[Draft]  # sorted by (entry, time), keys unique
Lane = list[Batch]  # batches that share an entry: to be sent one after the other


def split(drafts: Sequence[Draft]) -> tuple[list[Lane], list[Draft]]:
    """Return lanes of batches, and the drafts whose (entry, time) came before in the same call.

    An entry is in one lane only and in time order there, so lanes may be in flight together.
    """
    by_entry, repeated = _by_entry(drafts)
    lanes: list[Lane] = []
    room = _Room()
    for entry in sorted(by_entry):
        pieces = list(_pieces(by_entry[entry]))
        head = pieces[0]
        if lanes and len(pieces) == 1 and room.fits(head):
            lanes[-1][-1].extend(head)
        else:
            lanes.append(pieces)
            room = _Room()
            head = pieces[-1]
        room.take(head)
    return lanes, repeated


class _Room:
    """Count what a batch still takes."""

    def __init__(self) -> None:
        self.records = MAX_RECORDS
        self.data_bytes = MAX_BYTES
        self.metadata_bytes = MAX_METADATA_BYTES

    def fits(self, drafts: Sequence[Draft]) -> bool:
        records, data_bytes, metadata_bytes = _sizes(drafts)
        return records <= self.records and data_bytes <= self.data_bytes and metadata_bytes <= self.metadata_bytes

    def take(self, drafts: Sequence[Draft]) -> None:
        records, data_bytes, metadata_bytes = _sizes(drafts)
        self.records -= records
        self.data_bytes -= data_bytes
        self.metadata_bytes -= metadata_bytes


def _by_entry(drafts: Iterable[Draft]) -> tuple[dict[str, dict[int, Draft]], list[Draft]]:
    """Group by entry and time; what comes a second time would overwrite the first inside one batch."""
    grouped: dict[str, dict[int, Draft]] = {}
    repeated: list[Draft] = []
    for draft in drafts:
        entry = grouped.setdefault(draft.entry, {})
        if draft.time_us in entry:
            repeated.append(draft)
        else:
            entry[draft.time_us] = draft
    return grouped, repeated


def _pieces(entry: dict[int, Draft]) -> Iterator[Batch]:
    """Cut one entry's drafts, in time order, into batches; a draft too large for any batch is one of its own."""
    piece: Batch = []
    room = _Room()
    for time_us in sorted(entry):
        one = [entry[time_us]]
        if piece and not room.fits(one):
            yield piece
            piece, room = [], _Room()
        piece += one
        room.take(one)
    yield piece


def _sizes(drafts: Sequence[Draft]) -> tuple[int, int, int]:
    data_bytes = sum(len(draft.data) for draft in drafts)
    metadata_bytes = sum(
        RECORD_OVERHEAD_BYTES
        + len(draft.entry)
        + len(draft.content_type)
        + sum(len(name) + len(value) + 2 for name, value in draft.labels.items())
        for draft in drafts
    )
    return len(drafts), data_bytes, metadata_bytes
