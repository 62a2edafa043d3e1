"""An audit of many robots that is ended: the processes that read for it end too."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

PATIENT = """
from fleetbox_replication.audit import gathering, reaching

close_share = gathering._close_share


def patiently(*share):
    reaching.REACH_S = reaching.ANSWER_S = 3600.0  # a busy machine must not end the audit before we do
    return close_share(*share)
"""
BEGIN = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))  # which those it starts inherit
import patient
from fleetbox.selectors import Selector
from fleetbox.settings import load_fleet
from fleetbox_replication.audit import gathering
from fleetbox_replication.audit.one_robot import Question
gathering._close_share = patient.patiently
question = Question(Selector.parse("*"), 0, 60_000_000, 120_000_000, None, None, True)
asyncio.run(gathering._shared_out(load_fleet(Path(sys.argv[1])), question, [["r1"], ["r2"]]))
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_none_of_its_processes_stays(tmp_path: Path, sign: signal.Signals) -> None:
    """Ctrl-C, a polite end and kill -9 while a place answers nobody: within moments no process of it is left."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (tmp_path / "patient.py").write_text(PATIENT)
        (tmp_path / "token").write_text("t")
        (tmp_path / "fleet.toml").write_text(
            '[[robots]]\nmatch = "r*"\nsite = "edge"\n'
            f'[site.edge]\nstore = "http://127.0.0.1:{silent.getsockname()[1]}"\ntoken = {{ file = "token" }}\n'
        )
        silent.settimeout(150)
        words = [sys.executable, "-c", BEGIN, str(tmp_path / "fleet.toml")]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as audit:
            try:
                connection, _ = silent.accept()  # of the first of them; both were begun, and none gives up
                workers = psutil.Process(audit.pid).children(recursive=True)
                audit.send_signal(sign)
                _, said = audit.communicate(timeout=60)
            finally:
                audit.kill()
        connection.close()
        assert len(workers) >= 2
        assert audit.returncode != 0
        assert "SpawnProcess" not in said, "none of them has anything to say"
        deadline = time.monotonic() + 60
        while any(map(_lives, workers)):
            assert time.monotonic() < deadline, workers
            time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    """Tell whether it runs; it may end between two questions."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
