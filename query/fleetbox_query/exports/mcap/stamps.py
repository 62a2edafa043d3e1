"""Write times as MCAP and Foxglove's messages have them."""

from __future__ import annotations

from typing import Any

from fleetbox_query.items import Item


def stamp(time_ns: int) -> Any:
    """Return a time as Foxglove's messages have it."""
    from foxglove import messages

    return messages.Timestamp(sec=time_ns // 1_000_000_000, nsec=time_ns % 1_000_000_000)


def times_ns(item: Item) -> tuple[int, int]:
    """Return (log time, publish time) in ns: the source's own where they are known, else the record's."""
    log_ns = _clock(item, "log_ns")
    log = item.time_us * 1000 if log_ns is None else log_ns
    publish_ns = _clock(item, "publish_ns")
    return log, log if publish_ns is None else publish_ns


def _clock(item: Item, name: str) -> int | None:
    held = (item.fields or {}).get(name, item.labels.get(name))
    return None if held is None else int(held)
