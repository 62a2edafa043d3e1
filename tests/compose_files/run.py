"""Proves the compose files on a real engine: finds or starts one, gets images, builds ours, runs the tests.

    python tests/compose_files/run.py [PYTEST ARGUMENTS]

An engine that runs already is used and left alone; one that this script starts ends with it, listens on a socket that
nobody else looks at, and keeps its images in a folder of its own. Exit 0 with a clear word when there can be none here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import compose_program
import stand_ins

from fleetbox_local.programs import cache_dir

ROOT = Path(__file__).parents[2]
IMAGE = "fleetbox:0.1.0"
SERVERS = ["reduct/store:v1.21.4", "influxdb:2.7.12", "caddy:2.10.2", "grafana/grafana:11.6.1"]
ENGINE_S = 180.0  # its containers get theirs to end, on a busy machine
DAEMON = "/usr/sbin/dockerd"  # Debian's; not on everybody's PATH


def main() -> int:
    """Run everything; return pytest's exit code."""
    reason = _why_not()
    if reason:
        return _skip(reason)
    with _engine() as ours:
        compose_program.get_compose()
        try:
            served = stand_ins.make_missing([*SERVERS, stand_ins.base_name()])
        except stand_ins.NoStandIn as lacking:
            return _skip(str(lacking))
        if served:
            sys.stderr.write(f"stand-ins, not the official images: {', '.join(served)}\n")
        try:
            return _prove()
        finally:
            if served and not ours:  # nobody shall take one for the official image later
                subprocess.run(["docker", "image", "rm", "--force", *served], capture_output=True, check=False)


def _prove() -> int:
    _build_ours()
    argv = [sys.executable, "-m", "pytest", "-m", "compose", "-p", "no:cacheprovider", str(Path(__file__).parent)]
    return subprocess.run([*argv, *sys.argv[1:]], cwd=ROOT, check=False).returncode


def _skip(reason: str) -> int:
    sys.stderr.write(f"SKIPPED: the compose files were not proven on an engine: {reason}\n")
    return 0


def _build_ours() -> None:
    started = time.monotonic()
    argv = ["docker", "build", "--network", "host", "-f", "compose/Dockerfile", "-t", IMAGE, "."]
    legacy = {} if _answers("docker", "buildx", "version") else {"DOCKER_BUILDKIT": "0"}
    subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **legacy})
    size = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", IMAGE], capture_output=True, text=True, check=True
    )
    took_s = time.monotonic() - started
    sys.stderr.write(f"{IMAGE}: {int(size.stdout) / 1e6:.0f} MB, built in {took_s:.0f} s\n")


def _why_not() -> str | None:
    if not shutil.which("docker"):
        return "no `docker` command (on Debian: apt-get install docker.io)"
    if compose_program.find_compose() is None and not shutil.which("go"):
        return "no `docker compose` of version 2 or newer, and no go to build one"
    if _answers("docker", "info"):
        return None
    if os.getuid() != 0 or not _daemon():
        return "no Docker engine answers, and only root can start one"
    return None


def _daemon() -> str | None:
    return shutil.which("dockerd") or (DAEMON if Path(DAEMON).exists() else None)


@contextmanager
def _engine() -> Iterator[bool]:
    """Leave a running engine alone, or start one for as long as this lasts; tell whether it is our own."""
    if _answers("docker", "info"):
        yield False
        return
    with tempfile.TemporaryDirectory(prefix="fleetbox-engine-") as name:
        log = Path(name) / "log"
        os.environ["DOCKER_HOST"] = f"unix://{name}/socket"
        try:
            with log.open("w") as file, _engine_of_our_own(Path(name), file) as engine:
                _wait_ready(engine, log)
                yield True
        finally:
            del os.environ["DOCKER_HOST"]


@contextmanager
def _engine_of_our_own(run: Path, log: TextIO) -> Iterator[subprocess.Popen[bytes]]:
    """Run one that touches nothing of this machine's: no bridge, no packet filter, its images in our cache."""
    daemon = _daemon()
    assert daemon is not None
    images = cache_dir(os.environ).parent / "engine"
    argv = [daemon, "--host", os.environ["DOCKER_HOST"], "--data-root", str(images), "--exec-root", str(run / "exec")]
    argv += ["--pidfile", str(run / "pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false"]
    engine = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        yield engine
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(ENGINE_S)
        subprocess.run(["umount", str(run / "exec/netns/default")], capture_output=True, check=False)  # it leaves this


def _wait_ready(engine: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + ENGINE_S
    while not _answers("docker", "info"):
        if engine.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the Docker engine did not start; it said: {log.read_text()[-2000:]}")
        time.sleep(0.2)


def _answers(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
