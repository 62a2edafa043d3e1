"""Ingest one MCAP file: read it, decode it, and write it into a store's kept bucket."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import xxhash
from mcap.records import Attachment, Channel, Message, Metadata, Schema

from fleetbox import chunks, types
from fleetbox.blobs import Store
from fleetbox.errors import InputError, StoreRefused
from fleetbox.labels import Labels, check_user_labels
from fleetbox.naming import check_robot, stream_from_topic
from fleetbox.records import Draft
from fleetbox_edge.ingest.decoding import decoder_for
from fleetbox_edge.ingest.gather import Gatherer, Source
from fleetbox_edge.ingest.mcap import Item, McapFile, Oversized, check_is_mcap
from fleetbox_edge.ingest.report import IngestReport, StreamCount
from fleetbox_edge.ingest.stamps import Stamps
from fleetbox_edge.ingest.writing import Full, KeptWriter
from fleetbox_edge.release import INGESTED
from fleetbox_edge.schemas import KEY, grown

ATTACHMENTS = "mcap/attachments"
METADATA = "mcap/metadata"
_HASH_BYTES = 1 << 20  # read at once while hashing
_PROGRESS_EVERY = 256  # messages: often enough for a bar, seldom enough to cost nothing

OnProgress = Callable[[int], None]


async def ingest_file(
    path: Path | str,
    store: Store,
    bucket: str,
    robot: str,
    *,
    clock: Literal["log", "header"] = "log",
    labels: Mapping[str, object] | None = None,
    on_progress: OnProgress | None = None,
) -> IngestReport:
    """Write every message of an MCAP file into a bucket that exists, with its original times.

    clock: which of a message's times, floored to µs, is the record's key; all of them are kept
    in ns. on_progress gets the bytes of the file read so far. The same file ingested again finds
    its own records and adds nothing.

    Raises InputError for a file that is no MCAP or labels that won't do, before anything is
    written; a damaged file or a full bucket is told in the report. Store errors pass through.
    """
    path = Path(path)
    check_is_mcap(path)
    user_labels = check_user_labels(labels or {})
    if clock not in ("log", "header"):
        raise InputError(f"clock {clock!r} is not known", "use 'log' or 'header'")
    session = f"{INGESTED}{_content_hash(path)}" + ("-header" if clock == "header" else "")
    source = Source(check_robot(robot), session, clock, user_labels)
    report = IngestReport(path.name, robot, bucket, session, clock)
    with McapFile(path) as file:
        await _Ingest(store, bucket, source, report).run(file, on_progress)
    return report


class _Ingest:
    """Carry one file's records from the reader to the store."""

    def __init__(self, store: Store, bucket: str, source: Source, report: IngestReport) -> None:
        self._store = store
        self._bucket = bucket
        self._source = source
        self._report = report
        self._writer = KeptWriter(store, bucket, report)
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._by_channel: dict[int, Gatherer] = {}
        self._by_key: dict[tuple[str, str, str, bytes], Gatherer] = {}
        self._names: set[str] = {ATTACHMENTS, METADATA}
        self._described: dict[str, tuple[Gatherer, dict[str, Any]]] = {}
        self._metadata: list[Metadata] = []
        self._attachment_keys = Stamps()
        self._first_us: int | None = None

    async def run(self, source: McapFile, on_progress: OnProgress | None) -> None:
        """Read to the end or the damage, then close every chunk; a full bucket stops it early."""
        try:
            for item in source.items():
                await self._writer.add(self._take(item))
                if source.messages % _PROGRESS_EVERY == 0:
                    await asyncio.sleep(0)  # decoding is all work: let others in the loop have a turn
                    if on_progress:
                        on_progress(source.position)
            for gatherer in self._by_key.values():
                await self._writer.add(gatherer.close())
            await self._writer.add(self._metadata_drafts())
            await self._writer.finish()
        except Full as full:
            self._report.stopped = f"the bucket takes no more: {full}"
        self._report.messages = source.messages
        self._report.damage = source.damage()
        await self._describe()

    def _take(self, item: Item) -> list[Draft]:
        record = item.record
        if isinstance(record, Message):
            return self._message(record, item.suspect)
        if isinstance(record, Schema):
            self._schemas[record.id] = record
        elif isinstance(record, Channel):
            self._channels.setdefault(record.id, record)
        elif isinstance(record, Attachment):
            return [self._attachment(record)]
        elif isinstance(record, Metadata):
            self._metadata.append(record)
        elif isinstance(record, Oversized):
            self._report.fail(f"{ATTACHMENTS}: an attachment of {record.size_bytes:,} bytes is larger than one record")
        return []

    def _message(self, message: Message, suspect: bool) -> list[Draft]:
        gatherer = self._by_channel.get(message.channel_id)
        if gatherer is None:
            channel = self._channels.get(message.channel_id)
            if channel is None:
                self._report.fail(f"a message of channel {message.channel_id}, which the file does not define")
                return []
            gatherer = self._by_channel[message.channel_id] = self._gatherer(channel)
        if self._first_us is None:
            self._first_us = message.log_time // 1000
        return gatherer.take(message, suspect)

    def _gatherer(self, channel: Channel) -> Gatherer:
        """Return the stream of a channel; channels alike in topic and schema share one."""
        schema = self._schemas.get(channel.schema_id)
        key = (channel.topic, channel.message_encoding, schema.name if schema else "", schema.data if schema else b"")
        if key not in self._by_key:
            stream = self._free_name(channel)
            decoder = decoder_for(channel, schema)
            count = StreamCount(channel.topic, schema.name if schema else "", decoder.type)
            self._report.streams[stream] = count
            gatherer = Gatherer(stream, decoder, self._source, self._report, count)
            self._described[stream] = gatherer, _description(channel, schema, decoder.type)
            self._by_key[key] = gatherer
        return self._by_key[key]

    def _free_name(self, channel: Channel) -> str:
        """Name a stream after the topic; topics that would fall together are told apart by a number."""
        try:
            name = stream_from_topic(channel.topic)
        except InputError:
            name = f"mcap/channel-{channel.id}"
        free, number = name, 2
        while free in self._names:
            free, number = f"{name}_{number}", number + 1
        self._names.add(free)
        return free

    def _attachment(self, attachment: Attachment) -> Draft:
        key_us = self._attachment_keys.take(attachment.log_time // 1000)
        labels = {"log_ns": str(attachment.log_time), "create_ns": str(attachment.create_time)}
        labels |= _legal("name", attachment.name)
        media_type = attachment.media_type if re.fullmatch(r"[\w.+-]+/[\w.+-]+", attachment.media_type) else None
        content_type = media_type or types.get("file").content_type
        return self._plain(ATTACHMENTS, key_us, attachment.data, "file", labels, content_type)

    def _metadata_drafts(self) -> list[Draft]:
        """Return the file's metadata as records at the time of its first message: they have none of their own."""
        if self._first_us is None:
            if self._metadata:
                self._report.fail(f"{METADATA}: {len(self._metadata)} records: without a message they have no time")
            return []
        keys = Stamps()
        kind = types.get("json")
        drafts = []
        for metadata in self._metadata:
            data = kind.encode({"name": metadata.name, "metadata": metadata.metadata})
            key_us = keys.take(self._first_us)
            labels = _legal("name", metadata.name)
            drafts.append(self._plain(METADATA, key_us, data, "json", labels, kind.content_type))
        return drafts

    def _plain(self, stream: str, key_us: int, data: bytes, kind: str, labels: Labels, content_type: str) -> Draft:
        count = self._report.streams.setdefault(stream, StreamCount("", "", kind))
        own = {
            "robot": self._source.robot,
            "type": kind,
            "session": self._source.session,
            "seq": str(count.records),
            "xxh": xxhash.xxh3_64_hexdigest(data),
        }
        for counted in (count, self._report):
            counted.records += 1
            counted.bytes += len(data)
        count.first_us = key_us if count.first_us is None else min(count.first_us, key_us)
        count.last_us = key_us if count.last_us is None else max(count.last_us, key_us)
        return Draft(stream, key_us, data, {**self._source.labels, **labels, **own}, content_type)

    async def _describe(self) -> None:
        """Attach each stream's schema, so that readers know its fields and the file can be written back."""
        for stream, count in self._report.streams.items():
            if count.records:
                value = self._schema(stream, count)
                try:
                    if "chunk_bound_us" in value:  # another file may have been taken in under this name
                        stored = (await self._store.attachments(self._bucket, stream)).get(KEY, {})
                        value = grown(stored, value)
                    await self._store.write_attachment(self._bucket, stream, KEY, value)
                except StoreRefused as refusal:
                    self._report.fail(f"{stream}: its schema: {refusal.message}")

    def _schema(self, stream: str, count: StreamCount) -> dict[str, Any]:
        if stream in self._described:
            gatherer, description = self._described[stream]
            return {**description, "robot": self._source.robot, "fields": gatherer.fields}
        content_type = types.get(count.type).content_type
        return {"type": count.type, "content_type": content_type, "robot": self._source.robot, "fields": {}}


def _description(channel: Channel, schema: Schema | None, type_name: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": type_name,
        "content_type": types.get(type_name).content_type,
        "topic": channel.topic,
        "encoding": channel.message_encoding,
        "channel_metadata": dict(channel.metadata),
    }
    if type_name == "time_series":
        described["chunk_bound_us"] = chunks.BOUND_US
    if schema is not None:
        described |= {"schema_name": schema.name, "schema_encoding": schema.encoding} | _schema_data(schema.data)
    return described


def _schema_data(data: bytes) -> dict[str, str]:
    try:
        return {"schema_data": data.decode()}
    except UnicodeDecodeError:
        return {"schema_data": base64.b64encode(data).decode(), "schema_data_as": "base64"}


def _legal(name: str, value: str) -> Labels:
    """Return a label of the value as far as labels can hold it."""
    text = re.sub(r"[^\x20-\x7e]|[,\"]", "_", value).strip()[:200]
    return {name: text} if text else {}


def _content_hash(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while piece := file.read(_HASH_BYTES):
            digest.update(piece)
    return digest.hexdigest()
