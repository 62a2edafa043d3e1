"""One background thread with an event loop of its own, so that plain code can call async code anywhere."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")

WAKE_S = 0.2  # a Ctrl-C that another thread takes, or that comes just before a wait, is seen when the wait ends


class BackgroundLoop:
    """Run coroutines from synchronous code, also inside a loop that is already running (Jupyter).

    The thread is a daemon: a program that forgets `stop` still exits.
    """

    def __init__(self, name: str = "fleetbox") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine to its end and return its value; Ctrl-C and a timeout cancel it."""
        future = self.start(work)
        try:
            return ended(future, timeout_s)
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine and return at once."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stop(self) -> None:
        """Cancel what still runs, then end the thread."""
        if not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        joined(self._thread)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())  # a file may be half removed
            self.loop.close()


def ended(future: Future[T], timeout_s: float | None = None) -> T:
    """Wait for what was started and return its value, so that Ctrl-C is always heard; raises TimeoutError."""
    until_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while not wait((future,), min(WAKE_S, until_s - time.monotonic())).done and time.monotonic() < until_s:
        pass
    return future.result(0)


def joined(thread: threading.Thread) -> None:
    """Wait for a thread's end, so that Ctrl-C is always heard."""
    while thread.is_alive():
        thread.join(WAKE_S)
