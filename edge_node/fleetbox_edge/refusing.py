"""Refuse what cannot be logged, saying what can."""

from __future__ import annotations

from fleetbox import episodes, events, orders, types
from fleetbox.errors import InputError
from fleetbox.measurements import HEALTH_STREAMS
from fleetbox.naming import check_stream

# Streams of `meta` that are ours alone.
OURS = frozenset({events.STREAM, episodes.STREAM, orders.ANSWERS, orders.POLICIES, "fleetbox"})


def check_name(stream: str, kind: types.Type) -> str:
    """Return the name of a stream that a program may log to; raises InputError for any other."""
    if not isinstance(stream, str):
        raise InputError(f"stream name {stream!r} is a {type(stream).__name__}", "use text, such as cam/front")
    if kind.cls != "meta" and stream.split("/", 1)[0] in OURS and stream not in HEALTH_STREAMS:
        first = stream.split("/", 1)[0]
        raise InputError(
            f"stream {stream!r} cannot be logged to: {first!r} and what is below it is fleetbox's own",
            "use another stream name; to keep what was recorded around a moment, call mark",
        )
    return check_stream(stream)


def no_utf8(stream: str, error: UnicodeEncodeError) -> InputError:
    """Return what to say of text that UTF-8 cannot hold."""
    return InputError(f"text for {stream!r} cannot be written as UTF-8: {error.reason}", "remove lone surrogates")
