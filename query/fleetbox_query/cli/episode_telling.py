"""Tell what a command did with episodes, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fleetbox.cli.output import emit, note, progress, say, size_text
from fleetbox.time import show_duration

if TYPE_CHECKING:
    from fleetbox.episodes import Episode
    from fleetbox_query.episodes.pinning import Pinned
    from fleetbox_query.inventory import Unreached

PARTIAL = 3
SHOWN = 20  # episodes or lines in a preview


@contextmanager
def telling(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of long work over episodes; yields what takes done and total."""
    with progress(title, 1.0) as advance:
        yield lambda done, total: advance(done / max(1, total), f"{done:,} of {total:,}")


def tell_made(made: Sequence[Episode], as_json: bool) -> int:
    """Show episodes that were made."""
    if as_json:
        emit({"episodes": [one.as_dict() for one in made]})
        return 0
    for one in made[:SHOWN]:
        say(f"{one.name}  {one.robot}, {show_duration(one.length_us)}  {one.id}")
    if len(made) > SHOWN:
        say(f"and {len(made) - SHOWN:,} more")
    return 0


def tell_changed(count: int, did: str, as_json: bool, at: dict[str, str]) -> int:
    """Say how many episodes were changed."""
    if as_json:
        emit({"changed": count, "at": at})
    else:
        say(f"{count:,} episodes {did}")
    return 0


def tell_preview(lines: Sequence[str], would: str, as_json: bool) -> int:
    """Say what would be done, and how to have it done."""
    if as_json:
        emit({"would": list(lines), "done": False})
        return 0
    for line in lines[:SHOWN]:
        say(line)
    note(f"{len(lines):,} episodes {would}; --yes does it")
    return 0


def tell_pinned(told: Sequence[Pinned], did: str, as_json: bool) -> int:
    """Say what was copied or freed; return 3 where a record could not be copied."""
    clashes = [text for one in told for text in one.clashes]
    if as_json:
        emit({"pins": [
            {"place": one.place, "records": one.records, "bytes": one.size_bytes, "already": one.already,
             "clashes": one.clashes} for one in told
        ]})  # fmt: skip
    else:
        records, size = sum(one.records for one in told), sum(one.size_bytes for one in told)
        places = ", ".join(dict.fromkeys(one.place for one in told))
        say(f"{len(told):,} episodes: {records:,} records, {size_text(size)} {did} at {places}")
        for text in clashes[:SHOWN]:
            note(f"not copied: {text}")
    return PARTIAL if clashes else 0


def tell_unreached(unreached: Sequence[Unreached]) -> int:
    """Name places that could not be asked; return 3 where there are any."""
    for one in unreached:
        note(f"not asked: {one}")
    return PARTIAL if unreached else 0
