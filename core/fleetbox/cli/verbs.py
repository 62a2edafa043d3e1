"""A group of commands whose members are found by entry point: core imports no part, and help loads nothing heavy."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click


class Verbs(click.Group):
    """Load each command's module only when it is typed or listed; `entries` names the group of entry points."""

    def __init__(self, *args: Any, entries: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._group = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands of all installed parts."""
        return sorted(entry.name for entry in self._entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, or None when no part has it."""
        for entry in self._entries():
            if entry.name == cmd_name:
                command: click.Command = entry.load()
                return command
        return None

    def _entries(self) -> list[EntryPoint]:
        return list(entry_points(group=self._group))
