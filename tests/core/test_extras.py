"""Missing extras: said before anything starts, with the command that installs them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fleetbox import extras
from fleetbox.errors import FleetboxError

ROOT = Path(__file__).parents[2]
BLOCKED = (
    "import sys\n"
    "class Block:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] in {'aiofiles', 'cv2', 'pyarrow', 'numpy', 'pandas', 'psutil', 'mcap'}:\n"
    "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
    "sys.meta_path.insert(0, Block())\n"
)


def test_a_missing_library_names_its_extra() -> None:
    """The error names the extra to install; a library of nobody's is not explained away."""
    known = extras.missing_extra(ModuleNotFoundError("x", name="aiofiles.os"))

    assert known is not None
    assert "pip install 'fleetbox[robot]'" in str(known)
    assert extras.missing_extra(ModuleNotFoundError("x", name="left_pad")) is None


def test_require_names_all_that_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb that needs several extras says so at once."""
    monkeypatch.setitem(extras.EXTRAS, "robot", ("no_such_library",))
    extras.require("query")

    with pytest.raises(FleetboxError, match=r"fleetbox\[robot\]"):
        extras.require("query", "robot")


@pytest.mark.parametrize("name", ["Recorder"])
def test_the_facade_explains_a_missing_extra(name: str) -> None:
    """`fb.Recorder` on a bare install is an ImportError that says what to install."""
    code = BLOCKED + f"import fleetbox as fb\ntry: fb.{name}\nexcept ImportError as error: print(error)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "pip install 'fleetbox[" in answer.stdout, answer.stderr


def test_a_verb_explains_a_missing_extra(tmp_path: Path) -> None:
    """A verb whose libraries are missing exits 1 with the command that installs them, without a traceback."""
    code = BLOCKED + "sys.argv = ['fleetbox', 'demo']\nfrom fleetbox.cli.root import main\nmain()"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)

    assert answer.returncode == 1
    assert "pip install 'fleetbox[" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_table_agrees_with_the_packaging() -> None:
    """Every extra in the table exists in pyproject.toml."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert extras.EXTRAS.keys() <= declared.keys()
