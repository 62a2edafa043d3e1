"""What became of a minute after both ends were listed: proven, open, or settled with a reason for what is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fleetbox.ledger import Count, Standing, count_of
from fleetbox.records import Head
from fleetbox_replication.reconcile.minute import OPEN, PROVEN, SETTLED, Minute, is_clear

EVICTED = "evicted before it arrived"
FLOOR = "disk floor"  # the robot gave them up, the last of all, when its disk had no other room left
SAVED = "saved in kept"  # the ring took it, the guard's copy travels under another class
TOO_OLD = "older than the destination keeps"
DELETED = "deleted there"

_WORDS = {
    400: "quota", 401: "token", 403: "token", 404: "no bucket", 409: "conflict", 413: "too large", 422: "malformed",
    431: "labels too long", 500: "server error", 507: "disk full",
}  # fmt: skip
SINGLE = frozenset({409, 413, 422, 431})  # about one record: others of its bucket may well be taken
PASSING = frozenset({0, 408, 425, 429, 502, 503, 504})  # nobody refused: it is on its way, or the link is down


@dataclass(frozen=True, slots=True)
class Findings:
    """Hold what a look at one minute found.

    `known` are the selected records at either end, `left` those not at the destination now, each with the status it
    was refused with or None; `saved` counts copies in `kept` of what neither end holds. `turned`: the source's ring
    had turned over the minute. `given_up` counts what the source says to have removed undelivered. `died` are refusals
    of records that are gone by now.
    """

    known: Sequence[Head] = ()
    left: Mapping[int, int | None] = field(default_factory=dict)
    beyond: int = 0
    buried: int = 0
    saved: int = 0
    turned: bool = False
    given_up: int = 0
    died: tuple[int, ...] = ()


def judge(minute: Minute, found: Findings, site: str, now_us: int) -> Minute:
    """Return the minute with its state and, unless all is well, its standing."""
    told = _told(minute, found)
    gone = 0 if minute.once else max(0, told.records - len(found.known) - found.saved)
    refused = Counter(reason(status) for status in found.left.values() if is_refusal(status))
    refused += Counter({TOO_OLD: found.beyond, DELETED: found.buried, SAVED: found.saved})
    waiting = sum(not is_refusal(status) for status in found.left.values())
    given_up = min(gone, found.given_up)
    lost = {FLOOR: given_up} if given_up else {}
    lost |= _lost(gone - given_up, found) if found.turned else {}
    odd = 0 if found.turned else gone - given_up
    standing = Standing(site, minute.cls, minute.stream, minute.minute_us, waiting, dict(refused), lost, odd)
    settled = found.beyond or found.buried or found.saved or gone
    state = OPEN if found.left else SETTLED if settled else PROVEN
    since_us = minute.since_us if state == OPEN else now_us
    once = minute.once or state == PROVEN
    return replace(minute, told=told, state=state, since_us=since_us, once=once, standing=standing)


def waiting(minute: Minute, site: str, vouched: int, status: int | None) -> Standing:
    """Return what to say of a minute whose ends cannot be compared; a refusal or loss that was named stays named."""
    said = minute.standing
    if said is not None and not is_clear(said) and not (said.waiting and is_refusal(status)):
        return said
    left = max(1, minute.told.records - max(vouched, minute.there.records if minute.there else 0))
    if is_refusal(status):
        return Standing(site, *minute.key, refused={reason(status): left})
    return Standing(site, *minute.key, waiting=left)


def is_refusal(status: int | None) -> bool:
    """Tell whether a status is a no, rather than an absence of answers."""
    return status is not None and status not in PASSING


def reason(status: int | None) -> str:
    """Name a refusal as the books show it: "507 disk full"."""
    return f"{status} {_WORDS.get(status or 0, 'refused')}"


def is_news(before: Standing | None, now: Standing | None) -> bool:
    """Tell whether a standing has to be told: it changed, and not from nothing to nothing."""
    return not (is_clear(before) and is_clear(now)) and before != now


def _told(minute: Minute, found: Findings) -> Count:
    """Return the most that is known to have been selected: more may have come since the source's last line."""
    seen = count_of(found.known)
    return seen if seen.records > minute.told.records else minute.told


def _lost(gone: int, found: Findings) -> dict[str, int]:
    if not gone:
        return {}
    died = Counter(f"refused ({reason(status)}), then evicted" for status in found.died[:gone])
    return {**died, **({EVICTED: gone - died.total()} if gone > died.total() else {})}
