"""The verbs around a lake: sync it, list its tables, join their small files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option
from fleetbox.cli.output import emit, note, progress, say, size_text, table

if TYPE_CHECKING:
    from fleetbox_query.lake import Lake, Synced

PARTIAL = 3
SHOWN = 10  # names of skipped records; --json has all
to_option = click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("lake"),
    show_default=True,
    help="Its folder.",
)


@click.group()
def lake() -> None:
    """Keep Delta tables of what a site holds, for DuckDB, Polars and Spark."""


@lake.command()
@to_option
@click.option("--robot", "robots", default="*", show_default=True, metavar="GLOB", help="Only these robots.")
@site_option
@fleet_option
@json_option
def sync(to: Path, robots: str, site: str | None, fleet_path: Path | None, as_json: bool) -> int:
    """Bring the lake up to what the site's ledger tells: scalars, events, episodes, a catalog of media with links.

    Default site: the one where all records end. Stop it at any time; the next run goes on, and each row is there
    once. Records that come late to the site come late to the lake.
    """
    from fleetbox_query.fleet import connect
    from fleetbox_query.lake import sync_lake

    with connect(fleet_path) as fleet, progress("lake sync") as advance:
        synced = sync_lake(fleet.session, to, site=site, robots=robots, tell=lambda text: advance(0, text))
    if as_json:
        emit(_answer(synced))
    else:
        _show(synced)
    return _tell(synced)


@lake.command("ls")
@to_option
@json_option
def list_(to: Path, as_json: bool) -> int:
    """List the tables of a lake with rows, files and size."""
    facts = {name: one.facts() for name, one in _lake(to).tables().items()}
    found = [{"table": name, **told} for name, told in facts.items()]
    if as_json:
        emit({"lake": str(to), "tables": found})
    elif found:
        shown = [{"table": name, **told, "size": size_text(told["bytes"])} for name, told in facts.items()]
        table(shown, ["table", "rows", "files", "size", "version"], right=("rows", "files", "size", "version"))
    else:
        note(f"no tables in {to}; fill it with `fleetbox lake sync --to {to}`")
    return 0


@lake.command()
@to_option
@json_option
def compact(to: Path, as_json: bool) -> int:
    """Join the small files that many syncs left into large ones; rows stay as they are, readers go on reading.

    The old files stay in their folders for a week, as Delta does it, for whoever reads them still.
    """
    from fleetbox_query.lake.folder import only_one

    joined: dict[str, int] = {}
    with only_one(to), progress("lake compact") as advance:
        for name, one in _lake(to).tables().items():
            advance(0, name)
            joined[name] = one.compact()
    if as_json:
        emit({"lake": str(to), "fewer_files": joined})
    else:
        say(f"{to}: {sum(joined.values()):,} files fewer in {len(joined)} tables")
    return 0


def _lake(folder: Path) -> Lake:
    from fleetbox.errors import NotFound
    from fleetbox.extras import require
    from fleetbox_query.lake import Lake

    require("lake")
    if not folder.is_dir():
        raise NotFound(f"there is no lake at {folder}", f"make one with `fleetbox lake sync --to {folder}`")
    return Lake(folder)


def _answer(synced: Synced) -> dict[str, Any]:
    counts = ("rows", "records", "bytes", "listed", "events", "episodes", "missing")
    robots = {
        robot: {name: getattr(taken, name) for name in counts} | {"skipped": taken.skipped}
        for robot, taken in synced.robots.items()
    }
    return {
        "lake": str(synced.folder),
        "site": synced.site,
        "windows": synced.windows,
        **{name: synced.total(name) for name in counts},
        "skipped": synced.skipped,
        "without_books": synced.without_books,
        "told": synced.told,
        "robots": robots,
    }


def _show(synced: Synced) -> None:
    if not synced.windows:
        say(f"{synced.folder}: nothing new at {synced.site}")
        return
    say(
        f"{synced.folder}: {synced.total('rows'):,} rows, {synced.total('listed'):,} files and pictures, "
        f"{synced.total('events'):,} events of {len(synced.robots)} robots from {synced.site} "
        f"({size_text(synced.total('bytes'))} read)"
    )


def _tell(synced: Synced) -> int:
    if synced.without_books:
        names = ", ".join(synced.without_books[:SHOWN])
        note(f"no ledger of {synced.site} about {names}: nothing is synced before `fleetbox site run` has counted it")
    for line in synced.told:
        note(line)
    for name in synced.skipped[:SHOWN]:
        note(f"skipped: {name}")
    if len(synced.skipped) > SHOWN:
        note(f"skipped: {len(synced.skipped) - SHOWN:,} more; --json names all")
    if synced.missing:
        note(f"gone: {synced.missing:,} records left the ring of {synced.site} before they were read; sync more often")
    return 0 if synced.complete and not synced.without_books else PARTIAL
