"""The background loop: async work from plain code, anywhere."""

import asyncio
import signal
import threading
from concurrent.futures import CancelledError

import pytest

from fleetbox.background import BackgroundLoop, joined


async def _double(value: int) -> int:
    await asyncio.sleep(0)
    return 2 * value


def test_it_works_inside_a_running_loop() -> None:
    """A coroutine runs to its end although the caller stands in a loop of its own, as in Jupyter."""
    loop = BackgroundLoop()

    async def cell() -> int:
        return loop.run(_double(21))

    assert asyncio.run(cell()) == 42
    loop.stop()


def test_stop_cancels_what_still_runs() -> None:
    """Stopping cancels pending work instead of leaving it behind."""
    loop = BackgroundLoop()
    future = loop.start(asyncio.sleep(60))
    loop.stop()

    with pytest.raises(CancelledError):
        future.result(60)


def test_a_timeout_cancels_the_work() -> None:
    """A call that takes too long is cancelled and says so."""
    loop = BackgroundLoop()
    with pytest.raises(TimeoutError):
        loop.run(asyncio.sleep(60), timeout_s=0.01)
    loop.stop()


def test_ctrl_c_ends_a_wait_that_did_not_see_it() -> None:
    """Ctrl-C that another thread takes wakes nobody who waits for a lock; the wait ends all the same."""
    loop = BackgroundLoop()

    async def pressed() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        loop.run(pressed())
    loop.stop()


def test_ctrl_c_ends_a_join_that_did_not_see_it() -> None:
    """Neither does it wake whoever waits for a thread's end."""
    waiting, over = threading.Event(), threading.Event()

    def pressed() -> None:
        waiting.wait(60)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        over.wait(60)

    thread = threading.Thread(target=pressed, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it must not come before
        waiting.set()
        joined(thread)
    over.set()
    joined(thread)
    assert not thread.is_alive()
