"""Estimate and ask for past windows of several streams at once: what the researchers' `Selection.pull` runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings
from fleetbox_edge.awaiting import Tell
from fleetbox_edge.pulling.estimating import Estimate
from fleetbox_edge.pulling.order import PullOrder, check_order
from fleetbox_edge.pulling.pulling import check_size, check_streams, estimates, pull

Window = tuple[Selector, int, int]  # which streams (no field), from when to when, in µs


def pull_windows(
    fleet: FleetSettings, windows: Sequence[Window], wish: PullOrder, now_us: int, tell: Tell | None
) -> list[dict[str, Any]]:
    """Return a row per robot and window: what it would send, how long that takes, and the order left for it.

    wish: preview, max_bytes over all windows, rate and note; its own window says nothing. tell None: only estimate.
    Raises InputError when all of it is more than max_bytes, NotFound when no robot has such streams, Unreachable when
    nobody takes an order.
    """
    orders = [check_order(_order(wish, window), now_us) for window in windows]
    found = [(order, estimate) for order in orders for estimate in estimates(fleet, order)]
    if all(one.exact and not one.size.streams for _, one in found):
        for order, one in found:
            check_streams(fleet, order, [one])
    rows = [{"start_us": order.start_us, "stop_us": order.stop_us, **one.as_dict(), "id": None} for order, one in found]
    if tell is None:
        return rows
    check_size(wish, [estimate for _, estimate in found])
    for row, (order, estimate) in zip(rows, found, strict=True):
        if _has_some(estimate):
            row |= pull(fleet, order, [estimate.robot], tell)[0].as_dict()
    return rows


def _order(wish: PullOrder, window: Window) -> PullOrder:
    selector, start_us, stop_us = window
    return PullOrder(selector, start_us, stop_us, wish.preview, wish.max_bytes, wish.rate, wish.note)


def _has_some(estimate: Estimate) -> bool:
    """Tell whether asking is of use: a store that answers knows, a ledger may lag behind."""
    return bool(estimate.size.records) or not estimate.exact


def wish_of(max_size: str | int, preview: bool, rate: str | None, note: str) -> PullOrder:
    """Return what a caller wishes of all windows; raises InputError for a size or rate that is none."""
    from fleetbox.errors import InputError
    from fleetbox.settings.values import parse_rate, parse_size

    try:
        most = parse_size(max_size) if isinstance(max_size, str) else int(max_size)
        return PullOrder(Selector(), 0, 0, preview, most, None if rate is None else parse_rate(rate), note)
    except ValueError as error:
        raise InputError(f"pull: {error}", "write sizes like 500MB and rates like '5 Mbit/s'") from None
