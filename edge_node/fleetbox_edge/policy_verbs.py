"""Run `fleetbox policy lint` and `plan`: read the file, ask the fleet what is known, say what was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleetbox.cli.output import size_text
from fleetbox.errors import InputError, NotFound, SettingsError
from fleetbox.settings import FleetSettings, Policy, find_fleet, load_policy
from fleetbox.time import show_duration
from fleetbox_edge.in_force import policy_in_force_of
from fleetbox_edge.known_streams import known_streams
from fleetbox_edge.linting import Finding, lint_policy
from fleetbox_edge.planning import StreamPlan, plan_rules, plan_streams
from fleetbox_edge.planning_tasks import HopPlan, plan_hops


@dataclass(frozen=True, slots=True)
class Linted:
    """Hold what a lint of one file found."""

    file: Path
    policy: Policy | None  # None: the file holds none
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Count what can never do what it says."""
        return sum(finding.level == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Count what most people mean otherwise."""
        return len(self.findings) - self.errors

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        named = (
            {"version": self.policy.version, "name": self.policy.name, "hash": self.policy.hash} if self.policy else {}
        )
        found = [finding.as_dict() for finding in self.findings]
        return {"file": str(self.file), **named, "errors": self.errors, "warnings": self.warnings, "findings": found}


@dataclass(frozen=True, slots=True)
class Planned:
    """Hold what a policy would do, and which one is in force."""

    policy: Policy
    in_force: str
    streams: tuple[StreamPlan, ...]
    hops: tuple[HopPlan, ...]

    def lines(self) -> list[str]:
        """Say in sentences what ships by event, which triggers there are, and which tasks follow."""
        lines = [f"event    {kind}: {_event_text(self.policy, kind)}" for kind in _kinds(self.policy)]
        for name, rule in self.policy.trigger.items():
            cause = rule.when or (f"silent for {show_duration(rule.gap)}" if rule.gap else "")
            fence = f"{rule.fence.side} a fence" if rule.fence else ""
            lines.append(f"trigger  {name}: {rule.on}: {' and '.join(filter(None, (cause, fence)))}")
        if any(row.bytes_per_day is not None for row in self.streams):
            lines.append(f"without any event {size_text(self.bytes_per_day)} a day would travel")
        return lines + [hop.line() for hop in self.hops]

    @property
    def bytes_per_day(self) -> float:
        """Return what travels without any event, as far as it is known."""
        return sum(row.bytes_per_day or 0.0 for row in self.streams)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        policy = self.policy
        return {
            "version": policy.version, "name": policy.name, "hash": policy.hash, "in_force": self.in_force,
            "streams": [row.as_dict() for row in self.streams],
            "events": {kind: policy.event_rule(kind).model_dump(mode="json") for kind in _kinds(policy)},
            "triggers": {name: rule.model_dump(mode="json") for name, rule in policy.trigger.items()},
            "hops": [asdict(hop) for hop in self.hops],
            "bytes_per_day": self.bytes_per_day,
        }  # fmt: skip


def linted(file: Path, robot: str | None, fleet_path: Path | None) -> Linted:
    """Lint a policy file; a file that cannot be read as a policy is a finding, too.

    Raises InputError for a robot without a fleet, NotFound and Unreachable for a robot that cannot be asked about.
    """
    try:
        policy = load_policy(file)
    except SettingsError as error:
        step = error.next_step or "see `fleetbox config sample policy`"
        faults = [
            Finding("error", fault.key, f"{fault.value}: {fault.why}".lstrip(": "), step) for fault in error.faults
        ]
        return Linted(file, None, tuple(faults))
    fleet = _fleet(fleet_path, needed=robot is not None)
    known = known_streams(fleet, robot) if fleet is not None and robot is not None else None
    return Linted(file, policy, tuple(lint_policy(policy, known, fleet.site if fleet is not None else None)))


def planned(file: Path, robot: str | None, fleet_path: Path | None) -> Planned:
    """Say what a policy would do; with a robot, for the streams that it has recorded."""
    policy = load_policy(file)
    fleet = _fleet(fleet_path, needed=robot is not None)
    if fleet is None:
        return Planned(policy, "not known: there is no fleet.toml here", tuple(plan_rules(policy, policy)), ())
    before, where = policy_in_force_of(fleet, robot)
    rows = plan_streams(policy, before, known_streams(fleet, robot)) if robot else plan_rules(policy, before)
    said = f"{before.version} {before.name} ({before.hash}), {where}"
    return Planned(policy, said, tuple(rows), tuple(plan_hops(fleet, policy, before, robot)))


def _fleet(path: Path | None, needed: bool) -> FleetSettings | None:
    """Return the fleet; None where there is none and nobody needs it."""
    try:
        return find_fleet(path)
    except SettingsError:
        raise
    except (InputError, NotFound):
        if needed or path is not None:
            raise
        return None


def _kinds(policy: Policy) -> list[str]:
    return sorted({"default", *policy.event, *(rule.event or name for name, rule in policy.trigger.items())})


def _event_text(policy: Policy, kind: str) -> str:
    rule = policy.event_rule(kind)
    window = f"{show_duration(rule.pre)} before, {show_duration(rule.post)} after"
    own = "" if kind in policy.event else " (as default)"
    return f"{window}, {', '.join(rule.streams)}, {rule.resolution}, to {rule.to}{own}"
