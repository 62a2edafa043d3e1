"""Read pictures from the videos that a robot made of them while it was idle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fleetbox.labels import Labels
from fleetbox.naming import SMALL, VIDEO, parent_of
from fleetbox.records import Record
from fleetbox.types import video
from fleetbox_query.inventory import Holding
from fleetbox_query.plan import Source, make_sources
from fleetbox_query.question import Span
from fleetbox_query.schemas import CHUNKED, Schema

JPEG = "image/jpeg"
FROM = "made_from"  # label of a picture that is no record of its own: which bytes it was made from
BOUND_US = 10_000_000  # the most that a video made of pictures spans
FILM = Schema(CHUNKED, chunk_bound_us=BOUND_US)  # it is looked back for as for a chunk
OF_VIDEO = frozenset({"rows", "t_end", "xxh", "type", "keep", "policy"})  # labels that say nothing of one picture


@dataclass(frozen=True, slots=True)
class Picture:
    """Hold a frame as JPEG, its time in µs, and the labels that its picture had as far as they are known."""

    time_us: int
    labels: Labels
    data: bytes


def film_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the spans that choose the videos made of what spans choose; one that chooses videos itself has none."""
    found = []
    for span in spans:
        selector = span.selector
        if parent_of(selector.stream)[1] not in (*SMALL, VIDEO) and not selector.stream.endswith("**"):
            found.append(replace(span, selector=replace(selector, stream=f"{selector.stream}/{VIDEO}")))
    return tuple(found)


def film_sources(holdings: Sequence[Holding], spans: Sequence[Span]) -> tuple[Source, ...]:
    """Return the sources that read videos as pictures, one for each stream that has any."""
    films = [one for one in holdings if parent_of(one.stream)[1] == VIDEO]
    schemas = {one.key: FILM for one in films}
    return tuple(replace(source, film=True) for source in make_sources(films, spans, schemas))


def pictures_of(source: Source, record: Record) -> Iterator[Picture]:
    """Yield the pictures of a video within the source's windows; raises InputError for what does not decode."""
    more = video.more_of(record.data)
    shared = {name: value for name, value in record.labels.items() if name not in OF_VIDEO}
    for at, (offset_us, frame) in enumerate(video.frames(record.data)):
        time_us = record.time_us + offset_us
        if source.covers(time_us):
            labels = {**shared, **_own(more, at), FROM: VIDEO}
            yield Picture(time_us, labels, video.as_jpeg(frame))


def _own(more: Mapping[str, object], at: int) -> Labels:
    """Return the labels of one picture that stand beside the video."""
    found = {}
    for name in ("seq", "log_ns", "publish_ns", "header_ns"):
        values = more.get(name)
        if isinstance(values, list) and at < len(values) and values[at] is not None:
            found[name] = str(values[at])
    return found
