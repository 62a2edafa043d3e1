"""Send what is logged to whoever watches it on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from fleetbox.tapping import Voice
from fleetbox_edge.triggers.tap import Tap

log = structlog.get_logger()

AGAIN_S = 5.0  # after a fault
LOOK_S = 0.5  # how soon somebody who begins to watch hears: one listing of a folder that is empty, or not there
SEND_S = 0.02  # from a row to who watches it


class LiveRows:
    """Look who watches, and send them rows; while nobody does, `log` pays nothing for it."""

    def __init__(self, tap: Tap, state: Path) -> None:
        self._tap = tap
        self._voice = Voice(state)

    async def run(self) -> None:
        """Work until cancelled; whatever fails here, the robot goes on being recorded."""
        while True:
            try:
                await self._serve()
            except Exception:
                log.exception("nobody sees rows live for a while")
            await asyncio.sleep(AGAIN_S)

    async def _serve(self) -> None:
        clock = asyncio.get_running_loop().time
        look_s = 0.0
        watched: frozenset[str] = frozenset()
        try:
            while True:
                if clock() >= look_s:
                    watched, look_s = self._voice.look(), clock() + LOOK_S
                    self._tap.watch(watched)
                if watched:
                    self._voice.send(self._tap.seen())
                await asyncio.sleep(SEND_S if watched else LOOK_S)
        finally:
            self._tap.watch(frozenset())
            self._voice.close()
