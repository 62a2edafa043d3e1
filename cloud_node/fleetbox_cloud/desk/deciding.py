"""Decide whether a rollout goes on by itself, waits, or halts: pure, on what the robots answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fleetbox.time import show_duration
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.standing import BAD, Standing

NAMED = 3  # robots in one sentence; more are counted


@dataclass(frozen=True, slots=True)
class Decision:
    """Say what comes next for a rollout, and why."""

    what: Literal["wait", "go on", "halt"]
    why: str


def decide(rollout: Rollout, standings: Iterable[Standing], held_us: int) -> Decision:
    """Decide after a stage was handed out `held_us` ago, from the standings of the robots it has reached.

    One robot that failed, refused or rolled back halts it. It goes on when all have applied it and it has held.
    """
    stage = f"stage {rollout.stage + 1} of {len(rollout.stages)}"
    found = list(standings)
    if bad := [one for one in found if one.state in (*BAD, "expired")]:
        reasons = "; ".join(
            f"{one.robot} {one.state}" + (f" ({one.reason})" if one.reason else "") for one in bad[:NAMED]
        )
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        return Decision("halt", f"{stage}: {reasons}{more}")
    if rollout.auto_us is None:
        return Decision("wait", f"{stage}: a person goes on")
    if open_ := [one.robot for one in found if one.state != "applied"]:
        more = f" and {len(open_) - NAMED} more" if len(open_) > NAMED else ""
        return Decision("wait", f"{stage}: {', '.join(open_[:NAMED])}{more} did not answer yet")
    if held_us < rollout.auto_us:
        return Decision("wait", f"{stage}: holds since {show_duration(held_us)} of {show_duration(rollout.auto_us)}")
    return Decision("go on", f"{stage}: all {len(found)} applied it and held for {show_duration(rollout.auto_us)}")


def taken_later(rollout: Rollout, every: Sequence[Rollout]) -> frozenset[str]:
    """Return its robots that a rollout begun later took: they would refuse this one as older."""
    later = [one for one in every if (one.begun_us, one.id) > (rollout.begun_us, rollout.id)]
    return frozenset(robot for one in later for robot in one.reached).intersection(rollout.robots)


def _said(one: Standing) -> str:
    return f"{one.robot} {one.state}" + (f" ({one.reason})" if one.reason else "")
