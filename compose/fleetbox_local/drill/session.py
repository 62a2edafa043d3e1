"""Plays many scenarios one after the other, those with the same setting in one scene."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from fleetbox.errors import FleetboxError
from fleetbox_local.drill.disks import Unplayable
from fleetbox_local.drill.outcome import Outcome
from fleetbox_local.drill.playing import Say, play
from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import Setting


class Session:
    """Keep the scene of the last scenario for the next one that wants the same; a context manager.

    A scene in which something went wrong is never used again.
    """

    def __init__(self, directory: Path, say: Say = lambda text: None) -> None:
        self.directory = directory
        self._say = say
        self._held = ExitStack()
        self._scene: Scene | None = None
        self._setting: Setting | None = None
        self._scenes = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def play(self, scenario: Scenario) -> Outcome:
        """Play one scenario; what fails on the way is its outcome, not an exception."""
        try:
            outcome = play(self._scene_for(scenario), scenario, self._say)
        except Unplayable as why:
            self.drop()
            outcome = Outcome(scenario.name, 0, skipped=why.message)
            self._say(f"{scenario.name}: skipped: {why.message}")
        except FleetboxError as error:
            outcome = Outcome(scenario.name, 0, faults=(error.message,))
            self._say(f"{scenario.name}: FAILED: {error.message}")
        except BaseException:
            self.drop()
            raise
        if not outcome.ok or scenario.loses:
            self.drop()
        return outcome

    def play_all(self, scenarios: Sequence[Scenario]) -> list[Outcome]:
        """Play scenarios in the order given."""
        return [self.play(scenario) for scenario in scenarios]

    def drop(self) -> None:
        """End the scene that is held."""
        self._scene = self._setting = None
        self._held.close()

    def _scene_for(self, scenario: Scenario) -> Scene:
        if self._scene is None or self._setting != scenario.setting:
            self.drop()
            self._scenes += 1
            self._say(f"a scratch fleet for {scenario.name}: robot, edge, cloud")
            folder = self.directory / f"scene-{self._scenes:02d}"
            self._scene = self._held.enter_context(Scene(folder, scenario.setting))
            self._setting = scenario.setting
        return self._scene
