"""Write the items of an export into one MCAP file, part by part, and say after each how far it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mcap.records import Attachment, Channel, Header, Schema

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox_query.exports.growing import Growing
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.mcap.happenings import as_text, events_of, message_of, metadata_of
from fleetbox_query.exports.mcap.indexing import MAGIC, Summary, record
from fleetbox_query.exports.mcap.mixing import Mixed, Mixing
from fleetbox_query.exports.mcap.rows import Rows, as_json, as_they_came
from fleetbox_query.exports.mcap.sections import Chunk, Section
from fleetbox_query.exports.mcap.stamps import times_ns
from fleetbox_query.exports.mcap.topics import (
    PACKED,
    Encode,
    Topic,
    encoder_of,
    has_own_messages,
    is_attachment,
    topic_of,
    topic_of_events,
    topic_of_rows,
)
from fleetbox_query.getting import extension
from fleetbox_query.items import Item
from fleetbox_query.plan import FAR_US, Source
from fleetbox_query.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 256_000_000  # what a killed export makes again at most
CHUNK_BYTES = 1 << 20  # Foxglove's own choice: small enough to seek, large enough to pack
CUT_ROWS = 8_192  # rows of all streams between two cuts: streams lie beside one another in the file, not one by one
SHOW_EVERY = 1024  # items
ATTACHMENTS, METADATA = "mcap/attachments", "mcap/metadata"  # where ingest keeps what a file had besides messages
PARAMETERS = "parameters"  # a stream called so holds settings: each record is metadata too
EVENTS = "foxglove.Event"  # its channel's key; no stream is called like that
WHOLE = "whole.mcap"


def write_whole(job: Job) -> str:
    """Write everything, going on from the last part that was finished, and return the file's name."""
    if job.out.grown_bytes < int(job.state.get("size_bytes", 0)):  # somebody removed it
        job.begin_anew()
    compress = _compressor(job.options.compression)
    with job.out.grown(WHOLE, int(job.state.get("size_bytes", 0))) as file:
        section = Section(file, compress, job.options.compression)
        try:
            _Writing(job, file, section).run()
        finally:
            section.close()
    return WHOLE


class _Writing:
    """Carry rows and items from the reader to the file."""

    def __init__(self, job: Job, file: Growing, section: Section) -> None:
        self._job, self._file, self._section = job, file, section
        self._channels = Channels(section, job.state.setdefault("topics", {}))
        self._encoders: dict[str, Encode] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._alone = True
        self._plain, self._packed = Chunk(packed=False), Chunk(packed=True)
        self._part_bytes = self._items = 0

    def run(self) -> None:
        """Write until nothing is left."""
        job = self._job
        whole = job.prepared_whole().sources
        self._told = job.descriptions(whole)
        self._alone = len({source.robot for source in whole}) == 1
        if not self._file.size_bytes:
            self._begin(whole)
        own = {name: (chunks.CDR,) for name, said in self._told.items() if _as_rows(said)}
        chosen = {source.name for source in whole if source.fields is not None or source.computed}
        prepared = job.prepared(films=True, fields={name: one for name, one in own.items() if name not in chosen})
        session = job.selection.session
        mixing = Mixing(session.loop, Reading(session.stores, prepared), job.rounding)
        try:
            while (mixed := mixing.next_stretch()) is not None:
                self._stretch(mixed)
                if self._part_bytes >= PART_BYTES or mixed.reached_us == FAR_US:
                    job.tally.read(mixing.provenance)
                    self._end_part(mixed.reached_us)
        finally:
            mixing.close()
        self._end()

    def _begin(self, sources: Sequence[Source]) -> None:
        said = {"query": json.dumps(self._job.out.asked), "window_us": str(self._job.window)}
        self._section.raw(MAGIC + record(Header(profile="", library="fleetbox")))
        self._section.note("fleetbox", said)
        session = self._job.selection.session
        events, unasked = events_of(session, sources, session.where(self._job.selection.question))
        self._job.tally.note_missing(unasked)
        for event in events:
            channel = self._channels.of(EVENTS, topic_of_events)
            self._section.note(*metadata_of(event))
            self._plain.add(channel, (event.start_us * 1000,) * 2, message_of(event), 0)
        self._flush(self._plain)  # apart from what has other times

    def _stretch(self, mixed: Mixed) -> None:
        """Write rows and items side by side: both up to a cut, then up to the next."""
        given = [self._rows(name, table) for name, tables in mixed.tables.items() for table in tables]
        rows = [one for one in given if one is not None]
        cuts = _cuts([one for one, _ in rows], mixed.reached_us)
        item = next(mixed.items, None)
        for cut_us in cuts:
            while item is not None and item.time_us < cut_us:
                self._item(item)
                item = next(mixed.items, None)
                if self._packed.size_bytes >= CHUNK_BYTES:
                    self._flush(self._packed)
                    self._rows_before(rows, cut_us if item is None else min(cut_us, item.time_us))
            self._rows_before(rows, cut_us)
            self._job.show(cut_us if cut_us < FAR_US else self._job.window[1])

    def _rows(self, name: str, table: pa.Table) -> tuple[Rows, int] | None:
        said = self._told.get(name, {})
        payload = as_json
        if chunks.CDR in table.column_names and has_own_messages(said):
            payload, lost = as_they_came, table[chunks.CDR].null_count
            if lost:
                self._job.tally.skip(f"{name}: rows without the message they came in as", lost)
                table = table.filter(table[chunks.CDR].is_valid())
            if not table.num_rows:
                return None
        key = f"{name} time_series" if has_own_messages(said) else name
        channel = self._channels.of(key, lambda: topic_of_rows(name, table, said, self._alone))
        self._job.tally.count(name, table.num_rows, table.nbytes)

        def skip(why: str, count: int) -> None:
            self._job.tally.skip(f"{name}: {why}", count)

        return Rows(table, channel, payload, skip), channel

    def _rows_before(self, rows: list[tuple[Rows, int]], time_us: int) -> None:
        for one, channel in rows:
            for messages in one.before(time_us):
                self._plain.add_rows(channel, messages)
                self._part_bytes += len(messages.data)
                if self._plain.size_bytes >= CHUNK_BYTES:
                    self._flush(self._plain)

    def _item(self, item: Item) -> None:
        name = f"{item.robot}/{item.stream}"
        said = self._told.get(name, {})
        try:
            if item.stream == METADATA:
                said_there = json.loads(item.data or b"{}")
                self._section.note(said_there["name"], said_there["metadata"])
            elif is_attachment(item, said):
                self._section.attach(_attachment(item))
            else:
                self._messages(name, item, said)
                self._note_parameters(item)
        except (InputError, ValueError, KeyError) as error:
            self._job.tally.skip(f"{name} at {iso_time(item.time_us)}: {error}")
            return
        self._part_bytes += len(item.data or b"")
        self._job.tally.count(name, 1, len(item.data or b""))
        self._items += 1
        if not self._items % SHOW_EVERY:
            self._job.show(item.time_us)

    def _note_parameters(self, item: Item) -> None:
        if item.stream.rpartition("/")[2] != PARAMETERS or item.content_type != "application/json":
            return
        value = json.loads(item.data or b"{}")
        if isinstance(value, dict):
            told = {str(key): as_text(one) for key, one in value.items()}
            self._section.note(f"{item.robot}/{item.stream} {iso_time(item.time_us)}", told)

    def _messages(self, name: str, item: Item, said: dict[str, Any]) -> None:
        key = name if not has_own_messages(said) else f"{name} {item.type}"  # what did not decode came in as a file
        channel = self._channels.of(key, lambda: topic_of(name, item, said, self._alone))
        if key not in self._encoders:
            self._encoders[key] = encoder_of(item, self._channels.topics[key])
        chunk = self._packed if item.type in PACKED else self._plain
        log_ns, publish_ns = times_ns(item)
        sequence = item.labels.get("sequence", "")
        for offset_ns, data in self._encoders[key](item):
            times = (log_ns + offset_ns, publish_ns + offset_ns)
            chunk.add(channel, times, data, int(sequence) if sequence.isdecimal() else 0)
        if chunk is self._plain and chunk.size_bytes >= CHUNK_BYTES:
            self._flush(chunk)

    def _flush(self, chunk: Chunk) -> None:
        if chunk.pieces:
            self._section.chunk(chunk)
        if chunk.packed:
            self._packed = Chunk(packed=True)
        else:
            self._plain = Chunk(packed=False)

    def _end_part(self, reached_us: int) -> None:
        job = self._job
        self._flush(self._packed)
        self._flush(self._plain)
        summary = self._section.settle()
        number = sum(name.startswith("index-") for name in job.out.finished)
        with job.out.part(f"index-{number:05d}.mcap") as path:
            summary.save(path)
        job.state["topics"] = {name: asdict(topic) for name, topic in self._channels.topics.items()}
        job.state["size_bytes"] = self._file.size_bytes
        job.reached(reached_us)
        self._part_bytes = 0

    def _end(self) -> None:
        summary = Summary()
        for name in [name for name in self._job.out.finished if name.startswith("index-")]:
            summary.take(self._job.out.path_of(name))
        summary.schemas, summary.channels = self._channels.schemas, self._channels.channels
        self._section.raw(summary.end_at(self._file.size_bytes))
        self._section.settle()


class Channels:
    """Number the channels; a later attempt gives them the same numbers, so that what it wrote stands."""

    def __init__(self, section: Section, kept: dict[str, Any]) -> None:
        self.topics: dict[str, Topic] = {}
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self._section = section
        self._numbers: dict[str, int] = {}
        self._schema_numbers: dict[tuple[str, str, str], int] = {}
        for name, said in kept.items():
            self._register(name, Topic(**said))

    def of(self, name: str, topic: Callable[[], Topic]) -> int:
        """Return a channel's number; one that is new is written before its first message."""
        if name not in self._numbers:
            for one in self._register(name, topic()):
                self._section.raw(record(one))
        return self._numbers[name]

    def _register(self, name: str, topic: Topic) -> list[Any]:
        made: list[Any] = []
        key = (topic.schema_name, topic.schema_encoding, topic.schema_data)
        if key not in self._schema_numbers:
            number = self._schema_numbers[key] = len(self.schemas) + 1
            self.schemas[number] = Schema(number, topic.schema, topic.schema_encoding, topic.schema_name)
            made.append(self.schemas[number])
        number = self._numbers[name] = len(self.channels) + 1
        schema = self._schema_numbers[key]
        self.channels[number] = Channel(number, topic.topic, topic.encoding, dict(topic.metadata), schema)
        self.topics[name] = topic
        return [*made, self.channels[number]]


def _cuts(rows: list[Rows], reached_us: int) -> list[int]:
    import numpy as np

    if not rows:
        return [reached_us]
    times = np.sort(np.concatenate([one.times_us for one in rows]))
    return [*np.unique(times[CUT_ROWS::CUT_ROWS]).tolist(), reached_us]


def _attachment(item: Item) -> Attachment:
    log_ns, _ = times_ns(item)
    own = f"{item.stream}/{iso_time(item.time_us)}{extension(item.content_type)}"
    return Attachment(
        create_time=int(item.labels.get("create_ns", log_ns)),
        log_time=log_ns,
        name=item.labels.get("name", own),
        media_type=item.content_type,
        data=item.data or b"",
    )


def _as_rows(said: dict[str, Any]) -> bool:
    return has_own_messages(said) and said.get("type") == "time_series"


def _compressor(name: str) -> Callable[[bytes], bytes] | None:
    import lz4.frame  # type: ignore[import-untyped]
    import zstandard

    known: dict[str, Callable[[bytes], bytes] | None] = {
        "lz4": lz4.frame.compress,
        "zstd": zstandard.compress,
        "none": None,
    }
    if name not in known:
        raise InputError(f"compression {name!r} is not known", f"use one of {', '.join(known)}")
    return known[name]
