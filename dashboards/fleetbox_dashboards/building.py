"""Build every file: boards for people who keep them in Git, and what Grafana provisions itself from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetbox.errors import FleetboxError
from fleetbox_dashboards.boards import BOARDS, PREFIX, assemble
from fleetbox_dashboards.encoding import plain, text_of
from fleetbox_dashboards.provisioning import PROVIDER, UID, alerting_json, datasource_yaml

BOARD_FOLDER = "dashboards"


def boards(datasource_uid: str = UID) -> dict[str, dict[str, Any]]:
    """Return each board as Grafana stores it, by uid, in the order in which a person opens them."""
    found = [plain(assemble(board(), datasource_uid).build()) for board in BOARDS]
    return {one["uid"]: one for one in found}


def files(datasource_uid: str = UID) -> dict[str, str]:
    """Return what belongs into a folder: path -> text."""
    return {
        **{f"{BOARD_FOLDER}/{uid}.json": text_of(board) for uid, board in boards(datasource_uid).items()},
        "provisioning/dashboards/fleetbox.yaml": PROVIDER,
        "provisioning/datasources/fleetbox.yaml": datasource_yaml(datasource_uid),
        "provisioning/alerting/fleetbox.json": text_of(alerting_json(datasource_uid)),
    }


def stale(folder: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return which files of a folder are not as they would be built: path -> `missing`, `differs`, `left over`."""
    found: dict[str, str] = {}
    for path, text in wanted.items():
        there = folder / path
        if not there.is_file():
            found[path] = "missing"
        elif there.read_text(encoding="utf-8") != text:
            found[path] = "differs"
    return found | dict.fromkeys(_left_over(folder, wanted), "left over")


def write(folder: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Write what differs and remove boards of ours that are no more; return path -> `written`, `removed`.

    Other people's files in the folder stay. Raises FleetboxError when it cannot be written.
    """
    done: dict[str, str] = {}
    try:
        for path, why in stale(folder, wanted).items():
            if why == "left over":
                (folder / path).unlink()
                done[path] = "removed"
                continue
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(wanted[path], encoding="utf-8")
            done[path] = "written"
    except OSError as error:
        where = error.filename or folder
        raise FleetboxError(
            f"cannot write {where}: {error.strerror}", "name a folder that you may write: build -o DIR"
        ) from None
    return done


def _left_over(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    found = (f"{BOARD_FOLDER}/{path.name}" for path in sorted((folder / BOARD_FOLDER).glob(f"{PREFIX}*.json")))
    return [path for path in found if path not in wanted]
