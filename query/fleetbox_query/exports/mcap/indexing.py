"""Keep what stands at an MCAP file's end: its channels, and where its chunks, attachments and metadata lie."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Channel, ChunkIndex, DataEnd, Footer, Header, Schema, Statistics, SummaryOffset

MAGIC = b"\x89MCAP0\r\n"


class Summary:
    """Gather what lies where; `end_at` makes a file's last bytes of it."""

    def __init__(self) -> None:
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.chunks: list[ChunkIndex] = []
        self.attachments: list[Any] = []
        self.metadata: list[Any] = []
        self.counts: dict[int, int] = {}

    def count(self, channel: int, messages: int) -> None:
        """Count messages of a channel."""
        self.counts[channel] = self.counts.get(channel, 0) + messages

    def save(self, path: Path) -> None:
        """Write it as a file of its own: an MCAP without data."""
        start = MAGIC + record(Header(profile="", library="fleetbox"))
        path.write_bytes(start + self.end_at(len(start)))

    def take(self, path: Path) -> None:
        """Add what `save` wrote."""
        with path.open("rb") as file:
            found = make_reader(file).get_summary()
        assert found is not None  # we wrote it
        assert found.statistics is not None
        self.schemas |= found.schemas
        self.channels |= found.channels
        self.chunks += found.chunk_indexes
        self.attachments += found.attachment_indexes
        self.metadata += found.metadata_indexes
        for channel, count in found.statistics.channel_message_counts.items():
            self.count(channel, count)

    def end_at(self, offset: int) -> bytes:
        """Return the end of a file whose data ends at an offset: the summary, the offsets into it, the footer."""
        head = record(DataEnd(data_section_crc=0))
        start = offset + len(head)
        text, offsets = b"", []
        for opcode, records in self._groups():
            body = b"".join(map(record, records))
            if body:
                offsets.append(SummaryOffset(opcode, start + len(text), len(body)))
                text += body
        offset_start = start + len(text)
        text += b"".join(map(record, offsets))
        footer_head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offset_start)
        crc = zlib.crc32(footer_head, zlib.crc32(text))
        footer = Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=crc)
        return head + text + record(footer) + MAGIC

    def _groups(self) -> list[tuple[Opcode, list[Any]]]:
        statistics = Statistics(
            attachment_count=len(self.attachments),
            channel_count=len(self.channels),
            channel_message_counts=self.counts,
            chunk_count=len(self.chunks),
            message_count=sum(self.counts.values()),
            metadata_count=len(self.metadata),
            message_start_time=min((one.message_start_time for one in self.chunks), default=0),
            message_end_time=max((one.message_end_time for one in self.chunks), default=0),
            schema_count=len(self.schemas),
        )
        return [
            (Opcode.SCHEMA, list(self.schemas.values())),
            (Opcode.CHANNEL, list(self.channels.values())),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, self.chunks),
            (Opcode.ATTACHMENT_INDEX, self.attachments),
            (Opcode.METADATA_INDEX, self.metadata),
        ]


def record(one: Any) -> bytes:
    """Return a record's bytes."""
    builder: Any = RecordBuilder()
    one.write(builder)
    return bytes(builder.end())
