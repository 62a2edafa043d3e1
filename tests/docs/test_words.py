"""Documentation that must not drift from the code."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "page",
    sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/README.md")) + sorted((ROOT / "docs").glob("*.md")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in a page points at a file that exists."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_part_has_a_readme() -> None:
    """Each part that ships a package has a README of its own."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]

    assert [path for path in packages if not (ROOT / path).parent.joinpath("README.md").exists()] == []


def test_every_module_says_what_it_is_for() -> None:
    """Each module of a part opens with a docstring sentence."""
    packages = ("core", "edge_node", "replication", "cloud_node", "query", "compose")
    modules = [path for name in packages for path in (ROOT / name).rglob("*.py")]
    silent = [str(path.relative_to(ROOT)) for path in modules if not path.read_text().lstrip().startswith('"""')]

    assert silent == []
    assert len(modules) > 50
