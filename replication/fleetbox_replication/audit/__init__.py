"""The audit: close the books of every robot, stream and hop from what each place's ledger tells."""

from fleetbox_replication.audit.gathering import audit
from fleetbox_replication.audit.rows import Books, Row, Unreached

__all__ = ["Books", "Row", "Unreached", "audit"]
