"""Fresh servers for a benchmark, and the fleet file that names them as a site."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetbox.settings import FleetSettings, Influx, load_fleet
from fleetbox_local.processes import InfluxProcess, StoreProcess

SITE, BUCKET = "edge-1", "bench"


@dataclass(frozen=True, slots=True)
class Served:
    """Hold a running store, an InfluxDB if one was asked for, and a folder that goes with them."""

    folder: Path
    store: StoreProcess
    influx: InfluxProcess | None = None

    def scalars(self) -> Influx:
        """Return the bench's bucket in InfluxDB; raises SystemExit where none runs."""
        if self.influx is None:
            raise SystemExit("this benchmark was started without InfluxDB")
        return Influx(self.influx.url, self.influx.token, self.influx.org, BUCKET)

    def fleet(self, scalars: bool = True) -> FleetSettings:
        """Return a fleet of one site for robots r1, r2, ...; without `scalars` it knows nothing of InfluxDB."""
        (self.folder / "token").write_text(self.store.token)
        text = (
            f'fleet = "bench"\n[[robots]]\nmatch = "r*"\nsite = "{SITE}"\n'
            f'[site.{SITE}]\nstore = "{self.store.url}"\ntoken = {{ file = "token" }}\n'
        )
        if scalars and self.influx is not None:
            (self.folder / "influx.token").write_text(self.influx.token)
            text += (
                f'[site.{SITE}.influx]\nurl = "{self.influx.url}"\ntoken = {{ file = "influx.token" }}\n'
                f'org = "{self.influx.org}"\nbucket = "{BUCKET}"\n'
            )
        path = self.folder / "fleet.toml"
        path.write_text(text)
        return load_fleet(path)


@contextmanager
def serving(influx: bool = False) -> Iterator[Served]:
    """Start a store, and InfluxDB if asked for, in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as name:
        folder = Path(name)
        served = Served(folder, StoreProcess(folder / "store"), InfluxProcess(folder / "influx") if influx else None)
        servers = [server for server in (served.store, served.influx) if server is not None]
        try:
            for server in servers:
                server.start()
                server.wait_ready(60.0)
            yield served
        finally:
            for server in servers:
                server.kill()  # what it holds is removed with the folder
