"""Write an export whole or not at all, and keep what is finished of it when it stops halfway.

While it is being made, everything lies in `OUT.partial/` beside the target: `asked.json` says what was asked,
`finished.ndjson` names each finished file, `files/` has them, `writing/` what is not finished. A file counts as
finished once its bytes and the line naming it are on the disk. The same question asked again goes on from there;
another one begins anew. At the end the target takes its place by one rename, so that whoever looks sees the old
output or the complete new one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from fleetbox.disk import sync_folder
from fleetbox.errors import FleetboxError, InputError
from fleetbox_query.exports.growing import Growing
from fleetbox_query.exports.journal import Finished
from fleetbox_query.exports.partial import Partial
from fleetbox_query.exports.swapping import put_in_place, remove_empty, restore
from fleetbox_query.exports.syncing import sync_and_hash, write_synced

MANIFEST = "_manifest.json"  # in a folder; whoever opens one as a Parquet dataset passes over names with _
BESIDE = "manifest.json"  # after the name of a target that is one file
VERSION = 1  # of the manifest's own form
SYNCERS = 8  # files brought to the disk at once: it writes 256 together four times as fast as one by one


@dataclass(frozen=True)
class Batch:
    """Hold files that are being written and will be finished together."""

    folder: Path
    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def path(self, name: str, about: Mapping[str, Any] | None = None) -> Path:
        """Return where to write a file whose path within the output is `name`; folders on the way are made."""
        if Path(name).is_absolute() or ".." in Path(name).parts or name == MANIFEST:
            raise InputError(f"{name!r} is no name for a file of an export", "use a path within it")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files[name] = about or {}
        return path


class Output:
    """Make one export; a context manager. Leaving the block without `finish` keeps what is finished for the next time.

    target: a file, or with folder=True a folder. asked: plain values that say what is exported; the same ones again
    go on where an earlier export stopped, others begin anew. An output that exists is replaced at the end; a folder
    that is not an export is not touched.
    Raises InputError where the target cannot be written or another export is at it, FleetboxError on a full disk.

    Example:
        with Output(Path("brake.mcap"), {"query": "r1/**"}) as out:
            with out.part("whole.mcap") as path:
                path.write_bytes(data)
            out.finish({"counts": {"messages": 1}})
    """

    def __init__(self, target: Path, asked: Mapping[str, Any], *, folder: bool = False) -> None:
        self.target = target
        self.folder = folder
        self._asked = json.loads(json.dumps(dict(asked), default=str))
        self._partial = Partial(target)
        self._finished: dict[str, Finished] = {}
        self._notes: dict[str, Any] = {}
        self._checkpoint: Any = None
        self._lock: int | None = None

    def __enter__(self) -> Output:
        with self._explained():
            restore(self.target)
            _check_target(self.target, self.folder)
            self._partial.files.mkdir(parents=True, exist_ok=True)
            self._lock = self._partial.lock()
            notes = self._partial.notes_of(self._question())
            if notes is None:
                self._begin()
            else:
                self._notes = notes
            self._take_up()
            self._partial.keep_only(self._finished)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is None:
            return
        if isinstance(error, FleetboxError) and not self._finished:  # refused before there was anything to go on with
            shutil.rmtree(self._partial.folder, ignore_errors=True)
        os.close(self._lock)
        self._lock = None

    @property
    def asked(self) -> dict[str, Any]:
        """Return what is exported, as plain values."""
        return dict(self._asked)

    @property
    def finished(self) -> dict[str, Finished]:
        """Return the finished files by path, in the order they were finished, earlier attempts' included."""
        return dict(self._finished)

    def path_of(self, name: str) -> Path:
        """Return where a finished file lies until the end."""
        return self._partial.files / name

    def remember(self, name: str, value: Any) -> Any:
        """Return what the first attempt remembered under a name, or remember this (plain values).

        What "now" was belongs here: an export that goes on tomorrow is to mean the same hour.
        """
        if name not in self._notes:
            self._notes[name] = json.loads(json.dumps(value))
            with self._explained():
                self._write_asked()
        return self._notes[name]

    @contextmanager
    def part(self, name: str, about: Mapping[str, Any] | None = None) -> Iterator[Path]:
        """Yield where to write one file; when the block ends well it is on the disk and finished, else it is gone.

        name: its path within the output ("data/r1.parquet"). about: plain values kept beside it; they may be filled
        until the block ends.
        """
        with self.batch() as batch:
            yield batch.path(name, about)

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Yield a way to several files that are finished together when the block ends well, or gone."""
        folder = self._partial.writing
        with self._explained():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            batch = Batch(folder)
            try:
                yield batch
                self._finish_batch(batch)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def grown(self, name: str, size_bytes: int) -> Iterator[Growing]:
        """Yield a file that grows over several checkpoints, for one too large to be made twice; finished at the end.

        size_bytes: how much of it the last checkpoint counts; ask `grown_bytes` whether so much is there.
        """
        with self._explained():
            path = self._partial.growing
            growing = Growing(path, size_bytes)
            try:
                yield growing
                growing.sync()
                self._partial.journal.append([asdict(made := Finished(name, growing.size_bytes, growing.hash))])
                path.replace(self.path_of(name))
                sync_folder(self._partial.files)
                self._finished[name] = made
            finally:
                growing.close()

    @property
    def grown_bytes(self) -> int:
        """Return how large the growing file is on the disk; -1 without one."""
        return _size(self._partial.growing)

    @property
    def checkpoint(self) -> Any:
        """Return what `reached` said last, in an earlier attempt or this one; None before."""
        return self._checkpoint

    def reached(self, checkpoint: Any) -> None:
        """Say how far the output has come (plain values); files finished later count only once it is said again."""
        with self._explained():
            self._partial.journal.append([{"checkpoint": checkpoint}])
        self._checkpoint = checkpoint

    def begin_anew(self, notes: Mapping[str, Any] | None = None) -> None:
        """Forget what is finished, and remember these notes instead of those there are (None keeps them)."""
        kept = self._notes if notes is None else json.loads(json.dumps(dict(notes)))
        with self._explained():
            self._begin()
            self._notes = kept
            self._write_asked()

    def drop(self, name: str) -> None:
        """Forget a finished file and remove it: it was a step towards another one."""
        if self._finished.pop(name, None) is not None:
            with self._explained():
                self._partial.journal.append([{"dropped": name}])
                self.path_of(name).unlink(missing_ok=True)

    def finish(self, manifest: Mapping[str, Any], whole: str | None = None) -> Path:
        """Put the output in its place, with its manifest, and return the target.

        manifest: counts, places read, what was skipped; asked, versions and files with hashes are added. whole: of a
        target that is a file, the finished file that becomes it (the only one by default); its manifest lies beside
        it as `NAME.manifest.json`.
        """
        files = [asdict(one) for one in self._finished.values()] if self.folder else [asdict(self._whole(whole))]
        text = json.dumps(
            {"manifest": VERSION, "asked": self._asked, **self._notes, **_versions(), **manifest, "files": files},
            indent=1,
            default=str,
        )
        with self._explained():
            partial = self._partial
            partial.end()
            if self.folder:
                remove_empty(partial.files)
                write_synced(partial.files / MANIFEST, text)
                put_in_place(partial.files, self.target)
            else:
                name = self._whole(whole).path
                beside = self.target.with_name(f"{self.target.name}.{BESIDE}")
                write_synced(partial.folder / MANIFEST, text)
                put_in_place(self.path_of(name), self.target)
                put_in_place(partial.folder / MANIFEST, beside)
            shutil.rmtree(partial.folder)
            sync_folder(self.target.parent)
        return self.target

    def _whole(self, name: str | None) -> Finished:
        if name is None and len(self._finished) != 1:
            raise ValueError(f"{len(self._finished)} finished files cannot be one: name the whole one")
        return self._finished[name] if name else next(iter(self._finished.values()))

    def _finish_batch(self, batch: Batch) -> None:
        with ThreadPoolExecutor(SYNCERS) as pool:
            synced = pool.map(sync_and_hash, [batch.folder / name for name in batch.files])
            made = [Finished(name, *next(synced), dict(about)) for name, about in batch.files.items()]
        for one in made:
            path = self.path_of(one.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            (batch.folder / one.path).replace(path)
        for folder in {self.path_of(one.path).parent for one in made}:
            sync_folder(folder)
        self._partial.journal.append([asdict(one) for one in made])
        self._finished |= {one.path: one for one in made}

    def _begin(self) -> None:
        """Empty the partial output: it answers another question."""
        self._partial.empty()
        self._notes, self._finished, self._checkpoint = {}, {}, None
        self._write_asked()

    def _question(self) -> dict[str, Any]:
        """Return what must be the same for an earlier attempt to go on."""
        return {"asked": self._asked, "folder": self.folder, **_versions()}

    def _write_asked(self) -> None:
        self._partial.write_asked(self._question(), self._notes)

    def _take_up(self) -> None:
        """Take up what was finished earlier and is there still; with a checkpoint, all of it or nothing."""
        finished, checkpoint = self._partial.journal.read()
        there = {name: one for name, one in finished.items() if _size(self.path_of(name)) == one.size_bytes}
        if checkpoint is not None and len(there) < len(finished):
            self._begin()
            return
        self._finished, self._checkpoint = there, checkpoint

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FleetboxError(
                f"cannot write {self.target}: {error.strerror or error}",
                "make room or give another -o OUT; "
                f"what is finished waits in {self._partial.folder} for the same export",
            ) from error


def _check_target(target: Path, folder: bool) -> None:
    if folder and target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise InputError(f"{target} is a folder with other things in it", "give a new folder, or an earlier export")
    if target.exists() and target.is_dir() != folder:
        kind = "file" if folder else "folder"
        raise InputError(f"{target} is a {kind}", f"give a {'folder' if folder else 'file'}: -o OUT")


def _versions() -> dict[str, Any]:
    from importlib.metadata import version

    return {"made_by": f"fleetbox {version('fleetbox')}"}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
