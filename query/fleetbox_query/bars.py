"""Show how far long work is where IPython runs; elsewhere a program says nothing unless it is asked to."""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[[float, str], None]  # the part done, 0 to 1, and words beside it

EVERY_S = 0.2  # a notebook redraws as often as an eye follows


@contextmanager
def bar(title: str, given: Advance | None, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Yield whom to tell: the caller's own function if one was given, else a bar where IPython runs."""
    shell = None if given else _shell()
    if given is not None or shell is None:
        yield given or (lambda done, text: None)
    elif hasattr(shell, "kernel"):
        yield _Notebook(title, clock)
    else:
        from fleetbox.cli.output import progress

        with progress(title, 1.0) as advance:
            yield lambda done, text: advance(done, text)


def _shell() -> Any:
    """Return the shell that runs this program, None outside IPython; never imports what is not there already."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


class _Notebook:
    """Redraw one output of a cell."""

    def __init__(self, title: str, clock: Callable[[], float]) -> None:
        shown_by = importlib.import_module("IPython.display")  # it is running: no library of ours
        self._title, self._clock, self._drawn_s = title, clock, clock()
        self._handle = shown_by.display(self._shown(0.0, ""), raw=True, display_id=True)

    def __call__(self, done: float, text: str) -> None:
        """Show the part done."""
        now_s = self._clock()
        if done >= 1.0 or now_s - self._drawn_s >= EVERY_S:
            self._drawn_s = now_s
            self._handle.update(self._shown(done, text), raw=True)

    def _shown(self, done: float, text: str) -> dict[str, str]:
        said = f"{self._title} {done:.0%} {text}".rstrip()
        return {"text/plain": said, "text/html": f"<progress value='{done:.3f}'></progress> {html.escape(said)}"}
