"""Run `fleetbox agent run`: hold a robot's duties until told to stop."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import structlog

from fleetbox_edge.recorder import Recorder
from fleetbox_edge.vitals import Vitals

LOOK_S = 1.0  # how soon a failure of the background work ends the process


def serve(config: Path) -> int:
    """Hold the duties and replay leftover spools until SIGTERM (exit code 0) or Ctrl-C (KeyboardInterrupt)."""
    stop = threading.Event()

    def on_term(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_term)
    log = structlog.get_logger()
    with Recorder(config) as recorder:
        log.info("agent runs", robot=recorder.settings.robot, store=recorder.settings.store)
        vitals = Vitals(recorder)
        try:
            while not stop.wait(LOOK_S):
                recorder.check()
                vitals.tick()
        finally:
            vitals.close()
    log.info("agent stopped", robot=recorder.settings.robot)
    return 0
