"""Runs a whole drill in a folder and cleans up behind it."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from fleetbox_local.drill.outcome import Report
from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session


def rehearse(scenarios: Sequence[Scenario], directory: Path | None, keep: bool, say: Callable[[str], None]) -> Report:
    """Play scenarios and return what came of them; nothing keeps running, however it ends.

    The folder of the scratch fleets is removed, unless `keep` is set or a scenario did not end well.
    """
    started = time.monotonic()
    report = Report()
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fleetbox-drill-", dir=directory))
    try:
        with (
            _ended_by_signals(),
            Session(folder, lambda text: say(f"{time.monotonic() - started:6.1f} s  {text}")) as on,
        ):
            for scenario in scenarios:
                report.outcomes.append(on.play(scenario))
    finally:
        if keep or not report.ok:
            report.folder = folder
        else:
            shutil.rmtree(folder, ignore_errors=True)
    report.seconds = round(time.monotonic() - started, 1)
    return report


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Treat TERM and HUP like Ctrl-C: what was mounted and started must be gone afterwards."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {which: signal.signal(which, interrupt) for which in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
