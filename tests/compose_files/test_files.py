"""The compose files keep their promises, and the program that reads them takes them; no engine is needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetbox.settings import load_fleet, load_policy, load_robot
from fleetbox_local.demo.stage import TRIGGER
from fleetbox_local.processes import STORE_ENV
from fleetbox_local.programs import INFLUXDB, REDUCTSTORE

from .compose_program import find_compose

HERE = Path(__file__).parents[2] / "compose"
BUILT = HERE.parent / "dashboards/built"
TIERS = ("robot", "edge", "cloud")
ENDS = ("-secrets", "-setup", "handing-out")  # services that end by themselves
PORTS = {
    "ROBOT_STORE_PORT": "8383",
    "ROBOT_RELAY_PORT": "8384",
    "R2_STORE_PORT": "8386",
    "R2_RELAY_PORT": "8387",
    "EDGE_STORE_PORT": "8390",
    "EDGE_RELAY_PORT": "8391",
    "EDGE_INFLUX_PORT": "8086",
    "CLOUD_STORE_PORT": "8395",
    "CLOUD_INFLUX_PORT": "8087",
}
OF_ITS_OWN = {"environment": None, "volumes": None, "depends_on": None}
PLACES = {"ROBOT": "r7", "SITE_URL": "https://edge:8443", "SITE_NAME": "edge", "CLOUD_URL": "https://c:1", "FLEET": "f"}


def services(tier: str) -> dict[str, dict[str, Any]]:
    """Return the services of one file, anchors and merges filled in."""
    found = yaml.safe_load((HERE / f"{tier}.yaml").read_text())["services"]
    assert isinstance(found, dict)
    return found


def running(tier: str) -> dict[str, dict[str, Any]]:
    """Return the services that are to go on running."""
    return {name: one for name, one in services(tier).items() if not name.endswith(ENDS)}


@pytest.mark.parametrize("tier", TIERS)
def test_every_service_is_pinned_and_bounded(tier: str) -> None:
    """Images have a version, logs an end, rights are given up; whatever runs on has health, memory, restart, grace."""
    for name, one in services(tier).items():
        assert re.search(r":(v?\d+\.\d+\.\d+)\}?$", one["image"]), name
        assert one["logging"]["options"]["max-size"], name
        assert one["cap_drop"] == ["ALL"], name
        assert "privileged" not in one, name
    for name, one in running(tier).items():
        assert one["restart"] == "unless-stopped", name
        assert one["mem_limit"], name
        assert one["pids_limit"], name
        assert one["healthcheck"]["test"], name
        assert one["stop_grace_period"], name
    assert int(services(tier)[f"{tier}-store"]["stop_grace_period"].removesuffix("s")) >= 60


@pytest.mark.parametrize("tier", TIERS)
def test_no_secret_stands_in_a_file(tier: str) -> None:
    """Tokens and passwords are named by file; what looks like a value of one is a fault."""
    for name, one in services(tier).items():
        for variable, value in one.get("environment", {}).items():
            if re.search("TOKEN|PASSWORD|SECRET", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert str(value).startswith("/run/"), (name, variable)


@pytest.mark.parametrize("tier", TIERS)
def test_what_keeps_data_keeps_it_in_a_named_volume(tier: str) -> None:
    """Every volume a service writes is declared, and no two services that run on share one that both write."""
    whole = yaml.safe_load((HERE / f"{tier}.yaml").read_text())
    writers: dict[str, list[str]] = {}
    for name, one in running(tier).items():
        for volume in one.get("volumes", []):
            if isinstance(volume, dict):  # a file or folder of the machine's
                assert volume["read_only"], (name, volume)
                assert not volume["bind"]["create_host_path"], (name, volume)  # else a missing one is an empty folder
                assert (HERE / volume["source"]).exists(), (name, volume)
                continue
            source, _, rest = volume.partition(":")
            assert source in whole["volumes"], (name, volume)
            if not rest.endswith(":ro"):
                writers.setdefault(source, []).append(name)
    assert not {source: names for source, names in writers.items() if len(names) > 1}


@pytest.mark.parametrize("tier", TIERS)
def test_servers_are_those_that_fleetbox_runs_itself(tier: str) -> None:
    """Images and the engine's settings agree with what `fleetbox up` and the tests use."""
    found = services(tier)
    store = found[f"{tier}-store"]
    assert store["image"] == REDUCTSTORE.image
    assert {name: store["environment"][name] for name in STORE_ENV} == STORE_ENV
    if tier != "robot":
        assert found[f"{tier}-influx"]["image"] == INFLUXDB.image


def test_the_second_robot_is_the_first_one_again() -> None:
    """What laptop.yaml writes out for r2 is what robot.yaml says of a robot, but for its name, ports and volumes."""
    ours, laptops = services("robot"), services("laptop")
    for kind in ("secrets", "store", "agent"):
        first, second = ours[f"robot-{kind}"], laptops[f"r2-{kind}"]
        assert {**first, **OF_ITS_OWN} == {**second, **OF_ITS_OWN}, kind
        assert set(first["environment"]) == set(second["environment"]), kind
        volumes = [re.sub("^robot-", "r2-", str(one)) for one in first["volumes"]]
        assert volumes == [str(one) for one in second["volumes"]], kind
    own = {"RS_PORT": None, "RS_INSTANCE_NAME": None}
    assert {**ours["robot-store"]["environment"], **own} == {**laptops["r2-store"]["environment"], **own}


def test_settings_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every settings file beside the compose files is whole once its variables are filled in."""
    for name, value in {**PORTS, **PLACES}.items():
        monkeypatch.setenv(name, value)
    robot = load_robot(HERE / "settings/robot.toml")
    assert (robot.robot, robot.site, robot.store) == ("r7", "https://edge:8443", "http://127.0.0.1:8383")
    site = load_fleet(HERE / "settings/fleet.toml")
    assert site.site_place("cloud").url == "https://c:1"
    assert [place.name for place in site.route("r1")] == ["edge", "cloud"]


def test_the_laptops_own_settings_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `docker compose run fleetbox` lays them out, they are a fleet with both robots' stores."""
    for name, value in PORTS.items():
        monkeypatch.setenv(name, value)
    for path, name in (("laptop/fleet.toml", "fleet.toml"), ("policy.toml", "policy.toml")):
        (tmp_path / name).write_text((HERE / "settings" / path).read_text())
    fleet = load_fleet(tmp_path / "fleet.toml")
    for robot in ("r1", "r2"):
        (tmp_path / robot).mkdir()
        (tmp_path / robot / "robot.toml").write_text((HERE / f"settings/laptop/{robot}.toml").read_text())
        place = fleet.robot_place(robot)
        assert place is not None
        assert load_robot(tmp_path / robot / "robot.toml").store == place.url


def test_grafana_asks_as_the_boards_were_built_for() -> None:
    """The datasource is the one that `fleetbox dashboards build` writes, with this place's address and token."""
    ours, built = (
        yaml.safe_load(path.read_text())["datasources"][0]
        for path in (HERE / "grafana/datasource.yaml", BUILT / "provisioning/datasources/fleetbox.yaml")
    )
    places = {"url": None, "isDefault": None, "secureJsonData": None}
    dbname = {"jsonData": {**built["jsonData"], "dbName": "fleetbox"}}
    assert {**ours, **places} == {**built, **dbname, **places}


def test_policy_is_the_sample_with_the_demos_trigger() -> None:
    """What containers keep and ship is what `fleetbox config sample policy` shows, and the demo can be played on it."""
    text = (HERE / "settings/policy.toml").read_text()
    assert text == (files("fleetbox.samples") / "policy.toml").read_text() + TRIGGER
    load_policy(HERE / "settings/policy.toml")


def test_every_variable_has_its_line_in_the_example() -> None:
    """.env.example names each variable of the compose files, with the same default."""
    used: dict[str, str] = {}
    for name in (*TIERS, "laptop"):
        used |= dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", (HERE / f"{name}.yaml").read_text()))
    told = dict(re.findall(r"^# ([A-Z0-9_]+)=(\S+)", (HERE / ".env.example").read_text(), re.M))
    assert told == used


@pytest.mark.parametrize("name", [*TIERS, "compose"])
def test_compose_takes_the_files(name: str, tmp_path: Path) -> None:
    """`docker compose config` reads each file, and compose.yaml holds all of them and the second robot."""
    found = read_by_compose(name, Path(os.devnull), tmp_path)
    if name == "compose":
        assert {*services("robot"), *services("edge"), *services("cloud")} < set(found)
        assert found["r2-agent"]["environment"]["ROBOT"] == "r2"
        assert found["r2-agent"]["environment"]["ROBOT_STORE_PORT"] == found["r2-store"]["environment"]["RS_PORT"]
        ours = {volume["source"] for volume in found["r2-agent"]["volumes"]}
        assert not {source for source in ours if source.startswith("robot-")}
        assert len(ports(found)) == len(set(ports(found))) >= 13


@pytest.mark.parametrize("name", [*TIERS, "compose"])
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("cap_drop: [ALL]", "cap_drip: [ALL]"),  # no such word
        ("-data:/data", "-date:/data"),  # a volume that nobody declared
        ("<<: *fleetbox", "<<: *fleetbax"),  # an anchor that nobody set
        ("restart: unless-stopped", " restart: unless-stopped"),  # out of line
    ],
)
def test_compose_refuses_a_broken_file(name: str, right: str, wrong: str, tmp_path: Path) -> None:
    """A typing error in a file is noticed by the test above: it ends `docker compose config`."""
    for path in HERE.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    broken = tmp_path / ("laptop.yaml" if name == "compose" else f"{name}.yaml")
    broken.write_text(broken.read_text().replace(right, wrong))
    assert broken.read_text() != (HERE / broken.name).read_text()
    assert config(tmp_path / f"{name}.yaml", Path(os.devnull), tmp_path).returncode != 0


def test_a_laptop_may_use_other_ports(tmp_path: Path) -> None:
    """Whoever is told to listen elsewhere is also looked for there: no service names a port that was moved."""
    moved = {name: str(int(port) + 20_000) for name, port in PORTS.items()}
    (tmp_path / "env").write_text("".join(f"{name}={port}\n" for name, port in moved.items()))
    for name, one in read_by_compose("compose", tmp_path / "env", tmp_path).items():
        left = {port for value in (one.get("environment") or {}).values() for port in re.findall(r"\d{4,}", str(value))}
        assert not left & set(PORTS.values()), name


def read_by_compose(name: str, env_file: Path, home: Path) -> dict[str, dict[str, Any]]:
    """Return the services of a file as `docker compose config` understands them."""
    said = config(HERE / f"{name}.yaml", env_file, home)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)["services"]
    assert isinstance(found, dict)
    return found


def config(path: Path, env_file: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `docker compose config` on a file."""
    program = find_compose()
    if program is None:
        pytest.skip("no `docker compose` here: `make test-compose` builds one")
    argv = [*program, "-f", str(path), "--env-file", str(env_file), "config", "--format", "json"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(home)})


def ports(found: dict[str, Any]) -> list[str]:
    """Return every port that a service of the laptop listens on."""
    own = {"RS_PORT", "GF_SERVER_HTTP_PORT", "ADMIN_PORT", "STORE_TLS_PORT", "GRAFANA_TLS_PORT", "ROBOT_RELAY_PORT"}
    listened = []
    for one in (one for name, one in found.items() if not name.endswith(ENDS)):
        listened += [str(value) for key, value in (one.get("environment") or {}).items() if key in own]
    return listened
