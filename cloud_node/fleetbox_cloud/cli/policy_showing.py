"""Show rollouts and how robots stand: for people in lines and tables, for programs as dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from fleetbox.cli.output import note, say, table
from fleetbox.time import show_duration, show_time
from fleetbox_cloud.desk.applying import Promotion, Standings, now_us
from fleetbox_cloud.desk.planning import Drafted
from fleetbox_cloud.desk.returning import Return
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.standing import BAD, Standing, summary

LINES = 20  # of what changes; the whole is in --json and in `fleetbox policy plan`
NAMED = 5
ID_TAIL = 6  # characters of a rollout's id that people type; they are random

Tell = Callable[[str], None]


def show_drafted(drafted: Drafted, site: str, tell: Tell) -> None:
    """Tell what would be sent to whom, and what it changes for those who follow what."""
    rollout = drafted.rollout
    tell(
        f"policy {rollout.name} version {rollout.version} ({rollout.policy}) to {_robots(rollout.robots)}, from {site}"
    )
    for number in range(len(rollout.stages)):
        before = rollout.upto(number - 1) if number else ()
        fresh = [robot for robot in rollout.upto(number) if robot not in before]
        if fresh:
            tell(f"  stage {number + 1}, {rollout.stages[number]} %: {_robots(fresh)}")
    if rollout.auto_us is not None:
        tell(f"  it goes on by itself when a stage has held for {show_duration(rollout.auto_us)}")
    for policy, count in sorted(drafted.groups.items()):
        lines = drafted.differences.get(policy)
        tell(f"{count} follow {policy or 'nobody knows what'}" + ("" if lines is not None else "; not known here"))
        for line in (lines or ())[:LINES]:
            tell(f"  {line}")
        if lines is not None and not lines:
            tell("  nothing changes for them")
        if lines and len(lines) > LINES:
            tell(f"  and {len(lines) - LINES} more")
    if drafted.offline:
        tell(f"{_robots(drafted.offline)} offline now: they fetch it when they are back")


def drafted_dict(drafted: Drafted) -> dict[str, Any]:
    """Return it for JSON."""
    return {
        "rollout": rollout_dict(drafted.rollout), "follow": dict(drafted.groups), "offline": list(drafted.offline),
        "changes": {name: None if lines is None else list(lines) for name, lines in drafted.differences.items()},
    }  # fmt: skip


def rollout_dict(rollout: Rollout) -> dict[str, Any]:
    """Return a rollout for JSON, without the signed text."""
    raw = {name: value for name, value in asdict(rollout).items() if name != "envelope"}
    return raw | {"reached": list(rollout.reached), "robots": list(rollout.robots), "stages": list(rollout.stages)}


def show_sent(rollout: Rollout, tell: Tell) -> None:
    """Tell how far a rollout has been handed out, and who goes on."""
    tell(f"{_short(rollout)}: handed out to {len(rollout.reached)} of {len(rollout.robots)} robots")
    if not rollout.is_last:
        who = "the site" if rollout.auto_us is not None else f"you: fleetbox policy promote {_short(rollout)}"
        note(f"next: fleetbox policy status; who goes on is {who}")


def show_answers(found: Sequence[Standing], tell: Tell) -> None:
    """Tell what robots answered; those that did not apply it by name."""
    tell(_summary(found))
    for one in found:
        if one.state != "applied":
            tell(f"  {one.robot}: {_said(one)}")


def show_status(found: Standings) -> None:
    """Print a line per robot, the rollouts under way, and the sum."""
    now = now_us()
    table([_row(one, now) for one in found.robots], ["robot", "policy", "state", "since", "heard", "reason"])
    for one in found.rollouts:
        if one.state in ("running", "halted"):
            reached = f"{len(one.reached)} of {len(one.robots)} robots"
            why = f": {one.reason}" if one.reason else ""
            say(f"rollout {_short(one)} of {_policy(one)}: {one.state}, {reached}{why}")
            if one.state == "halted" or one.auto_us is None:
                back = ", or fleetbox policy rollback" if _is_followed(one, found.robots) else ""
                note(f"next: fleetbox policy promote {_short(one)}{back}")
    muted = [one.robot for one in found.robots if one.muted]
    say(_summary(found.robots) + (f"; triggers muted on {_robots(muted)}" if muted else ""))
    if bad := {one.order for one in found.robots if one.state in BAD}:
        took = any(one.order in bad and one.state == "applied" for one in found.robots)
        note("next: mend the policy and apply it again" + (", or fleetbox policy rollback" if took else ""))


def status_dict(found: Standings) -> dict[str, Any]:
    """Return how robots stand for JSON."""
    rollouts, robots = [rollout_dict(one) for one in found.rollouts], [one.as_dict() for one in found.robots]
    return {"site": found.site, "robots": robots, "summary": summary(found.robots), "rollouts": rollouts}


def show_promotion(planned: Promotion, tell: Tell) -> None:
    """Tell what the stages so far showed, and who is next."""
    rollout = planned.rollout
    tell(
        f"rollout {_short(rollout)} of {rollout.name} {rollout.version} ({rollout.policy}): {_summary(planned.robots)}"
    )
    for one in planned.robots:
        if one.state != "applied":
            tell(f"  {one.robot}: {_said(one)}")
    tell(f"stage {planned.stage + 1} of {len(rollout.stages)} is {_robots(planned.next_robots)}")


def promotion_dict(planned: Promotion) -> dict[str, Any]:
    """Return it for JSON."""
    return {
        "rollout": rollout_dict(planned.rollout), "stage": planned.stage, "next": list(planned.next_robots),
        "robots": [one.as_dict() for one in planned.robots], "summary": summary(planned.robots),
        "decision": asdict(planned.decision),
    }  # fmt: skip


def show_return(planned: Return, tell: Tell) -> None:
    """Tell who returns to what, and who stays and why."""
    for one in planned.drafts:
        tell(f"{_robots(one.rollout.robots)} return to {_policy(one.rollout)}")
    for robot, why in planned.stays.items():
        tell(f"{robot} stays as it is: {why}")


def return_dict(planned: Return) -> dict[str, Any]:
    """Return it for JSON."""
    return {"rollouts": [rollout_dict(one.rollout) for one in planned.drafts], "stays": dict(planned.stays)}


def _row(one: Standing, now: int) -> dict[str, Any]:
    heard = f"{show_duration(max(0, now - one.heard_us))} ago" if one.heard_us else "never"
    return {
        "robot": one.robot, "policy": f"{one.name} {one.version} ({one.policy})" if one.name else one.policy or None,
        "state": one.state, "reason": "; ".join(filter(None, (one.reason, _muted(one)))),
        "since": show_time(one.since_us) if one.since_us else None,
        "heard": f"offline, {heard}" if one.offline else heard,
    }  # fmt: skip


def _is_followed(rollout: Rollout, robots: Sequence[Standing]) -> bool:
    """Tell whether a robot took it, so that a rollback has something to take back."""
    return any(one.policy == rollout.policy and one.robot in rollout.reached for one in robots)


def _summary(found: Sequence[Standing]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(summary(found).items())) or "no robots"


def _muted(one: Standing) -> str:
    return f"triggers muted: {one.muted}" if one.muted else ""


def _said(one: Standing) -> str:
    return one.state + (f": {one.reason}" if one.reason else "")


def _robots(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return f"{len(names)} robot{'' if len(names) == 1 else 's'} ({shown})"


def _policy(rollout: Rollout) -> str:
    return f"{rollout.name} {rollout.version} ({rollout.policy})"


def _short(rollout: Rollout) -> str:
    return rollout.id[-ID_TAIL:]
