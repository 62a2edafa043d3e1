"""Write the items of an export into MCAP parts, and say after each how far it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox_query.exports.ahead import Ahead
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.mcap.joining import join
from fleetbox_query.exports.mcap.stamps import times_ns
from fleetbox_query.exports.mcap.topics import Encode, Topic, encoder_of, has_own_messages, is_attachment, topic_of
from fleetbox_query.getting import extension
from fleetbox_query.items import Item
from fleetbox_query.plan import FAR_US

PART_BYTES = 256_000_000  # what a killed export makes again at most
CHUNK_BYTES = 1 << 20  # Foxglove's own choice: small enough to seek, large enough to pack
SHOW_EVERY = 1024  # items
ATTACHMENTS, METADATA = "mcap/attachments", "mcap/metadata"  # where ingest keeps what a file had besides messages


def write_parts(job: Job) -> str:
    """Write everything, part by part, and return the whole file's name."""
    writing = _Writing(job)
    writing.run()
    parts = [name for name in job.out.finished if name.startswith("part-")]
    if len(parts) == 1:
        return parts[0]
    with job.out.part("whole.mcap") as path:
        join([job.out.path_of(name) for name in parts], path)
    return "whole.mcap"


class _Writing:
    """Carry items from the reader to the parts."""

    def __init__(self, job: Job) -> None:
        self._job = job
        # Channels have the same numbers in every part, so that joined parts need not be rewritten.
        self._topics = {name: Topic(**said) for name, said in job.state.setdefault("topics", {}).items()}
        self._encoders: dict[str, Encode] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._alone = True

    def run(self) -> None:
        """Write until nothing is left."""
        job = self._job
        whole = job.prepared_whole().sources
        self._told = job.descriptions(whole)
        self._alone = len({source.robot for source in whole}) == 1
        own = {name: (chunks.CDR,) for name, said in self._told.items() if _as_rows(said)}
        chosen = {source.name for source in whole if source.fields is not None}
        prepared = job.prepared(films=True, fields={name: one for name, one in own.items() if name not in chosen})
        records = job.records(prepared)
        try:
            items = Ahead(records)
            while not items.ended or not any(name.startswith("part-") for name in job.out.finished):
                self._part(items)
                job.tally.read(records.provenance)
                job.state["topics"] = {name: asdict(topic) for name, topic in self._topics.items()}
                job.reached(FAR_US if items.ended else items.next_us)
        finally:
            records.close()

    def _part(self, items: Ahead) -> None:
        job = self._job
        number = sum(name.startswith("part-") for name in job.out.finished)
        with job.out.part(f"part-{number:05d}.mcap") as path, _opened(path, job.options.compression) as writer:
            part = _Part(writer, self._topics)
            if not number:
                writer.add_metadata("fleetbox", {"query": json.dumps(job.out.asked), "window_us": str(job.window)})
            last_us, count = -1, 0
            while not items.ended and (part.size_bytes < PART_BYTES or items.next_us == last_us):
                item = items.take()
                last_us, count = item.time_us, count + 1
                self._write(part, item)
                if not count % SHOW_EVERY:
                    job.show(item.time_us)

    def _write(self, part: _Part, item: Item) -> None:
        name = f"{item.robot}/{item.stream}"
        said = self._told.get(name, {})
        try:
            if item.stream == METADATA:
                said_there = json.loads(item.data or b"{}")
                part.writer.add_metadata(said_there["name"], said_there["metadata"])
            elif is_attachment(item, said):
                self._attach(part, item)
            else:
                self._messages(part, name, item, said)
        except (InputError, ValueError, KeyError) as error:
            self._job.tally.skip(f"{name} at {iso_time(item.time_us)}: {error}")
            return
        self._job.tally.count(name, 1, len(item.data or b"") or 8 * len(item.fields or ()))

    def _messages(self, part: _Part, name: str, item: Item, said: dict[str, Any]) -> None:
        key = name if not has_own_messages(said) else f"{name} {item.type}"  # what did not decode came in as a file
        if key not in self._topics:
            self._topics[key] = topic_of(name, item, said, self._alone)
        if key not in self._encoders:
            self._encoders[key] = encoder_of(item, self._topics[key])
        log_ns, publish_ns = times_ns(item)
        sequence = item.labels.get("sequence", "")
        for offset_ns, data in self._encoders[key](item):
            times = (log_ns + offset_ns, publish_ns + offset_ns)
            part.add(key, *times, data, int(sequence) if sequence.isdecimal() else 0)

    def _attach(self, part: _Part, item: Item) -> None:
        log_ns, _ = times_ns(item)
        own = f"{item.stream}/{iso_time(item.time_us)}{extension(item.content_type)}"
        part.writer.add_attachment(
            create_time=int(item.labels.get("create_ns", log_ns)),
            log_time=log_ns,
            name=item.labels.get("name", own),
            media_type=item.content_type,
            data=item.data or b"",
        )
        part.size_bytes += len(item.data or b"")


class _Part:
    """Hold one part's writer and its channels' numbers."""

    def __init__(self, writer: Any, topics: dict[str, Topic]) -> None:
        self.writer = writer
        self.size_bytes = 0
        self._topics = topics
        self._channels: dict[str, int] = {}
        self._schemas: dict[tuple[str, str, str], int] = {}
        for name in topics:
            self._register(name)

    def add(self, name: str, log_ns: int, publish_ns: int, data: bytes, sequence: int) -> None:
        """Add a message to a stream's channel."""
        if name not in self._channels:
            self._register(name)
        self.writer.add_message(self._channels[name], log_ns, data, publish_ns, sequence)
        self.size_bytes += len(data)

    def _register(self, name: str) -> None:
        topic = self._topics[name]
        key = (topic.schema_name, topic.schema_encoding, topic.schema_data)
        if key not in self._schemas:
            self._schemas[key] = self.writer.register_schema(topic.schema_name, topic.schema_encoding, topic.schema)
        self._channels[name] = self.writer.register_channel(
            topic.topic, topic.encoding, self._schemas[key], dict(topic.metadata)
        )


def _as_rows(said: dict[str, Any]) -> bool:
    return has_own_messages(said) and said.get("type") == "time_series"


@contextmanager
def _opened(path: Path, compression: str) -> Iterator[Any]:
    from mcap.writer import CompressionType, Writer

    known = {"lz4": CompressionType.LZ4, "zstd": CompressionType.ZSTD, "none": CompressionType.NONE}
    if compression not in known:
        raise InputError(f"compression {compression!r} is not known", f"use one of {', '.join(known)}")
    with path.open("wb") as file:
        writer: Any = Writer(file, chunk_size=CHUNK_BYTES, compression=known[compression])
        writer.start(library="fleetbox")
        yield writer
        writer.finish()
