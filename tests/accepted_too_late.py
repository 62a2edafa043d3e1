"""Close what asyncio leaves open: a connection accepted in the turn of the event loop in which its server closes.

CPython's gh-109564: its transport fails in the making, nobody has it, and once collected it warns in a later test.
"""

from __future__ import annotations

import socket
from asyncio import selector_events
from typing import Any


def close_them() -> None:
    """Have every such connection of this process closed at once."""
    transport: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    make = transport.__init__

    def making(self: Any, loop: Any, sock: socket.socket, *args: Any, **named: Any) -> None:
        try:
            make(self, loop, sock, *args, **named)
        except AssertionError:  # the server has closed
            self._sock = None
            sock.close()
            raise

    transport.__init__ = making
