"""A stick with one robot's records: parts that only ever grow in number, and a manifest that is written last.

`DIR/fleetbox/<robot>/part-000001.fbx`, ...: written as `.part`, and named when all of it is on the stick.
`manifest.json` names the parts, and says when the robot was carried; without it a carry was not finished.
A part whose end was lost and that others stand in for is set aside as `.torn`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from fleetbox.disk import sync_folder
from fleetbox.errors import FleetboxError, Incomplete, InputError
from fleetbox.naming import Class, check_robot
from fleetbox_edge.carrying.frames import MARK, WHERE, Attached, Carried, End, Torn, end_of, frames, packed

FOLDER = "fleetbox"
MANIFEST = "manifest.json"
WHOLE, OPEN, ASIDE = ".fbx", ".part", ".torn"
PART_BYTES = 64_000_000  # what a stick that is pulled out costs at most: half a minute of a slow one
SPARE_BYTES = 2_000_000  # left free: room for the end of a part, the manifest, and the file system's own
INDEX_BYTES = 12  # that a record takes in the end of its part
FULL = (errno.ENOSPC, errno.EDQUOT)

Held = dict[tuple[Class, str], set[int]]  # (class, stream) -> times in µs


@dataclass(slots=True)
class Manifest:
    """Say what a finished carry left: its parts, how much is in them, and when it was made, in µs."""

    robot: str
    made_us: int
    parts: list[str] = field(default_factory=list)
    records: int = 0
    bytes: int = 0


class StickFull(Incomplete):
    """Stop at a full stick; what is on it is usable."""


class StickGone(Incomplete):
    """Find the stick pulled out, or not writable any more; what is whole on it is usable."""


class Stick:
    """Write one robot's records to a folder on a stick; what a carry before it brought is known.

    Raises InputError for a folder that is not there: a stick that is not plugged in is not to fill the disk below it.
    """

    def __init__(self, folder: Path, robot: str, part_bytes: int = PART_BYTES) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder", "is the stick plugged in and mounted?")
        self.folder, self.robot = folder / FOLDER / check_robot(robot), robot
        self._root, self._device, self._part_bytes = folder, folder.stat().st_dev, part_bytes
        self._part: _Part | None = None
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(f"*{OPEN}"):
                left.unlink()  # a carry that was cut off: what is missing is written again
        self.parts = whole_parts(self.folder)
        self.held: Held = {}
        for path in self.parts:
            for key, times in _times(path).items():
                self.held.setdefault(key, set()).update(times)
        self.added = self.added_bytes = 0

    @property
    def free_bytes(self) -> int:
        """Return what may still be written."""
        with self._explained():
            return max(0, shutil.disk_usage(self._root).free - SPARE_BYTES)

    def add(self, frame: Carried | Attached) -> None:
        """Append a record or an attachment; raises StickFull or StickGone, after which close() saves what it can."""
        data = packed(frame)
        with self._explained():
            if self._part is not None and self._part.size + len(data) > self._part_bytes:
                self._finish()
            if self._part is None:
                self._check_there()
                (self.folder / MANIFEST).unlink(missing_ok=True)  # what it said was finished goes on
                self._part = _Part(self._next_path())
            part = self._part
            if self._tight(part, len(data)):
                raise StickFull(f"{self._root} is full", "make room or take another stick, then run the command again")
            part.file.write(data)
        part.size += len(data)
        if isinstance(frame, Carried):
            part.times.setdefault((frame.cls, frame.stream), []).append(frame.time_us)
            part.records += 1
            part.bytes += len(frame.data)

    def close(self) -> None:
        """Finish the part that is open; raises StickFull or StickGone when that cannot be."""
        with self._explained():
            if self._part is not None:
                self._finish()

    def abandon(self) -> None:
        """Let the open part go: the stick has gone."""
        if self._part is not None:
            with suppress(OSError):
                self._part.file.close()
            self._part = None

    def seal(self, made_us: int) -> Manifest:
        """Write the manifest: the carry is finished."""
        records = sum(len(times) for times in self.held.values())
        size = sum(path.stat().st_size for path in self.parts)
        manifest = Manifest(self.robot, made_us, [path.name for path in self.parts], records, size)
        with self._explained():
            self._check_there()
            path = self.folder / f"{MANIFEST}{OPEN}"
            with path.open("w") as file:
                json.dump(asdict(manifest), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            path.rename(self.folder / MANIFEST)
            sync_folder(self.folder)
        return manifest

    def set_aside(self) -> list[Path]:
        """Rename the torn parts of which all that can be read is whole in others; return their new paths."""
        aside = []
        with self._explained():
            for path in self.parts:
                if _is_torn(path) and all(time_us in self.held.get(key, ()) for key, time_us in _readable(path)):
                    aside.append(path.rename(path.with_suffix(ASIDE)))
            sync_folder(self.folder)
        self.parts = whole_parts(self.folder)
        return aside

    def _finish(self) -> None:
        """Let the open part reach the stick, and give it its name."""
        part, self._part = self._part, None
        assert part is not None
        with part.file:
            where = part.file.tell()
            part.file.write(packed(End(part.times)) + WHERE.pack(where))
            part.file.flush()
            os.fsync(part.file.fileno())
        self._check_there()
        whole = part.path.with_suffix(WHOLE)
        part.path.rename(whole)
        sync_folder(self.folder)
        self.parts.append(whole)
        for key, times in part.times.items():
            self.held.setdefault(key, set()).update(times)
        self.added += part.records
        self.added_bytes += part.bytes

    def _tight(self, part: _Part, size: int) -> bool:
        """Tell whether the stick has no room; asked of the file system only now and then."""
        if part.room < size:
            part.file.flush()
            part.room = self.free_bytes - INDEX_BYTES * part.records
        part.room -= size + INDEX_BYTES
        return part.room < 0

    def _next_path(self) -> Path:
        last = max((int(path.stem.rpartition("-")[2]) for path in self.folder.glob("part-*")), default=0)
        return self.folder / f"part-{last + 1:06d}{OPEN}"

    def _check_there(self) -> None:
        """Raise OSError when another disk stands where the stick was: it was pulled out, the folder below is ours."""
        if self._root.stat().st_dev != self._device:
            raise OSError(errno.ENODEV, "another disk is mounted there now")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> FleetboxError:
        parts = len(getattr(self, "parts", []))
        if error.errno in FULL:
            return StickFull(f"{self._root} is full", "make room or take another stick, then run the command again")
        text = f"{self._root} cannot be written any more: {error.strerror}; {parts} whole parts are usable"
        return StickGone(text, "plug the stick in again and run the same command: it goes on from there")


class _Part:
    """Hold the part that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] = path.open("wb")
        self.file.write(MARK)
        self.size, self.records, self.bytes, self.room = len(MARK), 0, 0, 0
        self.times: dict[tuple[Class, str], list[int]] = {}


def whole_parts(folder: Path) -> list[Path]:
    """Return the parts that got their names, in order."""
    return sorted(folder.glob(f"part-*{WHOLE}"))


def open_parts(folder: Path) -> list[Path]:
    """Return what a carry that was cut off left."""
    return sorted(folder.glob(f"part-*{OPEN}"))


def read_manifest(folder: Path) -> Manifest | None:
    """Return what a finished carry said, None without one."""
    try:
        raw = json.loads((folder / MANIFEST).read_text())
        return Manifest(**{name: raw[name] for name in Manifest.__dataclass_fields__})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _times(path: Path) -> dict[tuple[Class, str], list[int]]:
    """Return what a part holds; one that is spoilt holds nothing: it is carried again, beside it."""
    try:
        with path.open("rb") as file:
            return end_of(file).times
    except Torn:
        return {}


def _is_torn(path: Path) -> bool:
    """Tell whether a part has no end."""
    try:
        with path.open("rb") as file:
            end_of(file)
    except Torn:
        return True
    return False


def _readable(path: Path) -> Iterator[tuple[tuple[Class, str], int]]:
    """Yield (class, stream) and time of the records that can be read of a torn part."""
    with path.open("rb") as file, suppress(Torn):
        for frame in frames(file):
            if isinstance(frame, Carried):
                yield (frame.cls, frame.stream), frame.time_us
