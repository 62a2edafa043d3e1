"""Every notebook runs to its end on real stores, and its outputs are not kept in the source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))
PROGRESS = "<progress value='1.000'>"

# As `jupyter execute` does, but for the kernel's ports: chosen before it starts, they may be another's once it listens.
RUN = """
import sys
import nbformat
from nbclient import NotebookClient
from traitlets.config import Config
source, done, folder = sys.argv[1:]
config = Config(NotebookClient={"timeout": 300, "startup_timeout": 300}, KernelManager={"transport": "ipc"})
notebook = nbformat.read(source, as_version=4)
NotebookClient(notebook, config=config, resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, done)
"""


def outputs(notebook: dict[str, Any], kind: str) -> list[str]:
    """What the cells showed of one kind, each as one text."""
    shown = [one for cell in notebook["cells"] for one in cell.get("outputs", ())]
    return ["".join(one["data"][kind]) for one in shown if kind in one.get("data", ())]


def run(path: Path, folder: Path) -> dict[str, Any]:
    """Run a notebook in a kernel of its own and return it with its outputs."""
    done = folder / "done.ipynb"
    with tempfile.TemporaryDirectory() as sockets:  # their paths must be short
        environment = {**os.environ, "JUPYTER_RUNTIME_DIR": sockets}
        words = [sys.executable, "-c", RUN, str(path), str(done), str(folder)]
        told = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(done.read_text(encoding="utf-8")))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, at_home: Path, small_fleet: object) -> None:
    """A cell that raises fails it; it shows plots, warns of nothing, and its export shows how far it is."""
    source = at_home / path.name
    source.write_bytes(path.read_bytes())
    notebook = run(source, at_home)
    streams = [one for cell in notebook["cells"] for one in cell.get("outputs", ()) if one["output_type"] == "stream"]
    assert [one["text"] for one in streams if one["name"] == "stderr"] == []
    assert outputs(notebook, "image/png")
    if "lerobot(" in path.read_text(encoding="utf-8"):
        assert any(PROGRESS in one for one in outputs(notebook, "text/html"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    """Sources stay small and their changes readable; the README names each."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None] == []
    assert path.name in (path.parent / "README.md").read_text(encoding="utf-8")


def test_ipython_on_a_terminal_shows_no_html(tmp_path: Path) -> None:
    """IPython without a notebook gets the command line's bar: on a pipe nothing, and the words come through."""
    code = "from fleetbox_query.bars import bar\nwith bar('export', None) as told: told(1.0, '3 MB')\nprint('done')"
    words = [sys.executable, "-m", "IPython", "--no-banner", "--quick", "-c", code]
    own = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False, env=own)
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert "progress" not in done.stderr
