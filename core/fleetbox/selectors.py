"""The one selector grammar, ROBOT/STREAM[:FIELD] with globs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from fleetbox.errors import InputError

_ALLOWED = re.compile(r"[A-Za-z0-9_*?.\[\]/-]+")


@dataclass(frozen=True, slots=True)
class Selector:
    """Choose robots, their streams and the fields in them; each part is a glob.

    `*` stays within one segment, `**` spans any number of segments. A field "!ax" is all but that one; streams that a
    glob of `without` matches are not chosen.
    """

    robot: str = "*"
    stream: str = "**"
    field: str | None = None
    without: tuple[str, ...] = ()

    @staticmethod
    def parse(text: str) -> Selector:
        """Read `r7`, `r*/cam/*`, `r7/imu:ax` or `*`; raise InputError on anything else."""
        path, colon, field = text.strip().strip("/").partition(":")
        if path in ("", "*", "**"):
            path = "*/**"
        if not _ALLOWED.fullmatch(path) or (colon and not field):
            raise InputError(
                f"selector {text!r} is not understood", "write ROBOT/STREAM[:FIELD], such as 'r*/cam/*' or r7/imu:ax"
            )
        robot, _, stream = path.partition("/")
        if robot == "**":
            robot = "*"
        return Selector(robot, stream or "**", field or None)

    @staticmethod
    def typed(text: str) -> Selector:
        """Read what a person gave; raises InputError for an empty one too: `*` is written out."""
        if not text.strip():  # a shell's variable that is not set
            raise InputError("a selector is empty", "name streams, such as 'r1/imu' or 'r*/cam/*'; '*' is everything")
        return Selector.parse(text)

    def matches(self, robot: str, stream: str) -> bool:
        """Tell whether a robot's stream is chosen."""
        if self.without and any(matches_glob(glob, stream) for glob in self.without):
            return False
        return matches_glob(self.robot, robot) and matches_glob(self.stream, stream)

    def __str__(self) -> str:
        return f"{self.robot}/{self.stream}" + (f":{self.field}" if self.field else "")


def matches_glob(glob: str, name: str) -> bool:
    """Tell whether a name matches: `*` and `?` within a segment, `**` across segments."""
    return _pattern(glob).fullmatch(name) is not None


def is_glob(text: str) -> bool:
    """Tell whether text holds a glob character."""
    return any(mark in text for mark in "*?[")


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    out = []
    for part in re.split(r"(/\*\*/|^\*\*/|/\*\*$|\*\*|\*|\?|\[[^\]]+\])", glob):
        if part == "/**/":
            out.append("/(?:.*/)?")
        elif part == "**/":
            out.append("(?:.*/)?")
        elif part == "/**":
            out.append("(?:/.*)?")
        elif part == "**":
            out.append(".*")
        elif part in ("*", "?"):
            out.append("[^/]" + ("*" if part == "*" else ""))
        else:
            out.append(part if part.startswith("[") and part.endswith("]") else re.escape(part))
    return re.compile("".join(out))
