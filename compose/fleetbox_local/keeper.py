"""Keeps the processes of a local fleet alive."""

from __future__ import annotations

import time
from collections.abc import Callable

from fleetbox.errors import FleetboxError
from fleetbox_local.child import Child
from fleetbox_local.fleet import LocalFleet, Member
from fleetbox_local.reviving import Deaths

SHOWN_LINES = 5  # of a dead process's log: enough to see why, the file has the rest


class Keeper:
    """Notice processes that died, show why and start them again, within bounds."""

    def __init__(
        self, fleet: LocalFleet, say: Callable[[str], None], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._fleet = fleet
        self._say = say
        self._now_s = now_s
        self._deaths: dict[str, Deaths] = {}
        self._down: set[str] = set()

    def step(self) -> bool:
        """Look at every process once; tell whether one was started again."""
        revived = False
        for name, member in self._fleet.members.items():
            if member.alive:
                continue
            if name not in self._down:
                self._note(name, member)
            deaths = self._deaths[name]
            if not deaths.hopeless and self._now_s() >= deaths.start_again_s:
                revived |= self._revive(name, member)
        return revived

    def _note(self, name: str, member: Member) -> None:
        self._down.add(name)
        self._deaths[name] = self._deaths.get(name, Deaths()).add(self._now_s())
        child = member if isinstance(member, Child) else member.child
        words = "".join(f"\n    {line}" for line in child.tail(SHOWN_LINES))
        verdict = "it dies too often and stays down" if self._deaths[name].hopeless else "it is started again"
        self._say(
            f"{name} ended with code {child.exit_code}; {verdict}. Its log, {child.command.log}, says last:{words}"
        )

    def _revive(self, name: str, member: Member) -> bool:
        self._down.discard(name)
        try:
            member.start()
        except FleetboxError as error:  # its port or folder is taken by now: counts as one more death
            self._say(f"{name}: {error}")
            self._down.add(name)
            self._deaths[name] = self._deaths[name].add(self._now_s())
            return False
        self._say(f"{name} runs again")
        return True
