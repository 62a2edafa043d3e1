"""How a verb answers: results on stdout, diagnostics on stderr, tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click

SCHEMA_VERSION = 1


def emit(answer: Mapping[str, Any]) -> None:
    """Print one JSON object with its schema version."""
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **answer}, default=str))


def say(text: str) -> None:
    """Print a result line for people."""
    click.echo(text)


def note(text: str) -> None:
    """Print a diagnostic on stderr."""
    click.echo(text, err=True)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, right: Sequence[str] = ()) -> None:
    """Print rows as a table with the columns in order; `right` names those set flush right.

    Plain text when stdout is no terminal, so that it can be cut and grepped.
    """
    shown = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max([len(column), *(len(row[index]) for row in shown)]) for index, column in enumerate(columns)]
    for row in [list(columns), *shown]:
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def size_text(size_bytes: float) -> str:
    """Write bytes for people: "812 B", "5.9 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size_bytes) < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


class Advance(Protocol):
    """Move a progress bar."""

    def __call__(self, done: float, text: str = "") -> None:
        """Set how much is done and what to say beside it."""


@contextmanager
def progress(title: str, total: float | None = None) -> Iterator[Advance]:
    """Show a progress bar on stderr while the block runs; nothing at all when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, text="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, text="")
        yield lambda done, text="": bar.update(task, completed=done, text=text)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) and not isinstance(value, bool) else str(value)
