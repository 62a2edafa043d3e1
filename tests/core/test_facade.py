"""The facade: `import fleetbox as fb` is light and offers what the parts register."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import fleetbox as fb


def test_importing_loads_no_part() -> None:
    """Importing fleetbox alone loads no part and nothing heavy."""
    code = (
        "import fleetbox, sys; print(sorted(m for m in sys.modules if m.startswith(('fleetbox_', 'numpy', 'reduct'))))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(entry.name for entry in entry_points(group="fleetbox.api")))
def test_public_names_resolve_and_are_listed(name: str) -> None:
    """Every registered public name loads on first use and shows in dir()."""
    assert name in dir(fb)
    assert callable(getattr(fb, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name nobody registered fails as attributes do."""
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        _ = fb.Nope
