"""Tell a pull in words: what it costs before it is asked for, what came of it after."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbox.cli.output import size_text
from fleetbox.events import Event
from fleetbox.time import show_duration, show_time
from fleetbox_edge.pulling.estimating import Estimate
from fleetbox_edge.pulling.order import PullOrder
from fleetbox_edge.pulling.pulling import Pulled


def cost(one: Estimate) -> str:
    """Return the line that a person decides by: "r7: 3.5 GB, about 93 min at 5 Mbit/s; thumbnails 14 MB"."""
    if not one.source:
        return f"{one.robot}: nobody who answers knows how much it is"
    size, about = one.size, "" if one.exact else "about "
    text = f"{one.robot}: {about}{size_text(size.bytes)}, about {_minutes(one.minutes)} at {one.rate}"
    rest = [f"thumbnails {size_text(one.thumbnails.bytes)}"] if one.thumbnails.bytes != size.bytes else []
    rest += [f"{size_text(size.before_bytes)} more travel already"] if size.before_bytes else []
    return "; ".join([text, *rest])


def warnings(one: Estimate, order: PullOrder) -> Iterator[str]:
    """Yield what a person should know before saying yes."""
    if one.source and not one.exact:
        until = f"; heard of until {show_time(one.told_until_us)}" if one.told_until_us else ""
        yield f"{one.robot} cannot be asked from here: the figures are its ledger's at {one.source}{until}"
    if one.exact and not one.size.records:
        why = "all of it was selected before" if one.size.before_records else "no stream has any of it"
        yield f"{one.robot}: nothing to ask for: {why}"
    oldest_us = one.size.oldest_us
    if one.exact and oldest_us is not None and oldest_us > order.start_us:
        yield f"{one.robot}: not every stream reaches back to the start: some begin at {show_time(oldest_us)}"
    if "assumed" in one.rate.source and one.size.bytes:
        yield f"{one.robot}: how fast its link is, is not known: {one.rate} are {one.rate.source}"


def outcome(one: Pulled) -> str:
    """Return what became of the order of one robot."""
    event = one.event
    if event.state != "labelled":
        where = f"order at {one.raised.at}, until it is fetched" if one.raised.waits else "its labeler ships it now"
        return f"{event.id}  {event.robot}: {where}"
    kept, here = sum(event.labelled.values()), sum(one.arrived.values())
    return f"{event.id}  {event.robot}: {kept:,} records selected, {here:,} at {one.at}"


def cut_text(event: Event) -> str:
    """Say what of the window the ring no longer held, "" when it held all of it."""
    cut = event.cut_streams()
    if not cut:
        return ""
    gone = [stream for stream, oldest_us in cut.items() if oldest_us > event.stop_us]
    wanted_us = event.stop_us - event.start_us
    if len(gone) == len(cut) and not sum(event.labelled.values()):
        return f"{event.robot}: nothing of the window is left: its ring begins at {show_time(min(cut.values()))}"
    left_us = event.stop_us - min(event.stop_us, max(cut.values()))
    text = f"{event.robot}: of the {show_duration(wanted_us)} asked for, {len(cut)} streams begin later, "
    return f"{text}the shortest holds {show_duration(left_us)}"


def _minutes(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 2 else f"{minutes:.0f} min"
