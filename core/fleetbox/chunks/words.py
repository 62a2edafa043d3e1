"""Name what every chunk has in common: its columns, its bounds, its content type."""

from __future__ import annotations

from typing import Literal

TIME = "time_us"  # timestamp[us, UTC]: the record key's clock, one stamp per row
CLOCKS = ("log_ns", "publish_ns", "header_ns")  # exact source clocks in ns, int64, where a source has them
CDR = "cdr"  # the message's own bytes, so that it can go out byte-equal
RESERVED_COLUMNS = frozenset({TIME, *CLOCKS, CDR})

CONTENT_TYPE = "application/vnd.apache.arrow.stream"  # as registered with IANA: any Arrow reader opens a chunk
BOUND_US = 5_000_000  # longest chunk: readers look back this far; 5 s costs 0.2 s more than 10 s per hour of 100 Hz
MAX_BYTES = 256 * 1024  # a chunk closes here: small enough for a slow link, large enough to amortise its schema
COMPRESS_ABOVE_BYTES = 64 * 1024  # below, opening a compressed chunk costs ten times the reading

Compression = Literal["none", "lz4", "zstd"]
