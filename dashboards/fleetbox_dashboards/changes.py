"""Decide what a push does to a Grafana: a pure function of what is wanted and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["board", "alert"]
Action = Literal["create", "update", "keep", "remove", "drift", "blocked"]
DOING: tuple[Action, ...] = ("create", "update", "remove")
LEFT: tuple[Action, ...] = ("drift", "blocked")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold a board or a rule as it is built."""

    kind: Kind
    uid: str
    title: str
    document: Mapping[str, Any]
    print: str  # of the document; a push leaves it in Grafana


@dataclass(frozen=True, slots=True)
class Found:
    """Hold a board or a rule that Grafana has."""

    kind: Kind
    uid: str
    title: str
    ours: bool  # its uid has our prefix and it has our tag or label
    pushed: str | None  # the print that the newest version carries; None: a person saved it last
    provisioned: bool = False  # from files: Grafana lets nobody change it through its API
    by: str = ""  # who saved it last, and when
    version: int = 0
    folder_uid: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Say what happens to a board or a rule, and why."""

    action: Action
    kind: Kind
    uid: str
    title: str
    why: str = ""
    differs: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """Return the change as `--json` shows it."""
        return {
            "action": self.action,
            "kind": self.kind,
            "uid": self.uid,
            "title": self.title,
            "why": self.why,
            "differs": list(self.differs),
        }


def plan(wanted: Iterable[Wanted], found: Iterable[Found], *, force: bool = False) -> list[Change]:
    """Return a change for each wanted and for each of ours that is wanted no more.

    What a person saved last stays as it is unless `force`; what is not ours and not wanted is not mentioned at all.
    """
    there = {(one.kind, one.uid): one for one in found}
    wanted = list(wanted)
    changes = [_change(one, there.get((one.kind, one.uid)), force) for one in wanted]
    names = {(one.kind, one.uid) for one in wanted}
    return changes + [_leave(one, force) for key, one in there.items() if key not in names and one.ours]


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the panels and settings in which a stored board is not as built."""
    panels, there = ({one.get("id"): one for one in board.get("panels", ())} for board in (wanted, found))
    named = [_name(panels.get(key) or there[key]) for key in {**panels, **there} if panels.get(key) != there.get(key)]
    apart = {"panels", "id", "version", "schemaVersion", "uid"}
    return (*named, *sorted(key for key in {*wanted, *found} - apart if wanted.get(key) != found.get(key)))


def _change(one: Wanted, there: Found | None, force: bool) -> Change:
    if there is None:
        return Change("create", one.kind, one.uid, one.title)
    if there.provisioned:
        return Change("blocked", one.kind, one.uid, one.title, "Grafana has it from files: provision it or push it")
    if there.pushed == one.print:
        return Change("keep", one.kind, one.uid, one.title)
    if there.pushed is not None:
        return Change("update", one.kind, one.uid, one.title, "built anew", differences(one.document, there.document))
    why, differs = f"saved by hand{there.by}", differences(one.document, there.document)
    return Change("update" if force else "drift", one.kind, one.uid, one.title, why, differs)


def _leave(there: Found, force: bool) -> Change:
    if there.provisioned:
        return Change("blocked", there.kind, there.uid, there.title, "Grafana has it from files")
    if there.pushed is None and not force:
        return Change("drift", there.kind, there.uid, there.title, f"no longer built, but saved by hand{there.by}")
    return Change("remove", there.kind, there.uid, there.title, "no longer built")


def _name(panel: Mapping[str, Any]) -> str:
    return f"panel {panel.get('title') or panel.get('id')!r}"
