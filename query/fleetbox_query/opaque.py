"""Tell streams whose records are bytes, such as pictures and videos, from those that a table of values is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fleetbox.errors import InputError, NotFound
from fleetbox_query.plan import Source
from fleetbox_query.question import Question
from fleetbox_query.reading import Prepared, Reading
from fleetbox_query.session import Session

TYPES = frozenset({"images", "video", "audio", "pointcloud", "file", "zip", "tar", "safetensors", "vuer_msg"})
CLASSES = ("media", "small")  # what lies there is such, should its schema not say
MOST_NAMED = 3  # streams named in an error


def reading_of_rows(session: Session, question: Question, verb: str) -> Reading:
    """Return a reading of what is recorded, without pictures that are kept as video only.

    Raises InputError, and not NotFound, where nothing else was asked for.
    """
    try:
        return Reading(session.stores, session.run(session.prepare(question)))
    except NotFound as error:
        films = _films(session, question)
        if not films:
            raise
        raise InputError(
            f"{_named(films)}: kept as video only, which {verb} does not open",
            "use images() or records() for the pictures, frames() or arrow() for a short time of them; "
            f"{films[0].stream}/video is the video itself",
        ) from error


def reading_of_values(session: Session, question: Question, verb: str) -> Reading:
    """Return a reading of streams that have values; raises InputError where all of them hold bytes."""
    reading = reading_of_rows(session, question, verb)
    prepared = reading.prepared
    kept = tuple(source for source in prepared.sources if not is_opaque(source))
    if prepared.sources and not kept:
        kinds = sorted({source.schema.type or source.cls for source in prepared.sources})
        raise InputError(
            f"{_named(prepared.sources)}: {verb} takes values, and {', '.join(kinds)} have none",
            "images() gives pictures, records() any bytes; `fleetbox ls` shows streams with fields",
        )
    return Reading(session.stores, replace(prepared, sources=kept)) if len(kept) < len(prepared.sources) else reading


def is_opaque(source: Source) -> bool:
    """Tell whether a stream's records are bytes without values."""
    return source.schema.type in TYPES or (not source.schema.type and source.cls in CLASSES)


def _films(session: Session, question: Question) -> list[Source]:
    try:
        found: Prepared = session.run(session.prepare(question, films=True))
    except NotFound:
        return []
    return [source for source in found.sources if source.film]


def _named(sources: Iterable[Source]) -> str:
    names = list(dict.fromkeys(source.name for source in sources))
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
