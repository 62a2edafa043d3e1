"""Write docs/cli.md from the commands themselves, so that the page cannot lie."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fleetbox.cli.root import root

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# Every command

Written by `make docs`; do not edit. Results go to stdout, diagnostics to stderr. `--json` answers are one object with
`schema_version`.
Exit codes: 0 ok, 1 failure, 2 usage, 3 finished with loss or in part, 4 unreachable, 5 access denied, 130 interrupted.
"""


def page() -> str:
    """Return the page's text."""
    with click.Context(root, info_name="fleetbox") as context:
        return HEAD + "".join(_chapters(root, context))


def _chapters(command: click.Command, context: click.Context) -> Iterator[str]:
    if command is not root:
        yield f"\n## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, f"{name} is listed and cannot be loaded"
            with click.Context(child, info_name=name, parent=context, max_content_width=100, terminal_width=100) as own:
                yield from _chapters(child, own)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
