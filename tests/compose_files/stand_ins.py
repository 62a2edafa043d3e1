"""Builds stand-ins for the official images from the real programs, for machines that cannot pull images.

ReductStore, InfluxDB and Caddy are the real programs, on a Debian made by debootstrap, with the users, folders and
start commands of the official images. Grafana cannot be had without its image: its stand-in looks
for what Grafana would read (secrets, datasource, boards, rules), says what it is, and answers /api/health. Each carries
the label `fleetbox.stand-in`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetbox_local.programs import cache_dir, find_server

CADDY = "v2.10.2"  # as the compose files pin it
BASE = "fleetbox-stand-in-base:bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")  # this machine's: it may reach its package index by one of its own
PULL_S = 900.0  # four images on a slow line
MAY_BIND_LOW = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep, as the kernel keeps it
WHAT = "not the official image but a stand-in on a plain Debian"
GRAFANA = '''"""Stands in for Grafana where there is no image: looks for what it needs, then says all is well."""
import http.server
import json
import os
import pathlib
import re
import signal
import sys

assert pathlib.Path(os.environ["GF_SECURITY_ADMIN_PASSWORD__FILE"]).read_text(), "no password"
provisioning = pathlib.Path("/etc/grafana/provisioning")
(datasource,) = provisioning.glob("datasources/*.yaml")
assert os.environ["INFLUX_URL"] and "url: $INFLUX_URL" in datasource.read_text(), "no address of InfluxDB"
token = re.search(r"\\$__file{(.+)}", datasource.read_text())[1]
assert pathlib.Path(token).read_text(), "no token"
(provider,) = provisioning.glob("dashboards/*.yaml")
boards = pathlib.Path(re.search("path: (.+)", provider.read_text())[1]).glob("*.json")
assert len([json.loads(board.read_text()) for board in boards]) >= 5, "no boards"
(rules,) = provisioning.glob("alerting/*")
assert json.loads(rules.read_text())["groups"], "no alert rules"
pathlib.Path("/var/lib/grafana/grafana.db").touch()  # a volume it may not write to would end the real one


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 501)
        self.end_headers()
        self.wfile.write(b'{"database": "ok", "version": "stand-in, not Grafana"}')

    def log_message(self, *args):
        pass


sys.stderr.write("this is a stand-in, not Grafana\\n")
signal.signal(signal.SIGTERM, lambda *args: sys.exit())  # the first process of a container is not ended without
address = os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"])
http.server.ThreadingHTTPServer(address, Health).serve_forever()
'''


class NoStandIn(Exception):
    """This machine lacks what stand-ins are made with."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Say how an official image is stood in for: files to copy and the lines of its Dockerfile."""

    image: str
    fill: Callable[[Path], None]  # puts files into the build's folder
    dockerfile: str

    @property
    def label(self) -> str:
        """Return what the image says of itself; another one when it would be built otherwise."""
        return f"{WHAT} ({_digest(self.dockerfile)})"


def make_missing(images: list[str]) -> list[str]:
    """Pull each image that is not here, or stand in for it; return the names of the stand-ins that serve now.

    Raises NoStandIn where neither can be done.
    """
    known = {one.image: one for one in _stand_ins()}
    for image in images:
        if _label(image) in ("", known[image].label) or _pulled(image):
            continue
        _say(f"{image} cannot be pulled here: building a stand-in")
        _build(known[image])
    return [image for image in images if _label(image)]


def base_name() -> str:
    """Return the Python image that fleetbox's own Dockerfile begins with."""
    return "python:3.11-slim-bookworm"


def _stand_ins() -> list[StandIn]:
    store_user = (
        "RUN groupadd --gid 10001 reduct && useradd --uid 10001 --gid 10001 --no-create-home reduct "
        "&& mkdir /data && chown 10001:10001 /data\n"
    )
    influx_user = (
        "RUN groupadd --gid 1000 influxdb && useradd --uid 1000 --gid 1000 influxdb "
        "&& mkdir -p /var/lib/influxdb2 /etc/influxdb2 && chown 1000:1000 /var/lib/influxdb2 /etc/influxdb2\n"
    )
    grafana_user = (
        "RUN useradd --uid 472 --gid 0 --no-create-home grafana && mkdir -p /var/lib/grafana "
        "&& chown 472:0 /var/lib/grafana\n"
    )
    caddy_rights = (  # the official program carries the right to low ports (setcap); its folders belong to root
        f"RUN python3 -c \"import os; os.setxattr('/usr/bin/caddy', 'security.capability', {MAY_BIND_LOW!r})\" "
        "&& mkdir -p /config/caddy /data/caddy /etc/caddy\n"
    )
    return [
        StandIn(base_name(), lambda folder: None, "RUN ln -s /usr/bin/python3 /usr/local/bin/python3\n"),
        StandIn(
            "reduct/store:v1.21.4",
            lambda folder: _copy_server("reductstore", folder),
            f'COPY reductstore /usr/local/bin/\n{store_user}USER 10001:10001\nCMD ["reductstore"]\n',
        ),
        StandIn(
            "influxdb:2.7.12",
            lambda folder: _copy_server("influxdb", folder),
            f'COPY influxd /usr/local/bin/\n{influx_user}CMD ["influxd"]\n',
        ),
        StandIn(
            "caddy:2.10.2",
            lambda folder: _copy(_caddy(), folder),
            f"COPY caddy /usr/bin/\n{caddy_rights}ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data\n"
            'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]\n',
        ),
        StandIn(
            "grafana/grafana:11.6.1",
            lambda folder: _write(folder / "grafana.py", GRAFANA),
            f'# {_digest(GRAFANA)}\nCOPY grafana.py /\n{grafana_user}USER 472\nCMD ["python3", "/grafana.py"]\n',
        ),
    ]


def _build(one: StandIn) -> None:
    if not _quiet("docker", "image", "inspect", BASE):
        _make_base()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one.fill(folder)
        _write(folder / "Dockerfile", f'FROM {BASE}\nLABEL fleetbox.stand-in="{one.label}"\n{one.dockerfile}')
        _run("docker", "build", "--network", "host", "--quiet", "--tag", one.image, str(folder))


def _make_base() -> None:
    """Import a small Debian; debootstrap and busybox (wget, as in Alpine's images) come from Debian's own archive."""
    if os.getuid() != 0:
        raise NoStandIn("only root can make stand-ins for images that cannot be pulled: debootstrap makes their base")
    if not shutil.which("debootstrap"):
        if not shutil.which("apt-get"):
            raise NoStandIn("images cannot be pulled, and stand-ins for them need debootstrap")
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap")
    kept = cache_dir(os.environ).parent / "stand-in-base.tar"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as name:
            root = Path(name) / "root"
            _run("debootstrap", "--variant=minbase", f"--include={PACKAGES},busybox-static", "bookworm", str(root))
            shutil.copyfile(ROOTS, root / "etc/ssl/certs/ca-certificates.crt")
            (root / "usr/bin/wget").symlink_to("/bin/busybox")
            for folder in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
                shutil.rmtree(root / folder, ignore_errors=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            _run("tar", "-C", str(root), "-cf", f"{kept}.new", ".")
            Path(f"{kept}.new").replace(kept)
    path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    _run("docker", "import", "--change", path, str(kept), BASE)


def _copy_server(name: str, folder: Path) -> None:
    binary = find_server(name).binary
    assert binary is not None, "where images cannot be pulled the server was built"
    _copy(binary, folder)


def _caddy() -> Path:
    """Build Caddy with Go, once per user."""
    binary = cache_dir(os.environ) / f"caddy-{CADDY}" / "bin" / "caddy"
    if not binary.exists():
        if not shutil.which("go"):
            raise NoStandIn("images cannot be pulled, and Caddy's stand-in needs go")
        _say(f"building Caddy {CADDY} with go; once per user, about 5 minutes on two cores")
        package = f"github.com/caddyserver/caddy/v2/cmd/caddy@{CADDY}"
        fresh = {**os.environ, "GOBIN": str(binary.parent), "CGO_ENABLED": "0"}
        subprocess.run(["go", "install", "-trimpath", "-ldflags", "-s -w", package], check=True, env=fresh)
    return binary


def _pulled(image: str) -> bool:
    try:
        return subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, timeout=PULL_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _label(image: str) -> str | None:
    """Return what a stand-in says of itself, an empty text for an official image, None for one that is not here."""
    shown = ["docker", "image", "inspect", "--format", '{{index .Config.Labels "fleetbox.stand-in"}}', image]
    done = subprocess.run(shown, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _copy(source: Path, folder: Path) -> None:
    shutil.copy(source, folder / source.name)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, env={**os.environ, "DOCKER_BUILDKIT": "0", "DEBIAN_FRONTEND": "noninteractive"})


def _quiet(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
