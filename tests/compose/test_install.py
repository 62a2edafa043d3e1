"""Servers are made once per user, whole or not at all."""

from __future__ import annotations

import http.server
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fleetbox.errors import MissingServer, Unreachable
from fleetbox_local.install import Installer
from fleetbox_local.programs import INFLUXDB, REDUCTSTORE, find_server
from fleetbox_local.recipes import Recipe, _replacements
from fleetbox_local.workshop import Workshop

DEADLINE_S = 60.0
SERVER = "#!/bin/sh\necho {version}\n"

# A second interpreter with a slow recipe; the lock, the folders and the rename are the real ones.
SLOW = """
import sys
from fleetbox_local.install import Installer
from fleetbox_local.programs import REDUCTSTORE
from fleetbox_local.recipes import Recipe

def build(shop):
    print("building", flush=True)
    shop.run(("sh", "-c", f"mkdir -p {shop.bin}; cd {shop.bin};"
              "printf '#!/bin/sh\\\\necho 1.21.4\\\\n' > reductstore; chmod +x reductstore;"
              f"echo once >> {sys.argv[1]}/builds;"  # last: what outlives a kill -9 of us writes nothing more
              f"while [ ! -e {sys.argv[1]}/go ]; do sleep 0.02; done"))

recipes = {"reductstore": Recipe(REDUCTSTORE, (), "slow", build)}
print(Installer(lambda text: print(text, flush=True), recipes=recipes).install("reductstore").where, flush=True)
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A user without any server and without Docker."""
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "sleep", "mkdir", "chmod"):
        (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    return {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


@pytest.fixture(autouse=True)
def _no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetbox_local.programs.docker_runs", lambda: False)


def fake_server(path: Path, version: str) -> Path:
    """Write a program that answers like a server of this version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SERVER.format(version=version))
    path.chmod(0o755)
    return path


def servers(env: dict[str, str]) -> set[str]:
    """List what the cache holds, locks aside."""
    return {path.name for path in (Path(env["XDG_CACHE_HOME"]) / "fleetbox/servers").glob("*") if path.is_dir()}


def slow_installer(tmp_path: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start another process that installs."""
    hidden = {**env, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], env=hidden, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    """Read the next line a process prints, but for those that tell how long a step has run by now."""
    assert process.stdout is not None
    while re.match(r" +[0-9]+ s ", said := process.stdout.readline()):
        pass
    return said.strip()


def test_two_installers(tmp_path: Path, env: dict[str, str]) -> None:
    """The second installer says that it waits, then uses what the first one built: one build in all."""
    with slow_installer(tmp_path, env) as first:
        assert [line(first), line(first)] == ["slow", "building"]
        with slow_installer(tmp_path, env) as second:
            assert "another process is installing ReductStore" in line(second)
            (tmp_path / "go").touch()
            built = Path(env["XDG_CACHE_HOME"]) / "fleetbox/servers/reductstore-1.21.4/bin/reductstore"
            assert [line(first), line(second)] == [str(built)] * 2
    assert (tmp_path / "builds").read_text().split() == ["once"]
    assert servers(env) == {"reductstore-1.21.4"}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_install(tmp_path: Path, env: dict[str, str], how: signal.Signals) -> None:
    """An interrupted build leaves nothing that looks installed; the next one clears up and succeeds."""
    with slow_installer(tmp_path, env) as process:
        assert [line(process), line(process)] == ["slow", "building"]
        deadline = time.monotonic() + DEADLINE_S
        while not (tmp_path / "builds").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(how)
    assert not any(name.startswith("reductstore") for name in servers(env))
    if how is signal.SIGINT:
        assert servers(env) == set()
    with pytest.raises(MissingServer):
        find_server("reductstore", env)
    (tmp_path / "go").touch()
    with slow_installer(tmp_path, env) as again:
        assert again.wait(DEADLINE_S) == 0
    assert servers(env) == {"reductstore-1.21.4"}


def test_failed_build(env: dict[str, str]) -> None:
    """A build that fails shows its last words and leaves nothing."""

    def build(shop: Workshop) -> None:
        shop.run(("sh", "-c", "echo no such crate; exit 3"))

    recipes = {"reductstore": Recipe(REDUCTSTORE, (), "try", build)}
    with pytest.raises(MissingServer, match=r"failed with code 3(.|\n)*no such crate"):
        Installer(lambda text: None, env, recipes).install("reductstore")
    assert servers(env) == set()


def test_build_of_something_else(env: dict[str, str]) -> None:
    """What a recipe made is asked for its version before it is installed."""

    def build(shop: Workshop) -> None:
        fake_server(shop.bin / "reductstore", "0.9.0")

    recipes = {"reductstore": Recipe(REDUCTSTORE, (), "try", build)}
    with pytest.raises(MissingServer, match=r"0\.9\.0, which cannot serve"):
        Installer(lambda text: None, env, recipes).install("reductstore")
    assert servers(env) == set()


def test_progress_is_told(tmp_path: Path) -> None:
    """A long step tells how long it has run and its last line."""
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        if "Compiling" in text:  # on a busy machine the first word of progress comes before the program's
            (tmp_path / "go").touch()

    shop = Workshop(tmp_path, tmp_path / "root", tell, tell_every_s=0.0)
    shop.run(("sh", "-c", f"echo Compiling tokio; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"))
    assert "Compiling tokio" in told[-1]


def test_no_binary_and_no_tools(env: dict[str, str]) -> None:
    """Without a server and without tools the error lists every way to get one."""
    with pytest.raises(MissingServer) as missing:
        Installer(lambda text: None, env).install("reductstore")
    text = str(missing.value)
    assert "cargo, cc not on PATH" in text
    for way in ("FLEETBOX_REDUCTSTORE=", "PATH", "Docker", "reduct/store:v1.21.4", "fleetbox servers install", "cargo"):
        assert way in text


def test_order(tmp_path: Path, env: dict[str, str]) -> None:
    """An explicit path goes before PATH, PATH before the cache; what is too old is passed over."""
    cache = Path(env["XDG_CACHE_HOME"]) / "fleetbox/servers"
    fake_server(cache / "reductstore-1.21.4/bin/reductstore", "1.21.4")
    assert find_server("reductstore", env).origin == "cache"
    on_path = fake_server(tmp_path / "bin/reductstore", "1.19.0")
    assert find_server("reductstore", env).origin == "cache"
    fake_server(on_path, "1.22.0")
    assert (find_server("reductstore", env).origin, find_server("reductstore", env).version) == ("PATH", "1.22.0")
    named = fake_server(tmp_path / "mine/reductstore", "1.21.9")
    found = find_server("reductstore", {**env, "FLEETBOX_REDUCTSTORE": str(named)})
    assert (found.origin, found.version, found.binary) == ("explicit", "1.21.9", named)


@pytest.mark.parametrize(("content", "why"), [(None, "no ReductStore program"), ("#!/bin/sh\necho hello\n", "answer")])
def test_bad_explicit_path(tmp_path: Path, env: dict[str, str], content: str | None, why: str) -> None:
    """A path the user named is never passed over in silence."""
    named = tmp_path / "reductstore"
    if content:
        named.write_text(content)
        named.chmod(0o755)
    with pytest.raises(MissingServer, match=why):
        find_server("reductstore", {**env, "FLEETBOX_REDUCTSTORE": str(named)})


def test_adopt_a_path(tmp_path: Path, env: dict[str, str]) -> None:
    """A path given to install is remembered and goes before PATH."""
    fake_server(tmp_path / "bin/reductstore", "1.22.0")
    named = fake_server(tmp_path / "mine/reductstore", "1.21.9")
    Installer(lambda text: None, env).install("reductstore", str(named))
    assert find_server("reductstore", env).binary == named


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server over tmp_path/web."""
    (tmp_path / "web").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_adopt_a_url(tmp_path: Path, env: dict[str, str], web: str) -> None:
    """A URL of an archive is fetched once, unpacked and remembered."""
    with tarfile.open(tmp_path / "web/influx.tar.gz", "w:gz") as archive:
        content = SERVER.format(version="InfluxDB v2.7.9").encode()
        member = tarfile.TarInfo("influxdb2/usr/bin/influxd")
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    said: list[str] = []
    named = {**env, INFLUXDB.variable: f"{web}/influx.tar.gz"}
    for _ in range(2):
        assert Installer(said.append, named).install("influxdb").version == "2.7.9"
    assert len(said) == 1
    assert find_server("influxdb", named).origin == "explicit"


def test_bad_url(env: dict[str, str], web: str) -> None:
    """A URL that does not answer leaves nothing and names the URL."""
    with pytest.raises(Unreachable, match=f"{web}/nothing"):
        Installer(lambda text: None, env).install("influxdb", f"{web}/nothing")
    assert servers(env) == set()


def test_replacements() -> None:
    """The replace lines of a go.mod are repeated, nothing else."""
    assert _replacements("module x\n\nreplace a v1 => b v2\nrequire c v1\n") == ["replace a v1 => b v2"]
