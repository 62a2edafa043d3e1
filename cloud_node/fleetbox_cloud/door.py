"""Open a site's own door on localhost: its state for people and checks, its sink for the engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from fleetbox.disk import write_whole
from fleetbox.errors import FleetboxError
from fleetbox_cloud.sink import MAX_BODY_BYTES
from fleetbox_replication.relay.destination import HEADER_BYTES, HEADERS

FILE = "site.json"  # in the site's state folder: where the door is
STOP_S = 5.0  # a batch on the wire gets this long; the engine sends the others again
KEEPALIVE_S = 600.0  # longer than the engine keeps a connection (90 s): a cut as it sends would cost the batch


@asynccontextmanager
async def open_door(folder: Path, routes: Iterable[web.RouteDef]) -> AsyncIterator[str]:
    """Serve the routes and yield the URL; the port stays the same from start to start while it is free."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes(routes)
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        max_headers=HEADERS,
        max_field_size=HEADER_BYTES,
        shutdown_timeout=STOP_S,
    )
    await runner.setup()
    try:
        port = await _listen(runner, last_port(folder))
        url = f"http://127.0.0.1:{port}"
        _remember(folder, url, port)
        yield url
    finally:
        await runner.cleanup()


def last_port(folder: Path) -> int:
    """Return the port a site's door had, or 0."""
    try:
        return int(json.loads((folder / FILE).read_text())["port"])
    except (OSError, ValueError, KeyError):
        return 0


def _remember(folder: Path, url: str, port: int) -> None:
    write_whole(folder / FILE, json.dumps({"url": url, "port": port}))


async def _listen(runner: web.AppRunner, wanted: int) -> int:
    for port in dict.fromkeys((wanted, 0)):
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError:
            continue
        return int(runner.addresses[0][1])
    raise FleetboxError("cannot open the site's door on 127.0.0.1: no port is free", "end other programs")
