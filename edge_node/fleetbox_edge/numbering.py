"""Number what comes with its final stamp, and bring it into the spool: straight, or when it has circled in memory."""

from __future__ import annotations

from fleetbox import chunks
from fleetbox_edge.bulk import Piece
from fleetbox_edge.journal import Journal
from fleetbox_edge.lanes import Lane
from fleetbox_edge.packing import Shape, renumbered
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.ram_ring import Item


class Numbering(Journal):
    """Write rows, blobs and pieces of columns whose stamps are settled; the lock is held."""

    def _write(self, lane: Lane, item: Item) -> None:
        """Number an item and bring it into the spool, with the stamps and labels it came with."""
        if lane.address != item.address:
            self._seal(lane)
            lane.address, lane.segment = item.address, None
        if isinstance(item.data, Piece):
            self._write_piece(lane, item.data)
        elif item.shape is not None:
            self._write_row(lane, item.shape, item.data, item.time_us)
        else:
            self._write_blob(lane, item.data, item.time_us)

    def _write_row(self, lane: Lane, shape: Shape, payload: bytes, stamp: int) -> None:
        if lane.shape is not shape:
            self._seal(lane)
            lane.set_shape(shape, chunks.MAX_BYTES)
        if stamp <= lane.last or stamp >= lane.close_at:
            self._seal(lane)
            lane.turned = lane.turned or stamp <= lane.last
        if not lane.parts:
            stamp = lane.take_key(stamp)
        self._append_row(lane, renumbered(shape, payload, lane.seq, stamp), stamp)

    def _write_blob(self, lane: Lane, body: bytes, stamp: int) -> int:
        lane.turned = lane.turned or stamp <= lane.last
        stamp = lane.last = lane.take_key(stamp)
        self._append_blob(lane, Parcel(lane.address, lane.seq, stamp, stamp, 0, len(body), body), body)
        return stamp

    def _write_piece(self, lane: Lane, piece: Piece) -> None:
        if lane.shape is not None or piece.start_us <= lane.last or piece.stop_us >= lane.close_at:
            self._seal(lane)
        if lane.shape is not None or lane.known != piece.kinds:
            self._seal(lane)
            lane.set_shape(None, chunks.MAX_BYTES)
            lane.known = dict(piece.kinds)
        if piece.start_us <= lane.last:
            lane.turned = True
        self._append_piece(lane, piece)
