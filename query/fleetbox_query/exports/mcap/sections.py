"""Append an MCAP file's data in a thread of its own, chunk by chunk, while the next one is being gathered."""

from __future__ import annotations

import queue
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mcap.opcode import Opcode
from mcap.records import Attachment, AttachmentIndex, ChunkIndex, Metadata, MetadataIndex

from fleetbox.background import joined
from fleetbox_query.exports.growing import Growing
from fleetbox_query.exports.mcap.indexing import Summary, record
from fleetbox_query.exports.mcap.rows import HEAD_BYTES, MESSAGE, Messages

CHUNKS_AHEAD = 16  # chunks of about 1 MB that wait for the disk
_HEAD = struct.Struct("<BQHIQQ")


@dataclass
class Chunk:
    """Gather messages; `packed` ones (pictures, videos) are not compressed again."""

    packed: bool
    size_bytes: int = 0
    start_ns: int = 0
    stop_ns: int = 0
    pieces: list[Any] = field(default_factory=list)
    index: dict[int, list[Any]] = field(default_factory=dict)  # channel -> (n, 2) arrays of log time and place

    def add(self, channel: int, times_ns: tuple[int, int], data: bytes, sequence: int) -> None:
        """Add one message by its log and publish time."""
        log_ns, publish_ns = times_ns
        head = _HEAD.pack(MESSAGE, len(data) + HEAD_BYTES - 9, channel, sequence, log_ns, publish_ns)
        self._span(log_ns, log_ns)
        self.index.setdefault(channel, []).append([(log_ns, self.size_bytes)])
        self.pieces += (head, data)
        self.size_bytes += HEAD_BYTES + len(data)

    def add_rows(self, channel: int, messages: Messages) -> None:
        """Add many messages of a channel."""
        import numpy as np

        self._span(int(messages.log_ns.min()), int(messages.log_ns.max()))
        places = np.column_stack([messages.log_ns, messages.starts + self.size_bytes])
        self.index.setdefault(channel, []).append(places)
        self.pieces.append(messages.data)
        self.size_bytes += len(messages.data)

    def _span(self, first_ns: int, last_ns: int) -> None:
        self.start_ns = min(self.start_ns, first_ns) if self.pieces else first_ns
        self.stop_ns = max(self.stop_ns, last_ns) if self.pieces else last_ns


class Section:
    """Append to a growing file in the order of the calls; a fault of the thread is raised by the next call."""

    def __init__(self, file: Growing, compress: Callable[[bytes], bytes] | None, name: str) -> None:
        self.summary = Summary()
        self._file, self._compress, self._name = file, compress, name if compress else ""
        self._error: BaseException | None = None
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(CHUNKS_AHEAD)
        self._thread = threading.Thread(target=self._work, name="mcap", daemon=True)
        self._thread.start()

    def raw(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._put(lambda: self._file.write([data]))

    def chunk(self, chunk: Chunk) -> None:
        """Append a chunk and its index."""
        self._put(lambda: self._write_chunk(chunk))

    def attach(self, attachment: Attachment) -> None:
        """Append a file."""
        self._put(lambda: self._write_attachment(attachment))

    def note(self, name: str, said: dict[str, str]) -> None:
        """Append metadata."""
        self._put(lambda: self._write_metadata(Metadata(name=name, metadata=said)))

    def settle(self) -> Summary:
        """Wait until everything is on the disk; return where it lies, and begin to gather anew."""
        done = threading.Event()
        self._put(self._file.sync)
        self._put(done.set)
        while not done.wait(0.1):
            self._raise()
        found, self.summary = self.summary, Summary()
        return found

    def close(self) -> None:
        """End the thread; what was not settled may be missing."""
        self._error = self._error or RuntimeError("closed")
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
            except queue.Full:
                continue
            joined(self._thread)

    def _put(self, work: Callable[[], None]) -> None:
        while True:
            self._raise()
            try:
                self._queue.put(work, timeout=0.1)
                return
            except queue.Full:
                continue

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                if self._error is None:
                    work()
            except BaseException as error:  # raised to whoever asks for more
                self._error = error

    def _write_chunk(self, chunk: Chunk) -> None:
        pieces, name = chunk.pieces, ""
        crc = 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
        if self._compress is not None and not chunk.packed:
            pieces, name = [self._compress(b"".join(pieces))], self._name
        size = sum(map(len, pieces))
        head = struct.pack("<QQQII", chunk.start_ns, chunk.stop_ns, chunk.size_bytes, crc, len(name)) + name.encode()
        head = struct.pack("<BQ", Opcode.CHUNK, len(head) + 8 + size) + head + struct.pack("<Q", size)
        start = self._file.size_bytes
        self._file.write([head, *pieces])
        offsets, index = self._indexes(chunk)
        self._file.write([index])
        self.summary.chunks.append(
            ChunkIndex(
                message_start_time=chunk.start_ns,
                message_end_time=chunk.stop_ns,
                chunk_start_offset=start,
                chunk_length=len(head) + size,
                message_index_offsets=offsets,
                message_index_length=len(index),
                compression=name,
                compressed_size=size,
                uncompressed_size=chunk.size_bytes,
            )
        )

    def _indexes(self, chunk: Chunk) -> tuple[dict[int, int], bytes]:
        import numpy as np

        offsets, text = {}, b""
        for channel, found in chunk.index.items():
            places = np.concatenate([np.asarray(one, np.uint64) for one in found])
            places = places[np.argsort(places[:, 0], kind="stable")].astype("<u8", copy=False)
            offsets[channel] = self._file.size_bytes + len(text)
            body = places.tobytes()
            text += struct.pack("<BQHI", Opcode.MESSAGE_INDEX, 6 + len(body), channel, len(body)) + body
            self.summary.count(channel, len(places))
        return offsets, text

    def _write_attachment(self, one: Attachment) -> None:
        start, data = self._file.size_bytes, record(one)
        self._file.write([data])
        place = AttachmentIndex(
            offset=start,
            length=len(data),
            create_time=one.create_time,
            log_time=one.log_time,
            data_size=len(one.data),
            name=one.name,
            media_type=one.media_type,
        )
        self.summary.attachments.append(place)

    def _write_metadata(self, one: Metadata) -> None:
        start, data = self._file.size_bytes, record(one)
        self._file.write([data])
        self.summary.metadata.append(MetadataIndex(offset=start, length=len(data), name=one.name))
