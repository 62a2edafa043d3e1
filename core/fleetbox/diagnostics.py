"""Send what programs say about themselves to stderr: stdout belongs to results."""

from __future__ import annotations

import logging
import sys

import structlog


def log_to_stderr(*, debug: bool = False) -> None:
    """Write log lines to stderr from now on, those of level DEBUG only with `debug`."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it stands then: tests and notebooks swap it
        processors=[
            structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
    )
