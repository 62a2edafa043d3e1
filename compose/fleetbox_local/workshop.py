"""A scratch folder in which one server is made, with its progress told."""

from __future__ import annotations

import os
import shutil
import tarfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleetbox.errors import MissingServer, Unreachable
from fleetbox_local.child import Child, Command

TELL_EVERY_S = 15.0  # often enough to show life, rare enough for a CI log
POLL_S = 0.2
FETCH_TIMEOUT_S = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Give a recipe its tools: `work` is thrown away, what lies under `root` is installed."""

    work: Path
    root: Path
    say: Say
    tell_every_s: float = TELL_EVERY_S
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def bin(self) -> Path:
        """Return the folder the recipe must put the binary into."""
        return self.root / "bin"

    def run(self, argv: tuple[str, ...], env: Mapping[str, str] | None = None) -> str:
        """Run one program to its end and return what it printed; raise MissingServer with its last words if it fails.

        It runs in `work`, ends when we do, and its last line is told every `tell_every_s`.
        """
        log = self.work / f"step-{len(list(self.work.glob('step-*.log')))}.log"
        child = Child(Command(argv[0], argv, log, {**self.env, **(env or {})}, cwd=self.work))
        started = told = time.monotonic()
        child.start()
        try:
            while not child.wait(POLL_S):
                if time.monotonic() - told >= self.tell_every_s:
                    told = time.monotonic()
                    self.say(f"  {told - started:4.0f} s  {(child.tail(1) or [''])[0].strip()[:100]}")
        finally:
            child.kill()
        if child.exit_code != 0:
            raise self._failure(child, argv)
        return log.read_text(errors="replace")

    def fetch(self, url: str, binary: str) -> None:
        """Download a binary, or a tar archive that contains it, into `bin`; raise Unreachable or MissingServer."""
        archive = self.work / "download"
        try:
            with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as source, archive.open("wb") as target:
                shutil.copyfileobj(source, target)
        except (OSError, ValueError) as error:
            raise Unreachable(f"cannot download {binary} from {url}: {error}", "check the URL, try again") from error
        self.bin.mkdir(parents=True, exist_ok=True)
        target_file = self.bin / binary
        if tarfile.is_tarfile(archive):
            _unpack(archive, binary, target_file, url)
        else:
            archive.replace(target_file)
        target_file.chmod(0o755)

    def _failure(self, child: Child, argv: tuple[str, ...]) -> MissingServer:
        words = "\n".join(f"    {line}" for line in child.tail())
        return MissingServer(
            f"`{' '.join(argv)}` failed with code {child.exit_code}; it said last:\n{words}",
            "mend what it names and run the same command again, or get the server another way",
        )


def _unpack(archive: Path, binary: str, target: Path, url: str) -> None:
    with tarfile.open(archive) as members:
        for member in members:
            if member.isfile() and Path(member.name).name == binary:
                source = members.extractfile(member)
                if source is not None:
                    with source, target.open("wb") as out:
                        shutil.copyfileobj(source, out)
                    return
    raise MissingServer(f"the archive at {url} holds no {binary}", "name an archive of the server for this machine")
