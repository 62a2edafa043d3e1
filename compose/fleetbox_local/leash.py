"""Becomes another program that ends when the process that started it ends.

Run as a script between fork and exec. The usual place for this, `preexec_fn`, runs Python code in a forked copy of a
threaded process and can deadlock there; a script of its own cannot.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
EXEC_FAILED = 127  # what a shell answers when a program cannot be started


def become(parent_pid: int, argv: list[str]) -> None:
    """Ask the kernel for SIGTERM at the parent's end, then replace this process by `argv`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before we asked: nobody would ever tell us
            sys.exit(EXEC_FAILED)
    # Python ignores SIGPIPE and exec would hand that on to a program that expects the default.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    try:
        become(int(sys.argv[1]), sys.argv[2:])
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[2]}: {error.strerror}\n")
        sys.exit(EXEC_FAILED)
