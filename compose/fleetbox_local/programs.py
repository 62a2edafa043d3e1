"""Finds the server programs on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetbox.errors import MissingServer

EXPLICIT = "explicit"  # in the cache: a binary the user named to `servers install`, before all others
ASK_TIMEOUT_S = 20.0  # a program that does not tell its version by then is not the one we look for


@dataclass(frozen=True, slots=True)
class Release:
    """Name a server program, the version we build, and the versions we accept from elsewhere."""

    name: str
    title: str
    binary: str
    version: str
    least: tuple[int, int]  # first version that can serve
    below: tuple[int, int]  # first version that cannot any more
    variable: str  # environment variable with an explicit path or URL
    image: str  # official image, pinned
    ask_version: tuple[str, ...]

    def accepts(self, version: str) -> bool:
        """Tell whether this version can serve."""
        return self.least <= _numbers(version) < self.below


REDUCTSTORE = Release(
    name="reductstore",
    title="ReductStore",
    binary="reductstore",
    version="1.21.4",
    least=(1, 21),  # RS_API_TOKEN, `$meta` attachments and v2 batches as the blob port uses them
    below=(2, 0),
    variable="FLEETBOX_REDUCTSTORE",
    image="reduct/store:v1.21.4",
    ask_version=("--version",),
)
INFLUXDB = Release(
    name="influxdb",
    title="InfluxDB",
    binary="influxd",
    version="2.7.12",
    least=(2, 2),  # maps buckets to InfluxQL databases by itself
    below=(3, 0),  # another API
    variable="FLEETBOX_INFLUXD",
    image="influxdb:2.7.12",
    ask_version=("version",),
)
RELEASES = {release.name: release for release in (REDUCTSTORE, INFLUXDB)}


@dataclass(frozen=True, slots=True)
class Program:
    """Point at a server that can be started here: a binary, or an image on a running Docker engine."""

    release: Release
    version: str
    origin: str  # EXPLICIT | "PATH" | "cache" | "docker"
    binary: Path | None = None

    @property
    def where(self) -> str:
        """Say in words where it comes from."""
        return str(self.binary) if self.binary else f"docker image {self.release.image}"

    def argv(self, data_dir: Path, env: Mapping[str, str], args: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Build the command line; a container gets host network, our user, `data_dir` at its own path and `env`.

        It passes SIGTERM on to the server. SIGKILL reaches only the client: `kill_container` is for that.
        """
        if self.binary:
            return (str(self.binary), *args)
        variables = [part for name in env for part in ("--env", name)]  # values stay out of `ps`
        return (
            "docker",
            "run",
            "--rm",
            "--init",
            "--name",
            container_name(data_dir),
            "--network",
            "host",
            "--user",
            f"{os.getuid()}:{os.getgid()}",
            "--volume",
            f"{data_dir}:{data_dir}",
            *variables,
            self.release.image,
            self.release.binary,
            *args,
        )


def find_server(name: str, env: Mapping[str, str] | None = None) -> Program:
    """Find a server: explicit path, PATH, cache, running Docker engine; raise MissingServer naming the ways to get one.

    Never builds or downloads: that is `fleetbox servers install`.
    """
    release = RELEASES[name]
    env = os.environ if env is None else env
    found = _explicit(release, env) or _on_path(release, env) or _cached(release, env) or _docker(release)
    if found is None:
        raise MissingServer(f"no {release.title} found on this machine", ways(release, env))
    return found


def ways(release: Release, env: Mapping[str, str]) -> str:
    """List the ways to get a server here."""
    flag = " --influx" if release.name == INFLUXDB.name else ""
    toolchain = "cargo (https://rustup.rs)" if release.name == REDUCTSTORE.name else "go and cargo"
    return (
        f"any one of these:\n"
        f"    {release.variable}=/path/to/{release.binary}   (or a URL of it, for `fleetbox servers install`)\n"
        f"    put {release.binary} {release.least[0]}.{release.least[1]} or newer on PATH\n"
        f"    start a Docker engine (image {release.image})\n"
        f"    fleetbox servers install{flag}   builds it once into {cache_dir(env)}; needs {toolchain}"
    )


def cache_dir(env: Mapping[str, str]) -> Path:
    """Return the user's folder of installed servers."""
    base = env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or Path.home()) / ".cache"
    return Path(base) / "fleetbox" / "servers"


def cached_binary(release: Release, version: str, env: Mapping[str, str]) -> Path:
    """Return where this version's binary is, or will be, in the cache."""
    return cache_dir(env) / f"{release.name}-{version}" / "bin" / release.binary


def ask_version(release: Release, binary: Path) -> str | None:
    """Run the binary for its version; None if it does not answer like this server."""
    try:
        answer = subprocess.run(
            [str(binary), *release.ask_version],
            capture_output=True,
            text=True,
            timeout=ASK_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    numbers = re.search(r"\bv?(\d+\.\d+\.\d+)", answer.stdout)
    return numbers.group(1) if numbers else None


def check_binary(release: Release, binary: Path) -> str:
    """Return the version of a binary the user named; raise MissingServer if it cannot serve."""
    if not binary.is_file():
        raise MissingServer(f"there is no {release.title} program at {binary}", "name the program file itself")
    version = ask_version(release, binary)
    if version is None:
        raise MissingServer(
            f"{binary} does not answer `{' '.join(release.ask_version)}` like {release.title}",
            f"name a {release.binary} for this machine's processor and system",
        )
    if not release.accepts(version):
        raise MissingServer(
            f"{binary} is {release.title} {version}, which cannot serve",
            f"use {release.least[0]}.{release.least[1]} up to, not including, {release.below[0]}.{release.below[1]}",
        )
    return version


def container_name(data_dir: Path) -> str:
    """Name the container of a data folder: one server per folder, so one name per folder."""
    return f"fleetbox-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"


def kill_container(data_dir: Path) -> None:
    """End a container at once; what is not there is ended already."""
    subprocess.run(["docker", "kill", container_name(data_dir)], capture_output=True, check=False)


def docker_runs() -> bool:
    """Tell whether a Docker engine answers."""
    if not shutil.which("docker"):
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=ASK_TIMEOUT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _explicit(release: Release, env: Mapping[str, str]) -> Program | None:
    named = env.get(release.variable)
    remembered = cached_binary(release, EXPLICIT, env)
    if named and "://" not in named:  # a URL is fetched by `servers install`, which remembers it
        binary = Path(named).expanduser().absolute()
    elif remembered.is_symlink() or remembered.exists():
        binary = remembered.resolve()
    else:
        return None
    return Program(release, check_binary(release, binary), EXPLICIT, binary)


def _on_path(release: Release, env: Mapping[str, str]) -> Program | None:
    found = shutil.which(release.binary, path=env.get("PATH"))
    return _usable(release, Path(found), "PATH") if found else None


def _cached(release: Release, env: Mapping[str, str]) -> Program | None:
    pinned = cached_binary(release, release.version, env)
    others = cache_dir(env).glob(f"{release.name}-*/bin/{release.binary}")
    named = f"{release.name}-{EXPLICIT}"
    newest = sorted((path for path in others if path.parts[-3] != named), key=_version_of_path, reverse=True)
    candidates = (_usable(release, binary, "cache") for binary in (pinned, *newest) if binary.is_file())
    return next((program for program in candidates if program), None)


def _docker(release: Release) -> Program | None:
    return Program(release, release.version, "docker") if docker_runs() else None


def _usable(release: Release, binary: Path, origin: str) -> Program | None:
    version = ask_version(release, binary)
    return Program(release, version, origin, binary) if version and release.accepts(version) else None


def _version_of_path(binary: Path) -> tuple[int, ...]:
    return _numbers(binary.parts[-3])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
