"""Keep a census' place in a robot's records in a file: written whole, lost without harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, cast

import structlog

from fleetbox.disk import write_whole
from fleetbox.naming import Class
from fleetbox_replication.census.owing import Owing
from fleetbox_replication.census.watching import Seen, Walk, Watched

log = structlog.get_logger()

VERSION = 1
Stream = tuple[Class, str]


@dataclass(slots=True)
class Notes:
    """Hold what is known of one robot: its streams, what other places told of it and how far that was read."""

    streams: dict[Stream, Watched] = field(default_factory=dict)
    read_us: dict[str, int] = field(default_factory=dict)  # by entry of pages
    owing: Owing = field(default_factory=Owing)

    @property
    def turned_us(self) -> dict[Stream, int]:
        """Return up to where in time, in µs, streams were seen to lose their oldest records."""
        return {key: item.turned_us for key, item in self.streams.items() if item.turned_us}


class Notebook:
    """Load and save the notes on one robot; what cannot be read is begun anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = self._said = ""

    def load(self) -> Notes:
        """Return what was saved last, or nothing."""
        try:
            notes = _unpacked(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Notes()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("census begins anew", file=str(self._path), why=str(error))
            return Notes()
        return notes

    def save(self, notes: Notes) -> None:
        """Replace the file if anything has changed; a disk that will not take it costs a listing at the next start."""
        text = json.dumps(_packed(notes), separators=(",", ":"))
        if text == self._saved:
            return
        try:
            write_whole(self._path, text)
        except OSError as error:
            if str(error) != self._said:
                log.warning("census cannot keep its notes", file=str(self._path), why=str(error))
            self._said = str(error)
        else:
            self._saved, self._said = text, ""


def _packed(notes: Notes) -> dict[str, Any]:
    return {
        "version": VERSION,
        "streams": [[*key, _packed_stream(item)] for key, item in sorted(notes.streams.items())],
        "read_us": notes.read_us,
        "owing": notes.owing.packed(),
    }


def _packed_stream(item: Watched) -> list[Any]:
    return [
        item.told_us, [astuple(look) for look in item.looks], astuple(item.base) if item.base else None, item.told,
        astuple(item.walk) if item.walk else None, sorted(item.again), item.searched, item.searched_us, item.turned_us,
    ]  # fmt: skip


def _unpacked(value: Mapping[str, Any]) -> Notes:
    if value["version"] != VERSION:
        return Notes()
    streams = {(cast(Class, cls), name): _unpacked_stream(item) for cls, name, item in value["streams"]}
    return Notes(streams, dict(value["read_us"]), Owing.unpacked(value["owing"]))


def _unpacked_stream(item: list[Any]) -> Watched:
    told_us, looks, base, told, walk, again, searched, searched_us, turned_us = item
    return Watched(
        told_us, tuple(Seen(*look) for look in looks), Seen(*base) if base else None, told,
        Walk(*walk) if walk else None, frozenset(again), searched, searched_us, int(turned_us),
    )  # fmt: skip
