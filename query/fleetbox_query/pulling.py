"""Ask robots for what of a selection only they hold; what speaks to them is found by its entry point."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Any

from fleetbox.background import ended
from fleetbox.errors import FleetboxError, InputError
from fleetbox.selectors import Selector
from fleetbox_query.asking import spans_of
from fleetbox_query.question import Question, Span
from fleetbox_query.session import Session

GROUP = "fleetbox.pulling"  # `ask` and `wish`: the part of a robot's programs that leaves orders
MOST_WINDOWS = 200  # each is an event of its own on its robot; a thousand of them is a mistyped selection


@dataclass(frozen=True, slots=True)
class Ordered:
    """Tell what one robot was asked for: its window in µs, what that is, and how long its link takes.

    id: of the event that asks for it (`fleet.event(id)` tells its state), None where nothing was asked or nothing is
    left there. waits: the order lies at `asked_at` until the robot fetches it. exact: counted in its own store, else
    told by its ledger.
    """

    robot: str
    start_us: int
    stop_us: int
    records: int
    size_bytes: int
    minutes: float
    exact: bool
    id: str | None = None
    asked_at: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class PullWish:
    """Hold how windows are pulled: at most so much, thumbnails only, over which link, what for; or only estimated."""

    most: str | int = "500MB"
    preview: bool = False
    rate: str | None = None
    note: str = ""
    ask: bool = True


def pull(session: Session, question: Question, wish: PullWish) -> list[Ordered]:
    """Estimate, then ask every robot for every window; in a thread of its own, as a notebook's loop may run here."""
    if question.labels or question.when:
        raise InputError("pull() takes streams and time: a robot sends windows whole", "leave out where()")
    windows = _windows(session, question)
    if len(windows) > MOST_WINDOWS:
        raise InputError(f"{len(windows)} windows would be asked for", f"ask for at most {MOST_WINDOWS} at a time")
    ask, wish_of = _loaded("ask"), _loaded("wish")
    given = wish_of(wish.most, wish.preview, wish.rate, wish.note)
    with ThreadPoolExecutor(1) as thread:
        tell = _silent if wish.ask else None
        rows = ended(thread.submit(ask, session.fleet, windows, given, session.now_us(), tell))
    return [_ordered(row) for row in rows]


def _windows(session: Session, question: Question) -> list[tuple[Selector, int, int]]:
    where = session.where(question)
    spans, _ = session.run(spans_of(session.stores, session.fleet, question, where))
    return list(dict.fromkeys(_window(span, session.now_us()) for span in spans))


def _window(span: Span, now_us: int) -> tuple[Selector, int, int]:
    if span.start_us is None:
        raise InputError("pull() has no beginning", 'say from when on, such as .last("10m") or .between(a, b)')
    stop_us = now_us if span.stop_us is None else min(span.stop_us, now_us)
    return replace(span.selector, field=None), span.start_us, stop_us


def _ordered(row: dict[str, Any]) -> Ordered:
    return Ordered(
        row["robot"], row["start_us"], row["stop_us"], row["records"], row["bytes"], row["minutes"], row["exact"],
        row["id"], row.get("asked_at") or "", bool(row.get("order")),
    )  # fmt: skip


def _loaded(name: str) -> Any:
    found: Sequence[Any] = tuple(entry_points(group=GROUP, name=name))
    if not found:
        raise FleetboxError("nothing here can leave orders for robots", "install fleetbox anew: pip install fleetbox")
    return found[0].load()


def _silent(text: str) -> None:
    """Take what a terminal would be told: the rows say it."""
