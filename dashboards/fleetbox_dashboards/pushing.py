"""Push boards and alert rules to a Grafana: look, decide, do, tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleetbox.errors import FleetboxError
from fleetbox_dashboards.alerts import alerts, rule
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.changes import DOING, Change, Found, Wanted, plan
from fleetbox_dashboards.encoding import fingerprint, plain
from fleetbox_dashboards.grafana import Grafana
from fleetbox_dashboards.provisioning import FOLDER, UID


@dataclass(frozen=True, slots=True)
class Wish:
    """Say what to push and how."""

    datasource: str = UID
    folder: str = FOLDER
    force: bool = False
    dry_run: bool = False
    with_alerts: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what a push did, or would do."""

    version: str
    changes: list[Change]
    warnings: list[str]


def push(grafana: Grafana, wish: Wish, tell: Callable[[int, Change], None] = lambda done, change: None) -> Outcome:
    """Bring a Grafana up to date and leave everything else alone; `tell` hears of each change as it is done.

    Nothing is written before everything was read, so a token that may not read leaves nothing half done.
    """
    version = grafana.version()
    warnings = grafana.datasource(wish.datasource)
    folder = grafana.folder(wish.folder, UID if wish.folder == FOLDER else wish.folder)
    asked = wanted(wish, folder or UID)
    found = [*grafana.boards(one.uid for one in asked if one.kind == "board")]
    found += grafana.alerts() if wish.with_alerts else []
    changes = plan(asked, found, force=wish.force)
    if not wish.dry_run and any(change.action in DOING for change in changes):
        folder = folder or grafana.make_folder(wish.folder, UID if wish.folder == FOLDER else "")
        _do(grafana, wish, _Scene(wanted(wish, folder), found, folder), changes, tell)
    return Outcome(version, changes, warnings)


def wanted(wish: Wish, folder_uid: str) -> list[Wanted]:
    """Return everything that a push wants to be there."""
    found = [_wanted_board(uid, board) for uid, board in boards(wish.datasource).items()]
    rules = [plain(rule(alert, wish.datasource, folder_uid).build()) for alert in alerts()] if wish.with_alerts else []
    for one in rules:
        del one["folderUID"], one["orgID"]  # where it stands is Grafana's; it changes nothing about the rule
    return found + [Wanted("alert", one["uid"], one["title"], one, fingerprint(one)) for one in rules]


def _wanted_board(uid: str, board: dict[str, object]) -> Wanted:
    return Wanted("board", uid, str(board["title"]), board, fingerprint(board))


@dataclass(frozen=True, slots=True)
class _Scene:
    wanted: Sequence[Wanted]
    found: Sequence[Found]
    folder_uid: str


def _do(
    grafana: Grafana, wish: Wish, scene: _Scene, changes: Sequence[Change], tell: Callable[[int, Change], None]
) -> None:
    built = {(one.kind, one.uid): one for one in scene.wanted}
    there = {(one.kind, one.uid): one for one in scene.found}
    done = 0
    for change in changes:
        if change.action not in DOING:
            continue
        key = (change.kind, change.uid)
        try:
            if change.action == "remove":
                grafana.remove(change.kind, change.uid)
            elif change.kind == "board":
                grafana.save_board(built[key], there.get(key), scene.folder_uid, force=wish.force)
            else:
                grafana.save_alert(built[key], there.get(key), scene.folder_uid)
        except FleetboxError as error:
            if done:
                error.message += f" ({done} before it are done)"
            raise
        done += 1
        tell(done, change)
