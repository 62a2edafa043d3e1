"""A site with robots that answer as real ones do: through the real orders and policies, on a real store."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox.orders import Answer, read_orders, write_answer
from fleetbox.policies import Followed, write_policy
from fleetbox.settings import FleetSettings, load_fleet, parse_policy
from fleetbox.signing import Refused, check, decode, new_key, public_of
from fleetbox_cloud.provision import provision, wanted

OWN = 'name = "own"\n'


@dataclass
class Robot:
    """Stand in for a robot: fetch orders, check them, answer, say what it follows."""

    name: str
    key: str
    fails: str = ""  # the reason with which it answers "failed"
    refuses: str = ""  # the reason with which it answers "refused"
    followed: list[Followed] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    issued_us: int = 0

    async def follow(self, store: Store, text: str, order: str, now_us: int) -> None:
        """Say that a policy came in force."""
        one = Followed(self.name, parse_policy(text).hash, text, now_us, order)
        self.followed.append(one)
        await write_policy(store, f"{self.name}--meta", one)

    async def look(self, store: Store, now_us: int) -> None:
        """Do what is new in the desk."""
        if not self.followed:
            await self.follow(store, OWN, "", now_us)
        async for order in read_orders(store, self.name):
            if order.id in self.done:
                continue
            self.done.add(order.id)
            state, reason = "failed" if self.fails else "applied", self.fails
            if self.refuses:
                state, reason = "refused", self.refuses
            envelope = decode(json.dumps(dict(order.body)))
            try:
                check(envelope, [self.key], self.name, now_us, self.issued_us)
            except Refused as error:
                state, reason = "refused", error.reason
            if state == "applied":
                self.issued_us = envelope.issued_us
                await self.follow(store, envelope.text, order.id, now_us + 1)
            await self.say(store, order.id, state, now_us + 1, reason)

    async def say(self, store: Store, order: str, state: Any, now_us: int, reason: str = "") -> None:
        """Answer."""
        answer = Answer(order, self.name, "policy", state, now_us, reason, self.followed[-1].hash)
        await write_answer(store, f"{self.name}--meta", answer)


class Scene:
    """A site that passes nothing on, its fleet, its robots."""

    def __init__(self, folder: Path, server: Any, count: int) -> None:
        self.server, self.folder = server, folder
        private, public = new_key()
        (folder / "policy.key").write_text(private)
        (folder / "store.token").write_text(server.token)
        mark = uuid.uuid4().hex[:8]
        names = [f"{mark}-{number}" for number in range(count)]
        lines = [f'[[robots]]\nmatch = "{name}"\nsite = "edge"' for name in names]
        lines.append(f'[site.edge]\nstore = "{server.url}"\ntoken = {{ file = "store.token" }}')
        self.file = folder / "fleet.toml"
        self.file.write_text('policy_key = { file = "policy.key" }\n' + "\n".join(lines))
        self.fleet: FleetSettings = load_fleet(self.file)
        self.robots = {name: Robot(name, public) for name in names}
        self.glob = f"{mark}-*"
        assert public == public_of(private)

    def store(self) -> Store:
        """Reach the site's store with full access."""
        return Store(self.server.url, self.server.token, name="edge")

    async def make(self) -> None:
        """Make the buckets as the site would."""
        async with self.store() as store:
            await provision(store, wanted(self.fleet, "edge"))

    async def look(self, now_us: int, *away: str) -> None:
        """Let every robot that is not away do what is new."""
        async with self.store() as store:
            for name, robot in self.robots.items():
                if name not in away:
                    await robot.look(store, now_us)

    def policy(self, name: str = "shift", text: str = "") -> Path:
        """Write a policy file."""
        path = self.folder / f"{name}.toml"
        path.write_text(f'name = "{name}"\nversion = 3\n{text}')
        return path

    def following(self) -> dict[str, str]:
        """Return the name of the policy each robot follows that said so."""
        told = {name: robot.followed[-1].text for name, robot in self.robots.items() if robot.followed}
        return {name: parse_policy(text).name for name, text in told.items()}


@pytest.fixture
def scene(tmp_path: Path, new_store_server: Callable[..., Any]) -> Callable[..., Scene]:
    """Make a site with robots; its store can be killed."""
    return lambda count=20: Scene(tmp_path, new_store_server(), count)
