"""Write what Rerun records into a file through a pipe: its own writer waits for ever once a file takes no more."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fleetbox.background import joined

READ_BYTES = 1_000_000  # a pipe gives at most what it holds, 64 KB as a rule


@contextmanager
def poured(path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield what Rerun is to write into, and a call that raises OSError once the file took no more.

    Rerun must have let go of it when the block ends; then all is in the file, or OSError is raised.
    """
    if not hasattr(os, "mkfifo"):  # Windows has no pipes with a name
        yield path, lambda: None
        return
    with TemporaryDirectory(prefix="fleetbox-view-") as folder:
        pipe = Path(folder) / path.name
        os.mkfifo(pipe)
        source = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # not waiting for a writer
        os.set_blocking(source, True)
        held = os.open(pipe, os.O_WRONLY)  # while it is open the pipe has no end, also before Rerun begins
        pouring = _Pouring(source, path)
        pouring.start()
        try:
            yield pipe, pouring.check
        finally:
            os.close(held)
            joined(pouring)
        pouring.check()


class _Pouring(threading.Thread):
    """Move what comes out of a pipe into a file; after a fault, throw it away, so that whoever writes can end."""

    def __init__(self, source: int, path: Path) -> None:
        super().__init__(name="fleetbox-pour", daemon=True)
        self._source, self._path = source, path
        self._fault: OSError | None = None

    def check(self) -> None:
        """Raise what the file said when it took no more."""
        if self._fault is not None:
            raise self._fault

    def run(self) -> None:
        """Move until the pipe's other end is closed."""
        with os.fdopen(self._source, "rb", buffering=0) as source:
            try:
                with self._path.open("wb") as file:
                    while data := source.read(READ_BYTES):
                        file.write(data)
            except OSError as error:
                self._fault = error
            while source.read(READ_BYTES):
                pass
