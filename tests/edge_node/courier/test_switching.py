"""Policies come in force, end, and are taken back; each is said once, and over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fleetbox import orders, policies
from fleetbox.labels import Labels
from fleetbox.orders import Answer, Order
from fleetbox.policies import Followed
from fleetbox.settings import Policy, RobotSettings, parse_policy
from fleetbox.signing import Envelope, Refused, new_key, sign
from fleetbox_edge.budget_watch import BudgetWatch, CpuMeter
from fleetbox_edge.courier.judging import Gate, Offer, open_offer
from fleetbox_edge.courier.memory import FILE, Memory
from fleetbox_edge.courier.switching import Switch
from fleetbox_edge.live_policy import LivePolicy
from fleetbox_edge.spending import Spending

T = 1_763_700_000_000_000
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000
PRIVATE, PUBLIC = new_key()
BASE = parse_policy('name = "own"\n')
SMALL = '[budget]\nbytes_per_day = "1 MB"\ncpu = "50 %"\ntrial = "30m"\n'


@dataclass
class Bench:
    """A robot's switch with a clock that a test sets, and all that it says."""

    folder: Path
    us: int = T
    keys: tuple[str, ...] = (PUBLIC,)
    base: Policy = BASE
    said: list[tuple[str, bytes]] = field(default_factory=list)
    muted: list[str | None] = field(default_factory=list)
    used_s: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def now_us(self) -> int:
        """Return µs since the epoch."""
        return self.us

    def start(self) -> None:
        """Begin as after a restart: only what is on the disk is known."""
        raw = {"robot": "r7", "store_token": {"env": "T"}, "state": self.folder, "source": self.folder / "robot.toml"}
        settings = RobotSettings.model_validate({**raw, "policy_keys": self.keys, "policy_value": self.base})
        self.live = LivePolicy(self.base, self.folder, self.now_us)
        self.switch = Switch(settings, self.live, Memory.at(self.folder), self.tell, self.now_us)
        meter = CpuMeter(lambda: self.used_s, lambda: self.us / 1e6)
        self.spending = Spending(self.folder / "spent", self.now_us)
        self.watch = BudgetWatch(
            self.switch, self.spending, self.muted.append, self.now_us, meter, lambda: self.us / 1e6
        )

    def tell(self, stream: str, body: bytes, labels: Labels) -> None:
        """Take what the switch says."""
        self.said.append((stream, body))

    def offer(self, text: str, **given: Any) -> Offer:
        """Return a policy as the robot may take it, or raise Refused."""
        self.us += 1
        envelope = Envelope(text, ("r7",), self.us, self.us + 30 * DAY_US)
        return self.reopen(sign(replace(envelope, **given), PRIVATE))

    def reopen(self, envelope: Envelope) -> Offer:
        """Return what an order with this envelope offers, or raise Refused."""
        raw = {name: getattr(envelope, name) for name in Envelope.__dataclass_fields__}
        order = Order(f"o-{self.us}", "r7", "policy", raw | {"robots": list(envelope.robots)}, "ada", self.us)
        return open_offer(order, Gate("r7", self.keys, self.us, self.switch.issued_us))

    def take(self, text: str, **given: Any) -> Offer:
        """Put a policy in force."""
        offer = self.offer(text, **given)
        run(self.switch.take(offer))
        return offer

    def look(self, after_us: int = 1) -> None:
        """Let time pass and the budget be judged."""
        self.us += after_us
        run(self.watch.look())

    @property
    def answers(self) -> list[Answer]:
        """Return the answers given so far."""
        return [orders.decode(body, Answer) for stream, body in self.said if stream == orders.ANSWERS]

    @property
    def states(self) -> list[str]:
        """Return the states answered so far."""
        return [answer.state for answer in self.answers]

    @property
    def followed(self) -> list[Followed]:
        """Return the policies told so far."""
        return [policies.decode(body) for stream, body in self.said if stream == orders.POLICIES]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end."""
    return asyncio.run(work)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A robot that follows robot.toml's policy."""
    return Bench(tmp_path / "policy")


@pytest.mark.parametrize("end", ["signature", "policy"])
def test_an_expired_policy_gives_way_to_robot_toml(bench: Bench, end: str) -> None:
    """At its end robot.toml's policy holds again, in a process without duties too; it is answered once."""
    text = "expires = 2025-11-22T00:00:00Z\n" if end == "policy" else ""
    given = {"expires_us": bench.us + DAY_US} if end == "signature" else {}
    offer = bench.take(f"{text}version = 2\n", **given)
    other = LivePolicy(bench.base, bench.folder, bench.now_us)
    assert other.current.version == bench.live.current.version == 2
    bench.us += 2 * DAY_US
    assert other.look()
    assert other.current == BASE
    bench.live.look()
    run(bench.switch.tend())
    run(bench.switch.tend())
    assert bench.states == ["applied", "expired"]
    assert bench.answers[-1].order == offer.order.id
    assert [one.hash for one in bench.followed] == [offer.policy.hash, BASE.hash]
    bench.start()
    assert bench.live.taken is bench.live.lapsed is None


def test_a_policy_that_expired_while_the_robot_was_off_never_holds(bench: Bench) -> None:
    """A robot switched on after the end starts with robot.toml's policy and says so."""
    bench.take("version = 2\n", expires_us=bench.us + DAY_US)
    bench.us += 2 * DAY_US
    bench.start()
    assert bench.live.current == BASE
    run(bench.switch.tend())
    assert bench.states == ["applied", "expired"]


def test_a_key_taken_out_of_robot_toml_takes_its_policy_with_it(bench: Bench) -> None:
    """What the robot no longer trusts it no longer follows."""
    bench.take("version = 2\n")
    bench.keys = ()
    bench.start()
    run(bench.switch.tend())
    assert bench.live.current == BASE
    assert bench.states == ["applied", "refused"]
    assert bench.answers[-1].reason.startswith("unsigned: ")


def test_the_same_envelope_is_applied_once(bench: Bench) -> None:
    """Ordered again by a second desk it is answered again, and is not what came before itself."""
    offer = bench.take("version = 2\n")
    since_us = bench.live.taken and bench.live.taken.at_us
    bench.us += HOUR_US
    run(bench.switch.take(bench.reopen(offer.envelope)))
    assert bench.states == ["applied", "applied"]
    assert bench.live.taken is not None
    assert (bench.live.taken.at_us, bench.live.taken.before) == (since_us, None)
    assert len(bench.followed) == 1


def test_what_was_rolled_back_is_not_taken_again(bench: Bench) -> None:
    """A rollback returns to what held before, over a restart too; the same envelope, sent again, is older now."""
    first, second = bench.take("version = 2\n"), bench.take("version = 3\n")
    assert run(bench.switch.roll_back("why"))
    assert bench.live.current.version == 2
    assert (bench.answers[-1].state, bench.answers[-1].order, bench.answers[-1].reason) == (
        "rolled back", second.order.id, "why",
    )  # fmt: skip
    assert bench.answers[-1].policy == first.policy.hash
    for _ in range(2):
        with pytest.raises(Refused) as told:
            bench.reopen(second.envelope)
        assert told.value.reason == "older"
        bench.start()
    assert bench.live.current.version == 2
    assert bench.take("version = 4\n").policy == bench.live.current


def test_a_robot_on_its_own_policy_has_nothing_to_return_to(bench: Bench) -> None:
    """Without anything taken there is no rollback."""
    assert not run(bench.switch.roll_back("why"))
    assert bench.said == []


def test_memory_that_is_lost_or_spoilt_begins_anew(bench: Bench) -> None:
    """A file cut short is an empty memory; the policy in force still bounds what is older."""
    offer = bench.take("version = 2\n")
    for content in ("", "{", "[]", '{"handled": 3}'):
        (bench.folder / FILE).write_text(content)
        bench.start()
        assert bench.switch.memory.handled == []
        assert bench.switch.issued_us == offer.envelope.issued_us


def test_a_breach_on_trial_rolls_back_and_says_so(bench: Bench) -> None:
    """A new policy that selects more than a day's budget in minutes goes; what held before stays, untried."""
    bench.take(f"version = 2\n{SMALL}")
    bench.look(2 * DAY_US)
    bench.take(f"version = 3\n{SMALL}")
    bench.spending.add(900_000)
    bench.look(5 * MINUTE_US)
    assert bench.live.current.version == 3
    bench.spending.add(200_000)
    bench.look(5 * MINUTE_US)
    assert bench.live.current.version == 2
    assert bench.states == ["applied", "applied", "rolled back"]
    assert bench.answers[-1].reason == "budget: 1.1 MB selected within 24 h, 1 MB allowed"
    bench.look(MINUTE_US)  # the day's sum is above the budget still: that is not the fault of what holds
    assert bench.live.current.version == 2
    assert bench.muted[-1] is not None


def test_a_breach_after_the_trial_mutes_until_the_day_is_below(bench: Bench) -> None:
    """Triggers are silent, also over a restart, and speak again when the day's sum is below; each is said once."""
    bench.take(f"version = 2\n{SMALL}")
    bench.look(DAY_US)
    bench.spending.add(2_000_000)
    bench.look(MINUTE_US)
    assert bench.live.current.version == 2
    assert (
        bench.muted[-1] == "budget: 2 MB selected within 24 h, 1 MB allowed; marks, pulls and what always travels go on"
    )
    bench.start()
    bench.muted.clear()
    bench.look(HOUR_US)
    assert bench.muted[-1] is not None
    bench.look(DAY_US)
    assert bench.muted[-1] is None
    assert bench.states == ["applied", "muted", "unmuted"]
    assert [answer.order for answer in bench.answers[1:]] == ["", ""]


def test_robot_tomls_own_policy_is_muted_at_once(tmp_path: Path) -> None:
    """With nothing to go back to, a breach mutes however young the policy is."""
    bench = Bench(tmp_path / "policy", base=parse_policy(SMALL))
    bench.look()
    bench.spending.add(2_000_000)
    bench.look(MINUTE_US)
    assert bench.states == ["muted"]


@pytest.mark.parametrize(("on_trial", "states"), [(True, ["applied", "rolled back"]), (False, ["applied", "muted"])])
def test_cpu_is_a_mean_of_a_minute_of_this_policy(bench: Bench, on_trial: bool, states: list[str]) -> None:
    """What was used before the switch does not count, nor a peak of seconds; a minute above the budget does."""
    bench.used_s = 1_000.0
    bench.look()
    bench.take(f"version = 2\n{SMALL}")
    bench.look(0 if on_trial else DAY_US)
    for used_s in (20.0, 5.0, 5.0):  # half of a core is 30 s a minute, 7.5 s a look
        bench.used_s += used_s
        bench.look(15_000_000)
        assert bench.states == ["applied"]
    bench.used_s += 5.0
    bench.look(15_000_000)
    assert bench.states == states


def test_a_policy_muted_for_its_cpu_may_try_again(bench: Bench) -> None:
    """A quarter of an hour after the last breach triggers speak again, not in the minute that silence made cheap."""
    bench.take(f"version = 2\n{SMALL}")
    bench.look(DAY_US)
    bench.used_s += 60.0
    bench.look(MINUTE_US)
    assert bench.states[-1] == "muted"
    for _ in range(10):
        bench.look(MINUTE_US)
    assert bench.states[-1] == "muted"
    bench.look(10 * MINUTE_US)
    assert bench.states[-1] == "unmuted"


def test_a_full_disk_mutes_instead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk takes no rollback, triggers are silent at least, and the rollback is tried again."""
    bench.take("version = 2\n")
    bench.take(f"version = 3\n{SMALL}")
    bench.look()
    bench.spending.add(2_000_000)

    def full(taken: object) -> None:
        raise OSError(28, "No space left on device")

    put: Callable[[Any], None] = bench.live.put
    monkeypatch.setattr(bench.live, "put", full)
    with pytest.raises(OSError, match="No space"):
        bench.look(MINUTE_US)
    assert bench.muted[-1] is not None
    monkeypatch.setattr(bench.live, "put", put)
    bench.look(MINUTE_US)
    assert bench.live.current.version == 2
