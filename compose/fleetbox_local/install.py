"""Gets the server programs: finds them, or makes them once per user."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from fleetbox.errors import MissingServer
from fleetbox_local.locks import one_at_a_time
from fleetbox_local.programs import (
    EXPLICIT,
    Program,
    Release,
    ask_version,
    cache_dir,
    check_binary,
    find_server,
    ways,
)
from fleetbox_local.recipes import RECIPES, Recipe
from fleetbox_local.workshop import Say, Workshop

SOURCE = "source"  # beside a downloaded binary: its URL, so that it is fetched once


class Installer:
    """Find or make servers in one user's cache; safe against interruption and against a second installer."""

    def __init__(
        self, say: Say, env: Mapping[str, str] | None = None, recipes: Mapping[str, Recipe] | None = None
    ) -> None:
        self._say = say
        self._env = dict(os.environ if env is None else env)
        self._recipes = RECIPES if recipes is None else recipes

    def install(self, name: str, source: str | None = None) -> Program:
        """Return the server `name`, made if need be; `source` is a path or URL to take it from.

        Raise MissingServer when there is none and no way to make one here.
        """
        recipe = self._recipes[name]
        source = source or _url(self._env.get(recipe.release.variable))
        if source:
            return self._adopt(recipe.release, source)
        try:
            return self._prepared(find_server(name, self._env))
        except MissingServer:
            self._build(recipe)
        return find_server(name, self._env)

    def _build(self, recipe: Recipe) -> None:
        missing = recipe.missing_tools(self._env)
        if missing:
            raise MissingServer(
                f"no {recipe.release.title} on this machine, and it cannot be built: {', '.join(missing)} not on PATH",
                ways(recipe.release, self._env),
            )

        def build(shop: Workshop) -> None:
            self._say(recipe.story)
            recipe.build(shop)

        self._make(recipe.release, recipe.release.version, build)

    def _adopt(self, release: Release, source: str) -> Program:
        """Remember a binary the user named, by link or by download; it goes before all others from now on."""
        if "://" not in source:
            binary = Path(source).expanduser().absolute()
            check_binary(release, binary)

            def make(shop: Workshop) -> None:
                shop.bin.mkdir(parents=True)
                (shop.bin / release.binary).symlink_to(binary)
        else:

            def make(shop: Workshop) -> None:
                self._say(f"downloading {release.title} from {source}")
                shop.fetch(source, release.binary)
                (shop.root / SOURCE).write_text(source)

        self._make(release, EXPLICIT, make, replace=not self._fetched(release, source))
        return find_server(release.name, {**self._env, release.variable: ""})

    def _fetched(self, release: Release, source: str) -> bool:
        """Tell whether exactly this URL is what the cache holds."""
        remembered = cache_dir(self._env) / f"{release.name}-{EXPLICIT}" / SOURCE
        return remembered.exists() and remembered.read_text() == source

    def _make(self, release: Release, label: str, make: Callable[[Workshop], None], *, replace: bool = False) -> None:
        """Make a server beside its place in the cache and move it there by one rename."""
        cache = cache_dir(self._env)
        target = cache / f"{release.name}-{label}"

        def on_wait() -> None:
            self._say(f"another process is installing {release.title}; waiting for it")

        with one_at_a_time(cache / f".{release.name}.lock", on_wait):
            if not replace and _good(release, target / "bin" / release.binary):
                return  # the one we waited for has done it
            _sweep(cache, release)
            with tempfile.TemporaryDirectory(prefix=_prefix(release), dir=cache, ignore_cleanup_errors=True) as scratch:
                shop = Workshop(Path(scratch) / "work", Path(scratch) / "root", self._say, env=self._env)
                shop.work.mkdir()
                make(shop)
                check_binary(release, shop.bin / release.binary)
                if target.exists():
                    target.rename(Path(scratch) / "old")
                shop.root.rename(target)

    def _prepared(self, program: Program) -> Program:
        """Fetch the image of a server that runs in Docker, so that the first start does not wait for it."""
        image = program.release.image
        if program.binary is None and not _run(["docker", "image", "inspect", image]):
            self._say(f"fetching the official image {image}; once")
            if not _run(["docker", "pull", image]):
                raise MissingServer(f"the Docker engine could not fetch {image}", ways(program.release, self._env))
        return program


def _url(named: str | None) -> str | None:
    return named if named and "://" in named else None


def _good(release: Release, binary: Path) -> bool:
    version = ask_version(release, binary)
    return version is not None and release.accepts(version)


def _prefix(release: Release) -> str:
    return f".making-{release.name}-"


def _sweep(cache: Path, release: Release) -> None:
    """Remove what a killed installer left; we hold the lock, so nobody works there."""
    for leftover in cache.glob(_prefix(release) + "*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _run(argv: list[str]) -> bool:
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
