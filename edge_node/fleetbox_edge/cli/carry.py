"""`fleetbox carry`: take what a robot's site does not have yet along on a stick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetbox.cli.options import fleet_option, json_option
from fleetbox.cli.output import emit, note, progress, say, size_text

if TYPE_CHECKING:
    from fleetbox_edge.carrying.carry import Bringing, Brought

PARTIAL = 3


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--robot", help="Whose records; not needed where there is only one.")
@click.option("--yes", is_flag=True, help="Do it without being asked.")
@fleet_option
@json_option
def carry(folder: Path, robot: str | None, yes: bool, fleet_path: Path | None, as_json: bool) -> int:
    """Bring onto a stick at DIR what was selected and has not arrived; `fleetbox ingest DIR` brings it into a site.

    The ledger and all else of `meta` goes along. Running it again adds what is new; a stick that was pulled out is gone
    on with. Exits 3 when the stick is full before all is on it.
    """
    from fleetbox.settings import find_fleet
    from fleetbox_edge.carrying.carry import carry as bring
    from fleetbox_edge.carrying.carry import look

    bringing = look(find_fleet(fleet_path), folder, robot)
    wanted = bringing.wanted
    preview = {
        "robot": bringing.place.name, "records": wanted.records, "bytes": wanted.bytes,
        "proven": wanted.proven, "on_stick": wanted.held, "free_bytes": bringing.stick.free_bytes,
    }  # fmt: skip
    _show(bringing)
    if not (yes or (sys.stdin.isatty() and sys.stderr.isatty() and click.confirm("Go on?", err=True))):
        if as_json:
            emit({**preview, "carried": None})
        note("nothing was carried; add --yes")
        return 0
    with progress(f"carry {bringing.place.name}", total=wanted.bytes) as advance:
        done = bring(bringing, lambda done: advance(done))
    if as_json:
        emit({**preview, "carried": done.as_dict()})
    _tell(done, folder, as_json)
    return PARTIAL if done.full else 0


def _show(bringing: Bringing) -> None:
    wanted, stick = bringing.wanted, bringing.stick
    note(
        f"{bringing.place.name}: {wanted.records:,} records, {size_text(wanted.bytes)}, to {stick.folder} "
        f"({size_text(stick.free_bytes)} free); {wanted.proven:,} more are proven to be at the site, "
        f"{wanted.held:,} on the stick already"
    )
    if not bringing.proofs:
        note("what has arrived is not known here: all that was selected is taken along")
    if not bringing.fits:
        note("they do not fit: the stick is filled, pictures last; take another one for the rest")


def _tell(done: Brought, folder: Path, as_json: bool) -> None:
    text = f"{done.robot}: {done.records:,} records, {size_text(done.bytes)} carried"
    if not as_json:
        say(f"{text}; next: fleetbox ingest {folder} at the site")
    if done.aside:
        note(f"{', '.join(done.aside)}: torn, and set aside: what could be read of it is whole in other parts")
    if done.gone:
        note(f"{done.gone:,} records left the robot's ring before they could be read")
    if done.full:
        note("the stick is full, and what is on it is usable: ingest it, or carry the rest on another one")
