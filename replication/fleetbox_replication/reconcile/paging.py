"""Compare the pages themselves, which no page counts: those the relay did not vouch for are looked for and brought."""

from __future__ import annotations

from fleetbox.time import FOR_EVER_US
from fleetbox_replication.reconcile.copying import Mended
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.hop import Hop, is_ledger
from fleetbox_replication.reconcile.listing import Ends, entries_of, list_both, selected_heads
from fleetbox_replication.reconcile.means import Means
from fleetbox_replication.reconcile.state import Cursor

SETTLE_US = 30_000_000  # µs; a page is on its way for a moment, ten seconds longer after trouble
OVERLAP_US = 60_000_000  # µs; of what was compared before: a page may be stamped a moment before it is written


async def compare_pages(means: Means, hop: Hop) -> Mended:
    """Bring the pages that did not travel since they were last compared. Raises Unreachable, AccessDenied."""
    ends, done = Ends(hop.spec, means.source(), means.there), Mended()
    now_us = means.options.now_us()
    for info in await entries_of(ends.source, hop.spec.src_bucket):
        side = side_of(info.name)
        before = means.state.cursor(side, hop.robot)
        if not is_ledger(info.name) or (info.records, info.latest_us) == (before.records, before.time_us):
            continue
        start_us = max(0, before.time_us - OVERLAP_US)
        stop_us = now_us - SETTLE_US
        pages = await selected_heads(ends.source, hop.spec, info.name, start_us, stop_us)
        bucket = hop.spec.dst_bucket
        doubtful = [page.time_us for page in pages if not means.proofs.has(bucket, info.name, page.time_us)]
        if doubtful:
            listed = await list_both(ends, info.name, doubtful[0], doubtful[-1] + 1, Bounds())
            done.add(await means.copier(hop).mend(listed))
        if pages and done.clean:
            count = before.records + sum(page.time_us > before.time_us for page in pages)
            with means.state.change():
                means.state.move(side, hop.robot, Cursor(pages[-1].time_us, count))
            means.proofs.drop_before(bucket, info.name, pages[-1].time_us - OVERLAP_US)
    return done


async def doubt_pages(means: Means, hop: Hop) -> bool:
    """Have all pages of an entry compared again of which the destination counts fewer than were; tell if any.

    Raises Unreachable, AccessDenied.
    """
    there = {info.name: info.records for info in await entries_of(means.there, hop.spec.dst_bucket)}
    doubted = False
    for info in await entries_of(means.source(), hop.spec.src_bucket):
        side = side_of(info.name)
        if is_ledger(info.name) and means.state.cursor(side, hop.robot).records > there.get(info.name, 0):
            with means.state.change():
                means.state.move(side, hop.robot, Cursor())
            means.proofs.drop_before(hop.spec.dst_bucket, info.name, FOR_EVER_US)
            doubted = True
    return doubted


def side_of(entry: str) -> str:
    """Return under which name the state holds how far an entry of pages was compared, and how many of them."""
    return f"pages of {entry}"
