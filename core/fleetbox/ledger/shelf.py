"""Write pages to a store's `meta` buckets and read them back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

import structlog

from fleetbox.appending import append
from fleetbox.errors import InputError, NotFound, StoreRefused
from fleetbox.ledger.folding import Ledger
from fleetbox.ledger.pages import ENTRIES, Page, decode, draft
from fleetbox.records import Draft

if TYPE_CHECKING:
    from fleetbox.blobs import Store

log = structlog.get_logger()


async def write_page(store: Store, bucket: str, page: Page) -> Draft:
    """Append a page to a `meta` bucket and return it as written; a taken stamp moves on by 1 µs.

    Raises StoreRefused when the store keeps refusing, Unreachable when it does not answer.
    """
    what = f"a ledger page about {page.robot}"
    return await append(store, bucket, draft(page, page.written_us), what, f"fleetbox doctor {page.robot}")


async def read_pages(
    store: Store, bucket: str, entries: Sequence[str] = ENTRIES, *, start_us: int = 0, stop_us: int | None = None
) -> AsyncGenerator[tuple[int, Page], None]:
    """Yield (time in µs, page) of the pages written from start to stop (excluded); a bucket that is not there has none.

    Within an entry they come in the order they were written.
    """
    try:
        async for record in store.query(bucket, tuple(entries), start_us=start_us, stop_us=stop_us):
            try:
                yield record.time_us, decode(record.data)
            except InputError as error:  # one foreign record must not hide the books
                log.warning("ledger page passed over", bucket=bucket, time_us=record.time_us, why=error.message)
    except NotFound:
        return
    except StoreRefused as error:
        if error.status != 404:
            raise


async def read_ledger(store: Store, bucket: str, robot: str, *, start_us: int = 0) -> Ledger:
    """Fold all pages about a robot that were written since `start_us` and stand in a `meta` bucket of this store.

    A minute's pages are written after it: to know the minutes since T, read the pages since T.
    """
    ledger = Ledger(robot)
    async for _, page in read_pages(store, bucket, start_us=start_us):
        ledger.add(page)
    return ledger
