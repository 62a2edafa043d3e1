"""`replicate dead-letters|pause|resume`, as a person types them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fleetbox.background import BackgroundLoop
from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox_local.ports import free_port
from fleetbox_replication.cli import replicate
from fleetbox_replication.dead_letters import DeadLetters, letters_of, named
from fleetbox_replication.relay import Relay, RelayOptions


@pytest.fixture
def edge(new_store_server: Callable[..., Any], tmp_path: Path) -> tuple[Any, Path, str]:
    """An edge site's store, its fleet.toml, and where its relay is to listen."""
    server, relay_url = new_store_server(), f"http://127.0.0.1:{free_port()}"
    (tmp_path / "t").write_text(server.token)
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(
        f'[site.edge-1]\nstore = "{server.url}"\ntoken = {{ file = "t" }}\nnext = "cloud"\nrelay = "{relay_url}"\n'
        '[site.cloud]\nstore = "http://127.0.0.1:1"\ntoken = { file = "t" }\n'
    )
    return server, fleet, relay_url


async def _make_tasks(server: Any, *names: str) -> None:
    async with Store(server.url, server.token) as store:
        for name in names:
            bucket = name.removesuffix("-to-cloud")
            await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
            await store.put_task(TaskSpec(name, bucket, bucket, "http://127.0.0.1:9", "", ("*",), None))


async def _modes(server: Any) -> dict[str, str]:
    async with Store(server.url, server.token) as store:
        return {task.spec.name: task.mode for task in await store.tasks()}


def _run(*words: str) -> Any:
    return CliRunner().invoke(replicate, list(words))


def test_hops_are_paused_and_resumed(edge: tuple[Any, Path, str]) -> None:
    """A glob names tasks, a place all that leave it; what is so already is not counted as changed."""
    server, fleet, _ = edge
    asyncio.run(_make_tasks(server, "r1--media-to-cloud", "r2--media-to-cloud", "r1--meta-to-cloud"))
    paused = _run("pause", "*--media-to-cloud", "--fleet", str(fleet), "--json")
    assert (paused.exit_code, json.loads(paused.stdout)["changed"]) == (0, 2)
    assert asyncio.run(_modes(server)) == {
        "r1--media-to-cloud": "paused",
        "r2--media-to-cloud": "paused",
        "r1--meta-to-cloud": "enabled",
    }
    again = _run("pause", "edge-1", "--fleet", str(fleet))
    assert "1 changed, 2 were paused already" in again.stdout
    resumed = _run("resume", "--fleet", str(fleet))
    assert resumed.exit_code == 0
    assert set(asyncio.run(_modes(server)).values()) == {"enabled"}


def test_a_hop_nobody_knows_is_an_error(edge: tuple[Any, Path, str]) -> None:
    """A name that fits nothing changes nothing and says what can be named."""
    server, fleet, _ = edge
    asyncio.run(_make_tasks(server, "r1--media-to-cloud"))
    refused = _run("pause", "camera", "--fleet", str(fleet))
    assert "no hop is called camera" in str(refused.exception)
    assert set(asyncio.run(_modes(server)).values()) == {"enabled"}


def test_a_place_that_is_away_is_told(edge: tuple[Any, Path, str]) -> None:
    """A store that does not answer ends with its own exit code."""
    server, fleet, _ = edge
    server.kill()
    assert _run("pause", "--fleet", str(fleet)).exit_code == 4


def test_letters_are_read_from_the_relay_or_its_file(
    edge: tuple[Any, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the relay runs it is asked; while it is down the list in its state folder is read; without both: exit 4."""
    monkeypatch.setattr("fleetbox_replication.status.RELAY_TIMEOUT_S", 60.0)  # a busy machine is no relay that is down
    _, fleet, relay_url = edge
    unknown = _run("dead-letters", "--fleet", str(fleet))
    assert unknown.exit_code == 4
    assert "fleetbox replicate dead-letters" in unknown.stderr

    letters = DeadLetters(letters_of(tmp_path / "state" / "edge-1"))
    letters.note_all(named("r1--media", "cam/front", [(at, 413, "too large") for at in range(3)], 1))
    offline = json.loads(_run("dead-letters", "--fleet", str(fleet), "--json").stdout)["places"]
    assert (offline[0]["read_from"], offline[0]["open"], offline[0]["held"]) == ("file", 3, None)

    loop = BackgroundLoop("relay")
    relay = Relay(relay_url, "http://127.0.0.1:1", "", "secret", RelayOptions(letters=letters))
    loop.run(relay.start())
    try:
        online = json.loads(_run("dead-letters", "--fleet", str(fleet), "--json").stdout)["places"]
        assert (online[0]["read_from"], online[0]["open"], online[0]["held"]) == ("relay", 3, [])
        (group,) = online[0]["dead_letters"]
        assert (group["letters"], group["status"], group["entry"]) == (3, 413, "cam/front")
        shown = _run("dead-letters", "--fleet", str(fleet)).stdout
        assert "cam/front" in shown
        assert "next for r1--media: let the destination, or the proxy before it, accept larger bodies" in shown
        letters.settle_all("r1--media", "cam/front", range(3))
        assert _run("dead-letters", "--fleet", str(fleet)).stdout == "no dead letters, nothing is refused\n"
    finally:
        loop.run(relay.stop())
        loop.stop()
        letters.close()
