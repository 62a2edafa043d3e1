"""Join MCAP files whose channels have the same numbers: their data is copied as it is, only the index is made anew."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Channel, ChunkIndex, DataEnd, Footer, Header, Schema, Statistics, SummaryOffset

MAGIC = b"\x89MCAP0\r\n"
_DATA_END_BYTES = 13  # the record before the summary: kind, length, checksum
_COPY_BYTES = 8 << 20


def join(parts: Sequence[Path], whole: Path) -> None:
    """Write the parts one after another as one indexed file; memory holds their indexes only."""
    summary = _Summary()
    with whole.open("wb") as out:
        out.write(MAGIC + _record(Header(profile="", library="fleetbox")))
        for part in parts:
            with part.open("rb") as file:
                found = make_reader(file).get_summary()
                assert found is not None  # we wrote it
                start, stop = _data_of(file)
                summary.take(found, out.tell() - start)
                file.seek(start)
                _copy(file, out, stop - start)
        out.write(_record(DataEnd(data_section_crc=0)))
        summary.write(out)


class _Summary:
    """Gather what stands at a file's end from those of its parts."""

    def __init__(self) -> None:
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._chunks: list[ChunkIndex] = []
        self._attachments: list[Any] = []
        self._metadata: list[Any] = []
        self._counts: dict[int, int] = {}
        self._span: tuple[int, int] | None = None

    def take(self, found: Any, shift: int) -> None:
        """Add a part's summary; its data lies `shift` bytes further back in the whole."""
        self._schemas |= found.schemas
        self._channels |= found.channels
        for one in found.chunk_indexes:
            offsets = {channel: at + shift for channel, at in one.message_index_offsets.items()}
            moved = replace(one, chunk_start_offset=one.chunk_start_offset + shift, message_index_offsets=offsets)
            self._chunks.append(moved)
        self._attachments += [replace(one, offset=one.offset + shift) for one in found.attachment_indexes]
        self._metadata += [replace(one, offset=one.offset + shift) for one in found.metadata_indexes]
        said = found.statistics
        for channel, count in said.channel_message_counts.items():
            self._counts[channel] = self._counts.get(channel, 0) + count
        if said.message_count:
            first, last = self._span or (said.message_start_time, said.message_end_time)
            self._span = min(first, said.message_start_time), max(last, said.message_end_time)

    def write(self, out: IO[bytes]) -> None:
        """Write the summary, the offsets into it and the footer."""
        start = out.tell()
        text, offsets = b"", []
        for opcode, records in self._groups():
            body = b"".join(map(_record, records))
            if body:
                offsets.append(SummaryOffset(opcode, start + len(text), len(body)))
                text += body
        offset_start = start + len(text)
        text += b"".join(map(_record, offsets))
        footer_head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offset_start)
        crc = zlib.crc32(footer_head, zlib.crc32(text))
        out.write(text + _record(Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=crc)))
        out.write(MAGIC)

    def _groups(self) -> list[tuple[Opcode, list[Any]]]:
        first, last = self._span or (0, 0)
        statistics = Statistics(
            attachment_count=len(self._attachments),
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=sum(self._counts.values()),
            metadata_count=len(self._metadata),
            message_start_time=first,
            message_end_time=last,
            schema_count=len(self._schemas),
        )
        return [
            (Opcode.SCHEMA, list(self._schemas.values())),
            (Opcode.CHANNEL, list(self._channels.values())),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, self._chunks),
            (Opcode.ATTACHMENT_INDEX, self._attachments),
            (Opcode.METADATA_INDEX, self._metadata),
        ]


def _data_of(file: IO[bytes]) -> tuple[int, int]:
    """Return where a file's data begins, after its header, and ends, before the mark of its end."""
    file.seek(len(MAGIC))
    _, header_bytes = struct.unpack("<BQ", file.read(9))
    file.seek(-(len(MAGIC) + 20), 2)
    (summary_start,) = struct.unpack("<Q", file.read(8))
    return len(MAGIC) + 9 + header_bytes, summary_start - _DATA_END_BYTES


def _copy(file: IO[bytes], out: IO[bytes], size_bytes: int) -> None:
    while size_bytes:
        data = file.read(min(_COPY_BYTES, size_bytes))
        out.write(data)
        size_bytes -= len(data)


def _record(record: Any) -> bytes:
    builder: Any = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())
