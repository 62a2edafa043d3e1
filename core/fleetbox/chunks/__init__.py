"""Pack rows into chunks and read them back: a chunk is an Arrow IPC stream anybody can open.

Packing needs pyarrow and numpy (on robots and sites); `columns`, `rows` and `fields` work
with the bare install.
"""

from fleetbox.chunks.packing import encode
from fleetbox.chunks.reading import columns, fields, metadata, rows, table
from fleetbox.chunks.widening import widened
from fleetbox.chunks.words import (
    BOUND_US,
    CDR,
    CLOCKS,
    COMPRESS_ABOVE_BYTES,
    CONTENT_TYPE,
    MAX_BYTES,
    RESERVED_COLUMNS,
    TIME,
    Compression,
)

__all__ = [
    "BOUND_US",
    "CDR",
    "CLOCKS",
    "COMPRESS_ABOVE_BYTES",
    "CONTENT_TYPE",
    "MAX_BYTES",
    "RESERVED_COLUMNS",
    "TIME",
    "Compression",
    "columns",
    "encode",
    "fields",
    "metadata",
    "rows",
    "table",
    "widened",
]
