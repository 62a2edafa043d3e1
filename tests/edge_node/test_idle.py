"""When a robot has time: what the policy says, and a machine that others leave alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetbox.settings import Policy, parse_policy
from fleetbox.settings.policy import Idle
from fleetbox_edge.idle import Idleness, Load, Quiet

QUIET, BUSY = Load(0.1, 0.05), Load(0.9, 0.05)
S = 1_000_000


@dataclass
class Follower:
    """What follows an expression, as we say."""

    held: bool = False

    def holds(self, now_us: int) -> bool:
        """Answer as told."""
        return self.held


@dataclass
class Rig:
    """A clock and a policy that we set, and the followers that were made."""

    policy: Policy = field(default_factory=lambda: parse_policy('[idle]\nhold = "10s"\ncpu = "50 %"\n'))
    now_us: int = 0
    made: list[Follower] = field(default_factory=list)
    gone: list[object] = field(default_factory=list)

    def idleness(self) -> Idleness:
        """Return what follows this policy."""
        return Idleness(lambda: self.policy, self.watch, self.gone.append, lambda: self.now_us)

    def watch(self, idle: Idle) -> Follower:
        """Make a follower."""
        self.made.append(Follower())
        return self.made[-1]


def test_a_machine_that_was_quiet_for_long_enough_is_idle_and_busy_at_once() -> None:
    """Idleness has to last; work shows in the first look."""
    rig = Rig()
    idleness = rig.idleness()
    for _ in range(20):
        rig.now_us += S
        idleness.look(QUIET)
    assert idleness.idle
    assert not idleness.look(BUSY)
    rig.now_us += S
    assert not idleness.look(QUIET)


def test_its_own_work_does_not_make_a_robot_busy() -> None:
    """Transcoding takes a core: it must not stop itself for that."""
    quiet = Quiet()
    for _ in range(10):
        quiet.see(Load(machine=0.8, own=0.6))
    assert quiet.below(0.5)
    quiet.see(Load(machine=0.8, own=0.1))
    assert not quiet.below(0.5)


def test_an_expression_decides_and_a_busy_machine_overrules_it() -> None:
    """Charging is idleness only while nothing else runs."""
    rig = Rig(parse_policy('[idle]\non = "battery"\nwhen = "charging == true"\n'))
    idleness = rig.idleness()
    for _ in range(10):
        assert not idleness.look(QUIET)
    rig.made[0].held = True
    assert idleness.look(QUIET)
    assert not idleness.look(BUSY)


def test_a_policy_over_the_air_is_followed_and_the_old_expression_let_go() -> None:
    """A switch takes effect at the next look."""
    rig = Rig(parse_policy('[idle]\non = "battery"\nwhen = "charging == true"\n'))
    idleness = rig.idleness()
    idleness.look(QUIET)
    rig.policy = parse_policy('[idle]\non = "dock"\nwhen = "docked == true"\n')
    idleness.look(QUIET)
    assert len(rig.made) == 2
    assert rig.gone == [rig.made[0]]
