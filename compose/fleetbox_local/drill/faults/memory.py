"""Faults of what the engine remembers to send: its replication logs deleted, corrupted or too short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fleetbox_local.drill.faults.network import cut
from fleetbox_local.drill.scene import Scene

GARBAGE = b"\xde\xad\xbe\xef" * 16  # over the header of 16 bytes and the first transactions


def logs_of(data_dir: Path) -> list[Path]:
    """Return the engine's replication logs: one a stream and task, `<bucket>/<entry>/<task>.log`."""
    return sorted(path for path in data_dir.rglob("*-to-*.log") if path.is_file())


def _delete(log: Path) -> None:
    log.unlink()


def _corrupt(log: Path) -> None:
    with log.open("r+b") as file:
        file.write(GARBAGE)


def forgetting(harm: Callable[[Path], None]) -> Callable[[Scene], AbstractContextManager[None]]:
    """Return the fault in which the robot's store is killed with records waiting and its logs come to harm."""

    @contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        with cut(scene):
            yield
            scene.robot.kill()
            found = logs_of(scene.robot.data_dir)
            if not found:
                raise RuntimeError(f"no replication log lies in {scene.robot.data_dir}: nothing was broken")
            for log in found:
                harm(log)
            scene.restart_store("robot")

    return fault


deleted = forgetting(_delete)
corrupted = forgetting(_corrupt)
overflowing = cut  # with a setting whose logs hold fewer transactions than are written meanwhile
