"""Turn a table's rows into MCAP's message records, thousands at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox.time import iso_time
from fleetbox_query.exports.mcap.row_texts import texts_of
from fleetbox_query.exports.stretches import times_us

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 1 << 20  # of a table, turned at once: numbers become two to three times as much JSON
MESSAGE = 0x05  # the kind of a message's record
_HEAD = [("kind", "u1"), ("size", "<u8"), ("channel", "<u2"), ("turn", "<u4"), ("log", "<u8"), ("pub", "<u8")]
HEAD_BYTES = 31  # kind, length, channel, sequence, log time, publish time
_OF_LENGTH = 22  # what a record's length counts of its head


@dataclass(frozen=True, slots=True)
class Messages:
    """Hold message records one after another: their log times in ns, where each begins in `data`."""

    log_ns: Any
    starts: Any
    data: memoryview


class Rows:
    """Hand out one table's rows as messages of a channel, in order of the records' time."""

    def __init__(
        self, table: pa.Table, channel: int, payload: Callable[[pa.Table], pa.Array], skip: Callable[[str, int], None]
    ) -> None:
        self._skip = skip  # told why and how many, of rows that no message can hold
        self.times_us = times_us(table)
        self._table, self._channel, self._payload = table, channel, payload
        self._at = 0
        self._block_rows = max(1, BLOCK_BYTES * table.num_rows // max(1, table.nbytes))
        self._block: tuple[int, Messages, Any] | None = None  # first row, its messages, where each begins and ends

    def before(self, time_us: int) -> Iterator[Messages]:
        """Yield the messages of rows before a time that were not handed out yet."""
        import numpy as np

        stop = int(np.searchsorted(self.times_us, time_us, side="left"))
        while self._at < stop:
            try:
                first, block, bounds = self._block_at(self._at)
            except (ValueError, TypeError) as error:  # pyarrow's own are both: a text that is none, for one
                first = self._at
                self._at = min(first + self._block_rows, len(self.times_us))
                since = iso_time(int(self.times_us[first]))
                self._skip(f"{self._at - first} rows from {since} on: {error}", self._at - first)
                continue
            end = min(stop, first + len(block.log_ns))
            one, other = self._at - first, end - first
            low, high = int(bounds[one]), int(bounds[other])
            yield Messages(block.log_ns[one:other], block.starts[one:other] - low, block.data[low:high])
            self._at = end

    def _block_at(self, row: int) -> tuple[int, Messages, Any]:
        if self._block is None or row >= self._block[0] + len(self._block[1].log_ns):
            messages, bounds = framed(self._table.slice(row, self._block_rows), self._channel, self._payload)
            self._block = (row, messages, bounds)
        return self._block


def framed(table: pa.Table, channel: int, payload: Callable[[pa.Table], pa.Array]) -> tuple[Messages, Any]:
    """Return a table's rows as messages, and where each begins and ends."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    bodies = payload(table)
    log_ns = _clock(table, "log_ns", times_us(table) * 1000)
    heads = np.zeros(len(bodies), np.dtype(_HEAD))
    heads["kind"], heads["channel"] = MESSAGE, channel
    heads["size"] = np.asarray(pc.binary_length(bodies)).astype(np.uint64) + _OF_LENGTH
    heads["log"], heads["pub"] = log_ns, _clock(table, "publish_ns", log_ns)
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(HEAD_BYTES), len(heads), [None, pa.py_buffer(heads)])
    whole = pc.binary_join_element_wise(fixed.cast(pa.binary()), bodies, b"")
    bounds = np.frombuffer(whole.buffers()[1], np.int32)[: len(whole) + 1].astype(np.int64)
    return Messages(log_ns, bounds[:-1], memoryview(whole.buffers()[2])), bounds


def as_json(table: pa.Table) -> pa.Array:
    """Return rows as JSON."""
    return texts_of(table)


def as_they_came(table: pa.Table) -> pa.Array:
    """Return the bytes of the messages that rows came from."""
    import pyarrow as pa

    return table[chunks.CDR].combine_chunks().cast(pa.binary())


def _clock(table: pa.Table, name: str, otherwise: Any) -> Any:
    import numpy as np

    if name not in table.column_names:
        return otherwise
    column = table[name].combine_chunks().cast("int64")
    if not column.null_count:
        return column.to_numpy()
    return np.where(column.is_valid().to_numpy(zero_copy_only=False), column.fill_null(0).to_numpy(), otherwise)
