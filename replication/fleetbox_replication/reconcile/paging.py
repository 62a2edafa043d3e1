"""Compare the pages themselves, which no page counts: those the relay did not vouch for are looked for and brought."""

from __future__ import annotations

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
        side = f"pages of {info.name}"
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
            with means.state.change():
                means.state.move(side, hop.robot, Cursor(pages[-1].time_us, info.records))
            means.proofs.drop_before(bucket, info.name, pages[-1].time_us - OVERLAP_US)
    return done
