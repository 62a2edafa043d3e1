"""Begin the episodes that one program records: one at a time on a robot, also while its store is away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from fleetbox import episodes
from fleetbox.background import BackgroundLoop
from fleetbox.blobs import Store
from fleetbox.episode_books import labels_of
from fleetbox.errors import FleetboxError, InputError
from fleetbox.labels import RESERVED
from fleetbox.settings import RobotSettings
from fleetbox_edge.courier.telling import META
from fleetbox_edge.live_episode import LiveEpisode, begun, check_none_open, open_episodes
from fleetbox_edge.session import Session

LOOK_S = 1.0  # seconds; a store beside us answers in milliseconds, one that is away must not stop an operator
MOST = 1_000  # of this program, whose end may not have reached the store; more in one outage is no teleoperation


class OwnEpisodes:
    """Hold the episodes that this program began; `push` sends what was written of them."""

    def __init__(
        self, settings: RobotSettings, session: Session, loop: BackgroundLoop, push: Callable[[], None]
    ) -> None:
        self._settings, self._session, self._loop, self._push = settings, session, loop, push
        self._begun: deque[LiveEpisode] = deque(maxlen=MOST)

    def begin(
        self, note: str, *, name: str, streams: str | Sequence[str], labels: Mapping[str, object] | None, resume: bool
    ) -> LiveEpisode:
        """Begin one, or go on with the one that is open; raises InputError where that is not asked for."""
        if self._begun and not self._begun[-1].ended:
            raise InputError(f"episode {self._begun[-1].name} is still being recorded", "end it first: its stop()")
        session = self._session
        known = {one.id for one in self._begun}  # they end here before the store hears of it
        found = [one for one in self._loop.run(self._open()) if one.id not in known]
        if found and resume:
            live = LiveEpisode(found[-1], self._put, session.clock.now_us, begun=True)
        else:
            check_none_open(found)
            now_us, robot = session.clock.now_us(), self._settings.robot
            wish = begun(robot, note, now_us, session.id, name=name, streams=streams, labels=labels)
            live = LiveEpisode(wish, self._put, session.clock.now_us)
        self._begun.append(live)
        return live

    def _put(self, revision: episodes.Revision) -> None:
        labels = {name: text for name, text in labels_of([revision]).items() if name not in RESERVED}
        self._session.blob(episodes.STREAM, META, episodes.encode([revision]), None, labels)
        self._push()

    async def _open(self) -> list[episodes.Episode]:
        """Return what is being recorded as far as the store answers at once: a program must not wait for it."""
        with suppress(TimeoutError, FleetboxError):
            async with asyncio.timeout(LOOK_S), Store.at(self._settings.place(), timeout_s=LOOK_S) as store:
                return await open_episodes(store, "meta", self._settings.robot)
        return []
