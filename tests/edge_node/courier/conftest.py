"""A robot with a site: a desk for its orders there, and a key it trusts."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store
from fleetbox.events import Event
from fleetbox.naming import CLASSES, desk_bucket, site_bucket
from fleetbox.orders import Answer, Order, new_order, read_answers, write_order
from fleetbox.policies import Followed, followed_now
from fleetbox.signing import Envelope, new_key, sign
from fleetbox_edge.courier import courier

from ..conftest import Robot

DAY_US = 86_400_000_000
_ISSUES = itertools.count()  # two envelopes within one µs would have no order


def now_us() -> int:
    """Return µs since the epoch."""
    return time.time_ns() // 1000


@dataclass
class Seat:
    """Hold a robot, its site's store, and the two keys of whoever sends it policies."""

    robot: Robot
    site: StoreServer
    private: str
    public: str

    def ask(self, question: Callable[[Store], Coroutine[Any, Any, Any]], *, site: bool = False) -> Any:
        """Ask the robot's store something, or the site's."""
        url, token = (self.site.url, self.site.token) if site else (self.robot.url, self.robot.token)

        async def asked() -> Any:
            async with Store(url, token) as store:
                return await question(store)

        return asyncio.run(asked())

    def envelope(self, text: str, **given: Any) -> Envelope:
        """Return a policy's text as its sender signs it."""
        issued_us = now_us() + next(_ISSUES)
        fields = {"robots": (self.robot.id,), "issued_us": issued_us, "expires_us": issued_us + DAY_US, **given}
        return sign(Envelope(text, **fields), self.private)

    def send(self, envelope: Envelope, **given: Any) -> str:
        """Order the robot to take a policy, and return the order's id."""
        return self.order("policy", asdict(envelope), **given)

    def raise_event(self, event: Event, **given: Any) -> str:
        """Order the robot to keep a moment, and return the order's id."""
        return self.order("event", asdict(event), **given)

    def order(self, kind: Any, body: dict[str, Any], writer: str = "ada", **given: Any) -> str:
        """Put an order into the robot's desk, and return its id."""
        order = new_order(Order("", self.robot.id, kind, body, writer, now_us(), **given))
        self.ask(lambda store: write_order(store, order, writer), site=True)
        return order.id

    def answers(self, order: str | None = None) -> list[Answer]:
        """Return what the robot's store holds of answers, or of those to one order."""

        async def read(store: Store) -> list[Answer]:
            return [answer async for answer in read_answers(store, "meta") if order in (None, answer.order)]

        found: list[Answer] = self.ask(read)
        return found

    def answer(self, order: str, seconds: float = 90.0) -> Answer:
        """Wait for the answer to an order, and return it."""
        found: list[Answer] = until(lambda: self.answers(order), seconds)
        return found[-1]

    def followed(self) -> Followed:
        """Return which policy the robot says it follows."""
        found: Followed = until(lambda: self.ask(lambda store: followed_now(store, "meta")))
        return found


def until(true: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Robots here look for orders at once: how long that may take is a constant, and no test's business."""
    monkeypatch.setattr(courier, "LOOK_S", 0.2)


@pytest.fixture
def seat(robot: Robot, new_store_server: Callable[..., StoreServer]) -> Seat:
    """A robot whose site has a desk for it."""
    site = new_store_server()
    private, public = new_key()
    made = Seat(robot, site, private, public)
    (robot.folder / "site").write_text(site.token)
    robot.write(
        f'site = "{site.url}"\nsite_name = "edge"\nsite_token = {{ file = "site" }}\nrelay = "http://127.0.0.1:0"\n'
        f'policy_keys = ["{public}"]'
    )

    async def furnish(store: Store) -> None:
        await store.ensure_bucket(desk_bucket(robot.id), BucketSpec("NONE", 0))
        for cls in CLASSES:
            await store.ensure_bucket(site_bucket(robot.id, cls), BucketSpec("NONE", 0))

    made.ask(furnish, site=True)
    return made
