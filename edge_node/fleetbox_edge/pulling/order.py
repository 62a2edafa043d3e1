"""Turn what a pull asks for into an event: a window of the past, as fine as asked."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox.errors import InputError
from fleetbox.events import Event, new_event
from fleetbox.naming import SMALL, THUMBNAIL, parent_of
from fleetbox.selectors import Selector
from fleetbox.time import show_duration
from fleetbox_edge.globs import check_glob

KIND = "pull"
AHEAD_US = 1_000_000  # µs; clocks of a robot and of whoever asks differ by less, a typed future by more
MAX_BYTES = 500_000_000  # 13 minutes at 5 Mbit/s: what nobody regrets having asked for by mistake


@dataclass(frozen=True, slots=True)
class PullOrder:
    """Hold what one pull asks for; times in µs, [start_us, stop_us]. `rate` is what the link does, in bytes a second.

    preview: only the thumbnails of pictures.
    """

    selector: Selector
    start_us: int
    stop_us: int
    preview: bool = False
    max_bytes: int = MAX_BYTES
    rate: int | None = None
    note: str = ""


def check_order(order: PullOrder, now_us: int) -> PullOrder:
    """Return the order; raise InputError for a window that ends before it begins, or has not been recorded yet."""
    if order.selector.field is not None:
        step = f"pull {order.selector.robot}/{order.selector.stream}; `fleetbox query` shows single fields"
        raise InputError(f"{order.selector} names a field: records travel whole", step)
    check_glob(order.selector.stream)
    if order.start_us >= order.stop_us:
        raise InputError("--start does not lie before --stop", "swap them, or give another --stop")
    if order.stop_us > now_us + AHEAD_US:
        ahead = show_duration(order.stop_us - now_us)
        step = "`fleetbox mark --post` keeps what is still to come"
        raise InputError(f"--stop is {ahead} ahead: only what was recorded can be pulled", step)
    return order


def pull_event(order: PullOrder, robot: str, by: str) -> Event:
    """Return the event that asks one robot for the window; its policy is the robot's own to fill in."""
    stream = order.selector.stream
    event = Event("", KIND, robot, order.stop_us, order.start_us, order.stop_us, (stream,), order.note, by=by)
    return small(event) if order.preview else new_event(event)


def small(event: Event) -> Event:
    """Return the event that asks for the thumbnails alone of what the event's globs name."""
    globs = tuple(glob if parent_of(glob)[1] in SMALL else f"{glob}/{THUMBNAIL}" for glob in event.streams)
    return new_event(
        Event(
            "", event.kind, event.robot, event.time_us, event.start_us, event.stop_us, globs, event.note,
            by=event.by, resolution="thumbnail",
        )
    )  # fmt: skip
