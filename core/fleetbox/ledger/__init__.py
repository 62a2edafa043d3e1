"""The ledger: what each place held of each stream in each minute, as append-only pages that readers fold."""

from fleetbox.ledger.counts import Count, count_of, fingerprint
from fleetbox.ledger.folding import Folded, Ledger, Removed, ever, fold
from fleetbox.ledger.lines import MINUTE_US, Drop, Key, Line, Reach, Removal, Span, Standing, Tombstone, minute_of
from fleetbox.ledger.pages import CONTENT_TYPE, ENTRIES, STREAM, TYPE, Page, decode, draft, encode, entry_of
from fleetbox.ledger.shelf import read_ledger, read_pages, write_page

__all__ = [
    "CONTENT_TYPE",
    "ENTRIES",
    "MINUTE_US",
    "STREAM",
    "TYPE",
    "Count",
    "Drop",
    "Folded",
    "Key",
    "Ledger",
    "Line",
    "Page",
    "Reach",
    "Removal",
    "Removed",
    "Span",
    "Standing",
    "Tombstone",
    "count_of",
    "decode",
    "draft",
    "encode",
    "entry_of",
    "ever",
    "fingerprint",
    "fold",
    "minute_of",
    "read_ledger",
    "read_pages",
    "write_page",
]
