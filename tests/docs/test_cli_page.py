"""The page of commands is the one the commands would write."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    """docs/cli.md says what the commands say; `make docs` writes it anew."""
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    assert spec
    assert spec.loader
    make_cli = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_cli)

    assert (DOCS / "cli.md").read_text(encoding="utf-8") == make_cli.page(), "run `make docs`"
