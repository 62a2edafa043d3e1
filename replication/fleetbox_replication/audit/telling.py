"""Tell the books in words: a line per robot that can be read over the phone, and what to do about each trouble."""

from __future__ import annotations

from fleetbox.time import show_time
from fleetbox_replication.audit.rows import Books, Row
from fleetbox_replication.reconcile.standings import FLOOR

STALE_US = 120_000_000  # µs; a place at work writes a page a minute


def summary(books: Books, robot: str) -> str:
    """Return the balance of one robot in one line."""
    hops = books.hops(robot)
    if not hops:
        return f"{robot}: nothing recorded in that time is known to any place that answered"
    return f"{robot}: {_balance(hops, books)}"


def total(books: Books) -> str:
    """Return the balance of all robots in one line."""
    return f"all {len(books.robots)} robots: {_balance(books.hops(), books)}"


def trouble(row: Row) -> str:
    """Return what stands beside the counts of a row: reasons, drops, samples missing, numbers out of order."""
    parts = [f"{count:,} {reason}" for reason, count in sorted(row.lost.items())]
    parts += [f"{count:,} refused: {reason}" for reason, count in sorted(row.refused.items())]
    parts += [f"{count:,} samples dropped: {reason}" for reason, count in sorted(row.dropped.items())]
    parts += [f"{count:,} removed on the robot: {reason}" for reason, count in sorted(row.removed.items())]
    parts += [f"{row.missing:,} samples missing"] if row.missing else []
    parts += [f"{row.gaps:,} numbers missing in the order"] if row.gaps else []
    return "; ".join(parts)


def next_steps(books: Books) -> list[str]:
    """Return what to do, one line for each kind of trouble, worst first."""
    rows, steps = books.rows, []
    if row := next((row for row in rows if FLOOR in row.lost), None):
        steps.append(
            f"lost to the disk's floor: {row.robot} gave up what {row.hop} did not have; bring its link back, or carry "
            f"it: fleetbox carry DIR --robot {row.robot}; more room: `ring.leave_free` and the disk of {row.robot}"
        )
    if row := next((row for row in rows if row.lost.keys() - {FLOOR}), None):
        steps.append(
            f"lost: the ring of {row.source} turned over before {row.hop} had it; give it more room or a faster line, "
            f"fleetbox doctor {row.robot}"
        )
    if row := next((row for row in rows if row.unexplained), None):
        steps.append(f"unexplained: fleetbox replicate verify --deep '{row.robot}/{row.stream}'")
    if row := next((row for row in rows if row.gaps), None):
        steps.append(f"missing in the order: look into the agent's log on {row.robot}, no drop was counted there")
    if row := next((row for row in rows if row.refused), None):
        steps.append(f"refused: fleetbox replicate dead-letters says what ends it; fleetbox doctor {row.robot}")
    if row := next((row for row in rows if row.dropped), None):
        steps.append(f"dropped: the spool of {row.robot} had no room; fleetbox doctor {row.robot}")
    return steps


def reach(books: Books) -> list[str]:
    """Return until when the ledger of each place reaches: of one robot all places, of many the one furthest behind."""
    oldest: dict[str, int] = {}
    for robot, places in books.until_us.items():
        for place, until_us in places.items():
            name = place if len(books.until_us) == 1 or place != robot else "the robots, at least"
            oldest[name] = min(until_us, oldest.get(name, until_us))
    return [f"ledger of {name} until {show_time(until_us)}" for name, until_us in oldest.items()]


def _balance(hops: list[Row], books: Books) -> str:
    first = [row for row in hops if row.step == 0]
    recorded, selected, kept = (
        sum(getattr(row, name) for row in first) for name in ("recorded", "selected", "kept_on_robot")
    )
    parts = [f"recorded {recorded:,} = {selected:,} selected + {kept:,} kept on robot"]
    parts += [_removed(first)] if any(row.removed for row in first) else []
    parts += [_hop(row, books) for row in hops if row.hop]
    return "; ".join([*parts, _verdict(hops)])


def _removed(rows: list[Row]) -> str:
    """Say how many of those recorded the robot has taken out again, and why."""
    by_reason: dict[str, int] = {}
    for row in rows:
        for reason, count in row.removed.items():
            by_reason[reason] = by_reason.get(reason, 0) + count
    why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(by_reason.items()))
    return f"{sum(by_reason.values()):,} removed from the robot since ({why})"


def _hop(row: Row, books: Books) -> str:
    if row.unasked and row.arrived < row.selected:
        return f"what of {row.selected:,} arrived at {row.hop} is not known here"
    onward = f"{row.selected:,} selected to go on, " if row.step else ""
    rest = [f"{row.waiting:,} waiting{_where(row, books)}"] if row.waiting else []
    rest += [f"{count:,} refused ({reason})" for reason, count in sorted(row.refused.items())]
    by_hand = f" ({row.by_hand:,} by hand)" if row.by_hand else ""
    return ", ".join([f"{onward}{row.arrived:,} arrived at {row.hop}{by_hand}", *rest])


def _where(row: Row, books: Books) -> str:
    """Say at which place they wait, and since when it was not heard of."""
    if not row.source:
        return ""
    if 0 < row.until_us < min(books.now_us, books.stop_us) - STALE_US:
        return f" at {row.source}, not heard since {show_time(row.until_us)}"
    return f" at {row.source}"


def _verdict(hops: list[Row]) -> str:
    lost: dict[str, int] = {}
    for row in hops:
        for reason, count in row.lost.items():
            lost[reason] = lost.get(reason, 0) + count
    odd, gaps = sum(row.unexplained for row in hops), sum(row.gaps for row in hops)
    parts = [f"LOST {count:,} ({reason})" for reason, count in sorted(lost.items())]
    parts += [f"{odd:,} UNEXPLAINED"] if odd else []
    parts += [f"{gaps:,} numbers missing in the order"] if gaps else []
    unknown = any(row.unasked and row.arrived < row.selected for row in hops)
    return ", ".join(parts) or ("nothing known to be lost" if unknown else "nothing lost")
