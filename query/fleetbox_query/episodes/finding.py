"""Find episodes across places, and turn them into the spans of time that they show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from fleetbox.episode_books import read_revisions
from fleetbox.episodes import STREAM, Episode, Revision, by_episode, fold
from fleetbox.errors import InputError, NotFound
from fleetbox.selectors import Selector, is_glob, matches_glob
from fleetbox.settings import FleetSettings
from fleetbox_query.events import Where, resolve
from fleetbox_query.expressions import Expression, compile_expression
from fleetbox_query.inventory import Holding, Inventory, Unreached, take_inventory
from fleetbox_query.moments import check_order
from fleetbox_query.question import EpisodeQuestion, Span
from fleetbox_query.stores import Stores, places_for

PREFIX = "episode:"
SHOWN = 5  # names in a message
_TOLD = ("id", "name", "robot", "note", "success", "fps", "robot_type", "state", "version", "start_us", "stop_us")


@dataclass(frozen=True, slots=True)
class Found:
    """Hold episodes in order of their names, all revisions that were read, and which places were asked."""

    episodes: tuple[Episode, ...]
    revisions: tuple[Revision, ...]
    inventory: Inventory

    @property
    def unreached(self) -> tuple[Unreached, ...]:
        """Return the places that could not be asked."""
        return self.inventory.unreached

    def history(self, episode: Episode) -> list[Revision]:
        """Return the revisions of one of them, in order."""
        return by_episode(self.revisions).get(episode.id, [])


async def find_episodes(stores: Stores, fleet: FleetSettings, question: EpisodeQuestion, where: Where) -> Found:
    """Return the episodes asked for; every place holds revisions, and all of them count once.

    Raises NotFound for a name without a glob that no episode has, InputError for one that several have.
    """
    expression = compile_expression(question.when) if question.when else None
    bounds = [await resolve(stores, fleet, where, at) for at in (question.start, question.stop)]
    check_order(*bounds)
    selectors = [Selector(robot, f"{STREAM}/**") for robot in question.robots]
    places = places_for(fleet, selectors, where.tier, where.site)
    inventory = await take_inventory(stores, places, selectors, only="meta")
    held = {holding.key[:2]: holding for holding in inventory.holdings}
    parts = await asyncio.gather(*(_read(stores, one) for one in held.values()))
    revisions = tuple(one for part in parts for one in part)
    known = [one for one in fold(revisions).values() if any(matches_glob(glob, one.robot) for glob in question.robots)]
    named = _named(known, revisions, question, inventory)
    chosen = [one for one in named if _is_asked(one, question, expression, (bounds[0], bounds[1]))]
    return Found(tuple(sorted(chosen, key=_order)), revisions, inventory)


async def _read(stores: Stores, holding: Holding) -> list[Revision]:
    return await read_revisions(await stores.at(holding.place), holding.bucket)


async def spans_of_episodes(
    stores: Stores, fleet: FleetSettings, question: EpisodeQuestion, where: Where, asked: Sequence[Selector]
) -> tuple[tuple[Span, ...], tuple[Unreached, ...]]:
    """Return what the episodes show of the streams asked for, and which places could not be asked."""
    found = await find_episodes(stores, fleet, question, where)
    if not found.episodes:
        raise NotFound(f"there are no such episodes{_unasked(found.inventory)}", "`fleetbox episode ls` shows them")
    spans = (span for one in found.episodes for span in spans_of(one, asked))
    return tuple(dict.fromkeys(spans)), found.unreached


def spans_of(episode: Episode, asked: Sequence[Selector]) -> Iterable[Span]:
    """Yield a span per interval and selector of an episode.

    `**` is what the episode shows; a stream named outright is taken whether it is among its streams or not, unless it
    was removed. An open episode has no end.
    """
    computed = computed_of(episode)
    for selector in asked:
        if not matches_glob(selector.robot, episode.robot):
            continue
        for one in _shown(episode, selector):
            for at, (start, stop) in enumerate(episode.intervals):
                is_open = episode.state == "open" and at == len(episode.intervals) - 1
                yield Span(one, start, None if is_open else stop, computed)


def computed_of(episode: Episode) -> tuple[tuple[str, str, str], ...]:
    """Return its computed fields: stream, name, expression."""
    return tuple(
        (key.rpartition(":")[0], key.rpartition(":")[2], text) for key, text in sorted(episode.computed.items())
    )


def _shown(episode: Episode, asked: Selector) -> Iterable[Selector]:
    if asked.stream == "**" and asked.field is None:
        made = [key for key in episode.computed if episode.streams != ("**",)]
        parsed = [Selector.parse(f"{episode.robot}/{text}") for text in dict.fromkeys((*episode.streams, *made))]
    else:
        parsed = [replace(asked, robot=episode.robot)]
    whole = tuple(text for text in episode.removed if ":" not in text)
    cut = [text.rsplit(":", 1) for text in episode.removed if ":" in text]
    for one in parsed:
        inside = [(stream, field) for stream, field in cut if matches_glob(one.stream, stream)]
        apart = tuple(dict.fromkeys(stream for stream, _ in inside))
        if one.stream not in apart:
            yield replace(one, without=(*whole, *apart))
        for stream, field in inside:
            yield replace(one, stream=stream, field=f"!{field}", without=whole)
        for stream in apart:
            if one.field is not None:
                yield replace(one, stream=stream, without=whole)


def _named(
    known: Sequence[Episode], revisions: Sequence[Revision], question: EpisodeQuestion, inventory: Inventory
) -> Sequence[Episode]:
    if not question.names:
        return known
    chosen: dict[str, Episode] = {}
    for text in question.names:
        chosen |= {one.id: one for one in _one_name(known, revisions, text, question, inventory)}
    return list(chosen.values())


def _one_name(
    known: Sequence[Episode], revisions: Sequence[Revision], text: str, question: EpisodeQuestion, inventory: Inventory
) -> Sequence[Episode]:
    name, version = split_version(text.removeprefix(PREFIX))
    if not name.strip():  # a shell's variable that is not set: it begins every id
        raise InputError("an episode's name is empty", "`fleetbox episode ls` shows them; '*' is all of them")
    standing = [one for one in known if (one.state == "dropped") == question.dropped or version is not None]
    if is_glob(name):
        found = [one for one in standing if matches_glob(name, one.name)]
    else:
        found = [one for one in standing if name in (one.name, one.id)]
        found = found or [one for one in standing if one.note == name]
        found = found or [one for one in standing if one.id.startswith(name)][:2]
        if not found:
            raise _unknown(name, known, inventory)
        if len(found) > 1 and found[0].note != name:
            where = ", ".join(f"{one.id} ({one.robot})" for one in found[:SHOWN])
            raise InputError(f"episode {name!r} may be one of {len(found)}: {where}", "name one by its id")
    if version is None:
        return found
    ids = {one.id for one in found}
    then = fold((one for one in revisions if one.id in ids), version)
    if late := [one for one in found if one.version < version]:
        raise NotFound(f"episode {late[0].name} has no version {version}", f"it has 1 to {late[0].version}")
    return list(then.values())


def split_version(text: str) -> tuple[str, int | None]:
    """Return (name, version) of "picks/1@3"; raises InputError for a version that is no number."""
    name, mark, version = text.partition("@")
    if mark and not (version.isdecimal() and int(version) > 0):
        raise InputError(f"{text!r} names no version", "write it like picks/1@3")
    return name, int(version) if mark else None


def _is_asked(
    episode: Episode, question: EpisodeQuestion, expression: Expression | None, bounds: tuple[int | None, int | None]
) -> bool:
    start, stop = bounds
    versioned = any("@" in name for name in question.names)
    return (
        ((episode.state == "dropped") == question.dropped or versioned)
        and (question.success is None or episode.success is question.success)
        and all(episode.labels.get(name) == text for name, text in question.labels.items())
        and (start is None or episode.start_us >= start)
        and (stop is None or episode.start_us < stop)
        and (expression is None or passes(episode, expression))
    )


def passes(episode: Episode, expression: Expression) -> bool:
    """Tell whether an expression over an episode's labels and its own words (success, note, seconds) holds."""
    own: dict[str, Any] = {name: getattr(episode, name) for name in _TOLD if getattr(episode, name) is not None}
    told = {**own, "seconds": episode.length_us / 1e6, "pinned": bool(episode.pinned)}
    texts = {name: _text(value) for name, value in told.items()}
    labels = {**texts, **episode.labels}
    return expression.labels_match(labels) and expression.row_match(labels, told) is True


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _order(episode: Episode) -> tuple[str, int, str]:
    return episode.name, episode.start_us, episode.id


def _unknown(name: str, known: Sequence[Episode], inventory: Inventory) -> NotFound:
    if any(name in (one.name, one.id) for one in known):
        return NotFound(f"episode {name!r} was dropped", "see it with --dropped; NAME@VERSION still shows it")
    near = get_close_matches(name, sorted({one.name for one in known}), SHOWN)
    shown = ", ".join(one.name for one in known[-SHOWN:])
    step = "make one: fleetbox episode new, or record one: fleetbox record start"
    if known:
        step = f"did you mean {' or '.join(near)}?" if near else f"known: {shown}"
    return NotFound(f"episode {name!r} is not known{_unasked(inventory)}", step)


def _unasked(inventory: Inventory) -> str:
    return "".join(f"; {one.place} could not be asked" for one in inventory.unreached)
