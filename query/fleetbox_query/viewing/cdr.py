"""Read ROS messages' bytes, value by value, as far as pictures and clouds need it."""

from __future__ import annotations

import struct

_LITTLE_ENDIAN = 1  # of the first bytes, as ROS 2 writes on every machine it runs on


class Cdr:
    """Read one message from its beginning; raises ValueError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 4 or data[1] != _LITTLE_ENDIAN:
            raise ValueError(f"{len(data)} bytes are no little-endian CDR")
        self._data, self._at = memoryview(data)[4:], 0  # values are aligned from behind the four

    def u8(self) -> int:
        """Return the next byte."""
        return self._take(1)[0]

    def u32(self) -> int:
        """Return the next whole number."""
        self._at += -self._at % 4
        return int(struct.unpack("<I", self._take(4))[0])

    def text(self) -> str:
        """Return the next text."""
        return bytes(self._take(self.u32())).rstrip(b"\0").decode()

    def bytes(self) -> bytes:
        """Return the next sequence of bytes."""
        return bytes(self._take(self.u32()))

    def header(self) -> str:
        """Pass a std_msgs/Header; return its frame."""
        self.u32(), self.u32()
        return self.text()

    def _take(self, count: int) -> memoryview:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise ValueError(f"a message ends {count - len(found):,} bytes too early")
        self._at += count
        return found
