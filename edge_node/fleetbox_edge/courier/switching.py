"""Put policies in force on a robot and take them back, and say so to its sites."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from fleetbox.errors import FleetboxError
from fleetbox.orders import Answer, State
from fleetbox.policies import Followed
from fleetbox.settings import RobotSettings, parse_policy
from fleetbox.signing import Envelope
from fleetbox_edge.courier.judging import Offer
from fleetbox_edge.courier.memory import Memory, Said
from fleetbox_edge.courier.telling import Tell, tell_answer, tell_policy
from fleetbox_edge.live_policy import LivePolicy, Taken, ends_us

log = structlog.get_logger()


class Switch:
    """Switch one robot's policy; used by the holder of its duties only, from one event loop.

    Every method that changes what holds puts it on the disk first, then says it; a robot that dies in between says it
    after its next start. All raise OSError when the disk takes nothing.
    """

    def __init__(
        self, settings: RobotSettings, live: LivePolicy, memory: Memory, tell: Tell, now_us: Callable[[], int]
    ) -> None:
        self._settings, self.live, self.memory, self._tell, self._now_us = settings, live, memory, tell, now_us
        self._turn = asyncio.Lock()  # the courier and the budget's watch switch, one at a time

    @property
    def issued_us(self) -> int:
        """Return the oldest issue in µs that may still be taken."""
        taken = self.live.taken
        return max(self.memory.issued_us, 0 if taken is None else taken.envelope.issued_us)

    async def take(self, offer: Offer) -> None:
        """Put an offered policy in force and answer; one that holds already is only answered."""
        async with self._turn:
            taken = self.live.taken
            if taken is None or taken.envelope != offer.envelope:
                before = None if taken is None else taken.envelope
                await self._put(Taken(offer.envelope, offer.policy, offer.order.id, self._now_us(), before))
                self.memory.issued_us = max(self.memory.issued_us, offer.envelope.issued_us)
                log.info("policy applied", **self._about(), order=offer.order.id)
            self.answer(offer.order.id, "applied")
            await self._tell_followed()

    async def roll_back(self, reason: str) -> bool:
        """Return to what held before the policy in force, and never take that one again; False when there is none."""
        async with self._turn:
            taken = self.live.taken
            if taken is None:
                return False
            self.memory.issued_us = max(self.memory.issued_us, taken.envelope.issued_us + 1)
            await self._put(self._revived(taken.before))
            log.warning("policy rolled back", **self._about(), why=reason, order=taken.order)
            self.answer(taken.order, "rolled back", reason)
            await self._tell_followed()
            return True

    async def note_muted(self, reason: str) -> None:
        """Say that triggers are muted, and why; or, with "", that they are no more."""
        self.memory.muted = reason
        tell_answer(self._tell, self._answer("", "muted" if reason else "unmuted", reason, self._now_us()))
        await self.save()

    async def tend(self) -> None:
        """Return to robot.toml's policy when the one taken has ended or its key is no longer trusted; tell what holds.

        Telling is done once for each policy that comes in force, and again when it was not told before a kill.
        """
        async with self._turn:
            lapsed, taken = self.live.lapsed, self.live.taken
            if lapsed is not None:
                await self._put(None)
                log.warning("policy expired", **self._about(), order=lapsed.order)
                self.answer(lapsed.order, "expired", "it has ended: what robot.toml says holds again")
            elif taken is not None and taken.envelope.key not in self._settings.policy_keys:
                await self._put(None)
                log.warning("policy dropped", **self._about(), why="its key is not in policy_keys", order=taken.order)
                self.answer(taken.order, "refused", "unsigned: its key is no longer in `policy_keys` of robot.toml")
            await self._tell_followed()

    def answer(self, order: str, state: State, reason: str = "", *, kind: str = "policy") -> None:
        """Say what became of an order; what it says of the policy people at the robot can read too."""
        now_us = self._now_us()
        if kind == "policy":
            self.memory.said = Said(state, reason, now_us, order)
            tell_answer(self._tell, self._answer(order, state, reason, now_us))
        else:
            tell_answer(
                self._tell,
                Answer(order, self._settings.robot, "event", state, now_us, reason, self.live.current.hash),
            )

    async def save(self) -> None:
        """Put the memory on the disk."""
        await asyncio.to_thread(self.memory.save)

    def _answer(self, order: str, state: State, reason: str, now_us: int) -> Answer:
        policy = self.live.current
        body = {"version": policy.version, "name": policy.name}
        return Answer(order, self._settings.robot, "policy", state, now_us, reason, policy.hash, body)

    async def _tell_followed(self) -> None:
        followed = self._followed()
        told = f"{followed.hash}:{followed.order}"
        if told != self.memory.told:
            tell_policy(self._tell, followed)
            self.memory.told = told
            await self.save()

    async def _put(self, taken: Taken | None) -> None:
        await asyncio.to_thread(self.live.put, taken)

    def _revived(self, envelope: Envelope | None) -> Taken | None:
        """Return what held before as taken again, None for robot.toml's and where that has ended meanwhile."""
        if envelope is None:
            return None
        try:
            taken = Taken(envelope, parse_policy(envelope.text), "", self._now_us())
        except FleetboxError as error:  # it was understood once; an older version of fleetbox may run now
            log.warning("what held before is not understood", robot=self._settings.robot, why=str(error))
            return None
        return taken if self._now_us() < ends_us(taken) else None

    def _followed(self) -> Followed:
        robot, policy, taken = self._settings.robot, self.live.current, self.live.taken
        if taken is not None:
            return Followed(robot, policy.hash, taken.envelope.text, self._now_us(), taken.order, taken.envelope)
        return Followed(robot, policy.hash, own_text(self._settings), self._now_us())

    def _about(self) -> dict[str, str | int]:
        policy = self.live.current
        return {"robot": self._settings.robot, "policy": policy.hash, "version": policy.version, "name": policy.name}


def own_text(settings: RobotSettings) -> str:
    """Return the text of robot.toml's policy as its file has it now; "" without one, or when it has changed since."""
    if settings.policy_file is None:
        return ""
    path = settings.source.parent / settings.policy_file
    try:
        text = path.read_text(encoding="utf-8")
        return text if parse_policy(text).hash == settings.policy.hash else ""
    except (OSError, UnicodeDecodeError, FleetboxError):
        return ""
