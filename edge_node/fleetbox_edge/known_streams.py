"""Ask the fleet which streams a robot has recorded, with what a lint and a plan need to know of each."""

from __future__ import annotations

from collections.abc import Iterable

from fleetbox.naming import RING_CLASSES
from fleetbox.settings import FleetSettings
from fleetbox_edge.linting import KnownStream
from fleetbox_query.fleet import connect
from fleetbox_query.streams import Stream


def known_streams(fleet: FleetSettings, robot: str) -> list[KnownStream]:
    """Return a robot's streams, ordered by name, from whichever places answer.

    Raises NotFound for a robot nobody knows, Unreachable and AccessDenied when no place answers.
    """
    with connect(fleet) as asked:
        found = asked.streams(f"{robot}/**")
    return described(stream for stream in found if stream.cls in RING_CLASSES)


def described(streams: Iterable[Stream]) -> list[KnownStream]:
    """Return streams as a lint knows them; one that lies in two classes counts where it has more records."""
    named: dict[str, Stream] = {}
    for stream in sorted(streams, key=lambda stream: stream.records):
        named[stream.stream] = stream
    return [_described(named[name]) for name in sorted(named)]


def _described(stream: Stream) -> KnownStream:
    fields = {name: str(said.get("dtype", "")) for name, said in stream.fields.items() if "shape" not in said}
    lists = {name: "list" for name, said in stream.fields.items() if "shape" in said}
    return KnownStream(stream.stream, stream.cls, stream.type, {**fields, **lists}, stream.hz, stream.bytes_per_s)
