"""The page of commands names every command and every option, and none that is gone."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from fleetbox.cli.root import root

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    """docs/cli.md has one chapter per command with all its options; `make docs` writes it anew."""
    page = PAGE.read_text(encoding="utf-8")
    chapters = dict(zip(re.findall(r"^## (.+)$", page, re.M), re.split(r"^## .+$", page, flags=re.M)[1:], strict=True))
    commands = dict(_commands(root, "fleetbox"))

    assert chapters.keys() == commands.keys(), "run `make docs`"
    for path, command in commands.items():
        options = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
        assert {name for name in options if name not in chapters[path]} == set(), f"{path}: run `make docs`"


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if command is not root:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _commands(child, f"{path} {name}")
