"""The three files on a real engine: all healthy, the demo played, containers killed under load, the books closed."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleetbox_local.ports import free_port

from .compose_program import find_compose

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

HERE = Path(__file__).parents[2] / "compose"
SITE_PORTS = ("STORE", "INFLUX", "GRAFANA", "STORE_TLS", "GRAFANA_TLS", "CADDY")
VARIABLES = [f"{place}_{what}_PORT" for place in ("ROBOT", "R2") for what in ("STORE", "RELAY")]
VARIABLES += ["EDGE_RELAY_PORT", *(f"{site}_{what}_PORT" for site in ("EDGE", "CLOUD") for what in SITE_PORTS)]
NEXT_IMAGE = "fleetbox:0.1.0-next"
HEALTHY_S = 600  # about a minute on two quiet cores
CLOSED_S = 400.0  # the engine waits 10 s after each refusal, a census looks every 10 s
KILLED = ("edge-store", "edge-site", "robot-store", "robot-agent", "cloud-store", "cloud-site", "edge-influx")


class Containers:
    """A compose file under a name and on ports of its own."""

    def __init__(self, env_file: Path, file: str = "compose.yaml") -> None:
        program = find_compose()
        if program is None:
            pytest.skip("no `docker compose` here: `make test-compose` builds one")
        self.ports = {name: free_port() for name in VARIABLES}
        env_file.write_text("".join(f"{name}={port}\n" for name, port in self.ports.items()))
        self.env_file = env_file
        self.name = f"fbtest{uuid.uuid4().hex[:8]}"
        self._argv = [*program, "-p", self.name, "-f", str(HERE / file), "--env-file", str(env_file)]
        self.healthy_s = 0.0

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker compose WORDS`."""
        done = subprocess.run([*self._argv, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, f"{words} ended with {done.returncode}: {done.stderr[-3000:]}"
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin `docker compose WORDS` beside the test."""
        return subprocess.Popen([*self._argv, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def up(self) -> None:
        """Start everything and wait until all of it is healthy."""
        began = time.monotonic()
        self("up", "--detach", "--no-build", "--wait", "--wait-timeout", str(HEALTHY_S))
        self.healthy_s = time.monotonic() - began

    def fleetbox(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a verb in a container of its own."""
        return self("run", "--rm", "-T", "fleetbox", *words, check=check)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine says of a service's container."""
        found = self("ps", "--all", "--quiet", service).stdout.strip()
        told = subprocess.run(["docker", "inspect", found], capture_output=True, text=True, check=True)
        return dict(json.loads(told.stdout)[0])

    def crash(self, service: str) -> None:
        """End a container's first process with SIGKILL, as the kernel would: the engine must start it again."""
        os.kill(self.inspect(service)["State"]["Pid"], signal.SIGKILL)

    def running(self) -> set[str]:
        """Return the ids of the containers that run."""
        return set(self("ps", "--quiet", "--status", "running").stdout.split())

    def books(self, *words: str) -> dict[str, Any]:
        """Return what `audit` says of r1, or nothing while it cannot."""
        done = self.fleetbox("audit", "r1", "--json", *words, check=False)
        return dict(json.loads(done.stdout)) if done.stdout.strip() else {}

    def wait_closed(self, *words: str) -> dict[str, Any]:
        """Wait until everything that was recorded has arrived; return the books."""
        found: list[dict[str, Any]] = []

        def closed() -> bool:
            found.append(self.books(*words))
            return summary(found[-1])["arrived"] > 0 and outstanding(found[-1]) == 0

        try:
            wait_until(closed, CLOSED_S)
        finally:
            sys.stderr.write(f"books: {summary(found[-1])}\n")
        assert_closed(found[-1])
        return found[-1]

    def wait_healthy(self, services: tuple[str, ...]) -> None:
        """Wait until services are healthy again."""
        wait_until(
            lambda: all(self.inspect(name)["State"].get("Health", {}).get("Status") == "healthy" for name in services),
            HEALTHY_S,
        )


def wait_until(done: Callable[[], bool], timeout_s: float) -> None:
    """Wait for a condition; fail at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s"
        time.sleep(1.0)


@contextmanager
def small_disk(fleet: Containers, volume: str, folder: Path) -> Iterator[None]:
    """Lay a volume on a file system of its own, so that it can be filled; a plain one where we may not mount."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=2g,uid=10001,gid=10001", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        folder.rmdir()
        yield
        return
    try:
        labels = {"com.docker.compose.project": fleet.name, "com.docker.compose.volume": volume}
        options = {"type": "none", "o": "bind", "device": str(folder)}
        argv = ["docker", "volume", "create", f"{fleet.name}_{volume}"]
        argv += [word for pair in labels.items() for word in ("--label", "=".join(pair))]
        argv += [word for pair in options.items() for word in ("--opt", "=".join(pair))]
        subprocess.run(argv, check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # an engine that was cut off holds it still
        folder.rmdir()


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """The whole fleet in containers, gone afterwards with its volumes."""
    try:
        engine = subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        engine = False
    if not engine:
        pytest.skip("no Docker engine answers: `make test-compose` starts one, as root")
    folder = tmp_path_factory.mktemp("compose")
    fleet = Containers(folder / "env")
    disk = Path(tempfile.mkdtemp(prefix="fleetbox-disk-"))  # pytest sweeps its own folders, other sessions' too
    with small_disk(fleet, "edge-data", disk):
        try:
            fleet.up()
            sys.stderr.write(f"all healthy after {fleet.healthy_s:.0f} s\n")
            yield fleet
        finally:
            fleet("--profile", "tools", "down", "--volumes", "--timeout", "60", check=False)


def test_secrets_are_made_once_and_shown_nowhere(containers: Containers) -> None:
    """A second `up` leaves every container as it is and makes no other token; `docker inspect` shows none."""
    read = ("exec", "-T", "edge-store", "cat", "/run/fleetbox/store.token")
    token, before = containers(*read).stdout, containers.running()
    assert len(token) > 20
    containers.up()
    assert containers.running() == before
    assert containers(*read).stdout == token
    assert token not in json.dumps(containers.inspect("edge-store"))
    mode = containers("exec", "-T", "edge-site", "stat", "-c", "%a %u", "/run/fleetbox/store.token").stdout
    assert mode.split() == ["600", "10001"]


def test_grafanas_token_may_only_read(containers: Containers) -> None:
    """Grafana's token asks InfluxDB and cannot write."""
    token = containers("exec", "-T", "edge-grafana", "cat", "/run/grafana/influx.token").stdout.strip()
    url, headers = f"http://127.0.0.1:{containers.ports['EDGE_INFLUX_PORT']}", {"Authorization": f"Token {token}"}
    ask = urllib.request.Request(f"{url}/query?db=fleetbox&q=SHOW%20MEASUREMENTS", headers=headers)
    with urllib.request.urlopen(ask, timeout=10) as answer:
        assert "error" not in json.loads(answer.read())["results"][0]
    write = urllib.request.Request(f"{url}/api/v2/write?org=fleetbox&bucket=fleetbox", b"m f=1", headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(write, timeout=10)
    refused.value.close()
    assert refused.value.code in (401, 403, 404)


@pytest.mark.parametrize("site", ["edge", "cloud"])
def test_the_door_speaks_tls(containers: Containers, tmp_path: Path, site: str) -> None:
    """Store and Grafana are reached with TLS by whoever trusts the site's authority, and by nobody else."""
    roots = tmp_path / "root.crt"
    roots.write_text(
        containers("exec", "-T", f"{site}-caddy", "cat", "/caddy/data/caddy/pki/authorities/local/root.crt").stdout
    )
    trusting = ssl.create_default_context(cafile=str(roots))
    for variable, path in (("STORE_TLS_PORT", "/api/v1/ready"), ("GRAFANA_TLS_PORT", "/api/health")):
        url = f"https://localhost:{containers.ports[f'{site.upper()}_{variable}']}{path}"
        with urllib.request.urlopen(url, timeout=10, context=trusting) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(url, timeout=10, context=ssl.create_default_context())


def test_the_demo_is_played(containers: Containers) -> None:
    """Every act comes to its end on the containers, and the books close with nothing lost."""
    facts = json.loads(containers.fleetbox("demo", "--running", "--json").stdout)
    assert facts["moment"]["arrived_records"] == facts["moment"]["selected_records"] > 0
    assert facts["moment"]["bytes_copied_on_robot"] == 0
    assert facts["fault"]["fleetbox"]["arrived"] == facts["fault"]["records"]
    assert facts["ask"]["mean_source"] == "influx"
    assert_closed(facts["books"])


def test_killed_containers_come_back_and_the_books_close(containers: Containers) -> None:
    """Each store, agent, site and InfluxDB is killed under load; it comes back by itself and nothing is lost."""
    began = str(time.time_ns() // 1000)
    words = ("simulate", "--config", "/demo/r1/robot.toml", "--seconds", "60", "--brake-at", "20", "--json")
    robot = containers.start("run", "--rm", "-T", "fleetbox", *words)
    try:
        wait_until(lambda: "imu" in containers.fleetbox("ls", "r1", "--json", check=False).stdout, CLOSED_S)
        for service in KILLED:
            containers.crash(service)
            time.sleep(2.0)  # the fault itself: under load one after the other, not all at once
        containers.wait_healthy(KILLED)
        said, trouble = robot.communicate(timeout=HEALTHY_S)  # a minute, on a machine that has one to spare
        assert robot.returncode == 0, trouble[-2000:] + said[-2000:]
    finally:
        robot.kill()
    containers.wait_closed("--start", began)


def test_a_full_disk_under_the_edges_store_loses_nothing(containers: Containers) -> None:
    """What finds no room at the edge waits on the robot; once there is room the books close."""
    began = str(time.time_ns() // 1000)
    at_edge = ("exec", "-T", "edge-store", "sh", "-c")
    if "tmpfs" not in containers(*at_edge, "grep ' /data ' /proc/mounts").stdout:
        pytest.skip("only root, beside the engine, can give a volume a small disk of its own")
    containers(*at_edge, "cat /dev/zero > /data/filler; test -s /data/filler", check=False)
    try:
        words = ("simulate", "--config", "/demo/r1/robot.toml", "--seconds", "20", "--brake-at", "8", "--json")
        containers.fleetbox(*words)
        wait_until(lambda: outstanding(containers.books("--start", began)) > 0, CLOSED_S)
    finally:
        containers(*at_edge, "rm -f /data/filler")
    containers.wait_closed("--start", began)


def test_down_and_another_image_keep_the_data(containers: Containers) -> None:
    """`stop` lets stores end by themselves within their grace; after `down` and with a new image all is there again."""
    read = ("exec", "-T", "edge-store", "cat", "/run/fleetbox/store.token")
    began = ("--start", str(time.time_ns() // 1000))
    containers.fleetbox("simulate", "--config", "/demo/r1/robot.toml", "--seconds", "10", "--brake-at", "5", "--json")
    token, before = containers(*read).stdout, summary(containers.wait_closed(*began))
    containers("stop", "--timeout", "90")
    for service in ("robot-store", "edge-store", "cloud-store", "robot-agent", "edge-site"):
        assert containers.inspect(service)["State"]["ExitCode"] in (0, 143), service
    containers("down")
    assert not containers.running()
    subprocess.run(["docker", "tag", "fleetbox:0.1.0", NEXT_IMAGE], check=True)
    with containers.env_file.open("a") as file:
        file.write(f"FLEETBOX_IMAGE={NEXT_IMAGE}\n")
    containers.up()
    assert containers.inspect("edge-site")["Config"]["Image"] == NEXT_IMAGE
    assert containers(*read).stdout == token
    after = summary(containers.wait_closed(*began))
    assert before["recorded"] <= after["recorded"]  # agents go on recording of themselves
    assert before["arrived"] <= after["arrived"]


def test_settings_of_no_sense_are_told_with_the_next_step(tmp_path: Path) -> None:
    """`up` ends at the first service, whose log names each variable; a missing folder of ours is named as well."""
    fleet = Containers(tmp_path / "env", "robot.yaml")
    (tmp_path / "env").write_text("ROBOT=r--1\nROBOT_STORE_PORT=none\n")
    try:
        done = fleet("up", "--detach", "--no-build", "--wait", check=False)
        assert done.returncode != 0
        assert "robot-secrets" in done.stderr
        told = fleet("logs", "robot-secrets").stdout
        assert "ROBOT=r--1: " in told
        assert "ROBOT_STORE_PORT=none: " in told
        assert "correct it in .env" in told
    finally:
        fleet("down", "--volumes", check=False)
    (tmp_path / "robot.yaml").write_text((HERE / "robot.yaml").read_text())
    alone = Containers(tmp_path / "env", str(tmp_path / "robot.yaml"))
    try:
        done = alone("up", "--detach", "--no-build", check=False)
        assert done.returncode != 0
        assert str(tmp_path / "settings") in done.stderr
    finally:
        alone("down", "--volumes", check=False)


def outstanding(books: dict[str, Any]) -> int:
    """Sum up what is not accounted for, or still on its way, over all hops in an audit's answer."""
    names = ("waiting", "lost", "unexplained")
    return sum(amount(value) for key, value in walk(books) if key in names)


def amount(value: Any) -> int:
    """Return a number, or the sum of numbers by reason."""
    if isinstance(value, dict):
        return sum(amount(one) for one in value.values())
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield key, value
        yield from walk(value)
    for one in tree if isinstance(tree, list) else ():
        yield from walk(one)


def summary(books: dict[str, Any]) -> dict[str, int]:
    """Sum up how many records each word of the balance counts, over all hops."""
    words = ("recorded", "selected", "arrived", "waiting", "refused", "lost", "unexplained")
    return {word: sum(amount(value) for key, value in walk(books) if key == word) for word in words}


def assert_closed(books: dict[str, Any]) -> None:
    """Nothing lost, nothing unexplained, nothing waiting; and something recorded at all."""
    assert outstanding(books) == 0, books
    assert sum(amount(value) for key, value in walk(books) if key == "arrived") > 0, books
