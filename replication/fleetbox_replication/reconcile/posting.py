"""Try dead letters again: one of each kind first, the rest when it goes through, each settled when it has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import structlog

from fleetbox.errors import NotFound, StoreRefused
from fleetbox.ledger import minute_of
from fleetbox.records import Head
from fleetbox_replication.dead_letters import DeadLetter
from fleetbox_replication.reconcile.checking import Checker
from fleetbox_replication.reconcile.hop import Hop
from fleetbox_replication.reconcile.means import Means
from fleetbox_replication.reconcile.minute import OPEN, Minute, is_clear

log = structlog.get_logger()


async def post(means: Means, checker: Checker, hop: Hop) -> list[Minute]:
    """Try a hop's open letters again; return the minutes whose standing is news. Raises Unreachable, AccessDenied.

    A letter that is refused again is told of in its minute's standing now: no task will bring it, however long it has.
    """
    letters = sorted(means.letters(hop.spec.dst_bucket), key=lambda letter: letter.status)
    if not letters or means.options.letters is None:
        return []
    arrived: list[DeadLetter] = []
    gone: list[DeadLetter] = []
    for _, kind in groupby(letters, key=lambda letter: letter.status):
        same = list(kind)
        await _try(means, hop, same[:1], arrived, gone)
        if same[0] in arrived or same[0] in gone:
            await _try(means, hop, same[1:], arrived, gone)
    settled = {_minute(letter) for letter in arrived + gone}
    known = {at: means.state.minute(hop.robot, (hop.cls, *at)) for at in sorted({*map(_minute, letters)})}
    minutes = [one for at, one in known.items() if one and one.told.records and (at in settled or _is_untold(one))]
    news = await checker.check(hop, minutes) if minutes else []
    for letter in arrived + gone:
        means.options.letters.settle(letter.bucket, letter.entry, letter.time_us)
    if arrived:
        log.info("what was refused has arrived", task=hop.spec.name, records=len(arrived))
    if gone:
        log.warning("what was refused is gone from its source", task=hop.spec.name, records=len(gone))
    return news


async def _try(
    means: Means, hop: Hop, letters: Sequence[DeadLetter], arrived: list[DeadLetter], gone: list[DeadLetter]
) -> None:
    """Copy the letters' records; sort those that are there now and those their source has no more."""
    by_key = {(letter.entry, letter.time_us): letter for letter in letters}
    found: list[Head] = []
    for letter in letters:
        head = await _head(means, hop, letter)
        if head is None:
            gone.append(letter)
        else:
            found.append(head)
    done = await means.copier(hop).bring(_ordered(found))
    went = {(head.entry, head.time_us) for head in done.gone}
    refused = {(head.entry, head.time_us) for head, _, _ in done.refused}
    means.counts["brought"] += done.brought
    means.brought[hop.robot] += done.brought
    if done.brought:
        means.relay.brought(done.brought)
    for head in found:
        key = (head.entry, head.time_us)
        if key in went:
            gone.append(by_key[key])
        elif key not in refused:
            arrived.append(by_key[key])


def _minute(letter: DeadLetter) -> tuple[str, int]:
    return letter.entry, minute_of(letter.time_us)


def _is_untold(minute: Minute) -> bool:
    return minute.state == OPEN and is_clear(minute.standing)


async def _head(means: Means, hop: Hop, letter: DeadLetter) -> Head | None:
    try:
        return await means.source().head(hop.spec.src_bucket, letter.entry, letter.time_us)
    except NotFound:
        return None
    except StoreRefused as refusal:
        if refusal.status in (425, 500):
            return None  # torn at the source itself: nothing can be copied
        raise


def _ordered(heads: Sequence[Head]) -> list[Head]:
    return sorted(heads, key=lambda head: (head.entry, head.time_us))
