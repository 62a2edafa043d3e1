"""Servers from official images, where a Docker engine runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleetbox_local.processes import StoreProcess, ask
from fleetbox_local.programs import REDUCTSTORE, Program, docker_runs

IMAGE = Program(REDUCTSTORE, REDUCTSTORE.version, "docker")


def test_command_line_hides_secrets(tmp_path: Path) -> None:
    """Variables are handed on by name, so that `ps` shows no token; the folder keeps its path and owner."""
    argv = IMAGE.argv(tmp_path, {"RS_API_TOKEN": "hush"})
    assert "hush" not in " ".join(argv)
    assert argv[argv.index("--env") + 1] == "RS_API_TOKEN"
    assert argv[argv.index("--volume") + 1] == f"{tmp_path}:{tmp_path}"
    assert argv[argv.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert argv[-2:] == (REDUCTSTORE.image, "reductstore")


def test_store_in_a_container(tmp_path: Path) -> None:
    """A store from its image serves on our loopback, stops gracefully and can be killed."""
    if not docker_runs():
        pytest.skip("no Docker engine runs here")
    store = StoreProcess(tmp_path / "data", program=IMAGE)
    for end in (store.stop, store.kill):
        store.start()
        store.wait_ready(120)
        end()
        assert ask(store.port, "GET", "/api/v1/alive").status == 0
