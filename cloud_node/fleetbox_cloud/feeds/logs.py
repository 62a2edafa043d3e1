"""Turn lines of log streams into points, cut where boards could not show them."""

from __future__ import annotations

import re

from fleetbox.labels import Labels
from fleetbox.measurements import LOGS
from fleetbox.records import Record
from fleetbox.types import log as log_type
from fleetbox_cloud.feeds.points import point

MOST_CHARS = 2_000  # a line of a table; the whole text stays in the store
MOST_LINES = 2_000  # of one robot at a look: a robot in a fit must not keep the others waiting; the rest comes next
LEVELS = {
    "DEBUG": "debug", "INFO": "info", "WARN": "warning", "WARNING": "warning", "ERROR": "error", "FATAL": "fatal",
    "CRITICAL": "fatal",
}  # fmt: skip
_LEVEL = re.compile(rf"\b({'|'.join(LEVELS)})\b")
_FIRST_CHARS = 80  # of a line are searched for its level


def is_log(labels: Labels) -> bool:
    """Tell whether a record is a line of text: files and calls are in the class too."""
    return labels.get("type") == log_type.TYPE.name


def log_line(record: Record, robot: str, site: str, point_us: int) -> str:
    """Return a line's point; its level is that of its label `level`, else the first word in it that is one, else ""."""
    text = log_type.decode(record.data)
    fields = {
        "stream": record.entry,
        "level": level_of(record.labels.get("level", ""), text),
        "text": text[:MOST_CHARS],
    }
    line = point(LOGS, {"robot": robot, "site": site}, fields, point_us)
    assert line is not None, "a line has a stream"
    return line


def level_of(label: str, text: str) -> str:
    """Return debug, info, warning, error or fatal; another label as it stands; "" where nothing tells."""
    if label:
        return LEVELS.get(label.upper(), label.lower())
    found = _LEVEL.search(text[:_FIRST_CHARS])
    return LEVELS[found[1]] if found else ""
