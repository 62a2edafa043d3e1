"""Answer why a record was kept, or why it was not: its labels, the events around it, the policy and its rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fleetbox.chunks import BOUND_US
from fleetbox.cli.output import size_text
from fleetbox.errors import InputError
from fleetbox.events import LONGEST_US, Event
from fleetbox.selectors import Selector, is_glob
from fleetbox.settings import FleetSettings, Policy
from fleetbox.time import iso_time, show_duration, show_time
from fleetbox_edge.in_force import policy_at_of, policy_of_hash
from fleetbox_edge.planning import BUILT_IN, glob_of, ships_text
from fleetbox_query.fleet import Fleet, connect
from fleetbox_query.items import Item
from fleetbox_replication.taking import Taking

KEEP, POLICY = "keep", "policy"


@dataclass(frozen=True, slots=True)
class Why:
    """Hold the answer; `policy` is the one whose hash stands on the record, None where nobody knows it.

    `rule` is the glob of the policy that decides on the stream: of that policy, else of the one in force at the time;
    `ships` says in words what it says.
    """

    item: Item
    off_us: int
    place: str
    events: tuple[Event, ...]
    policy: Policy | None
    told: str  # where the policy was found
    rule: str
    ship: str
    ships: str

    @property
    def kept(self) -> bool:
        """Tell whether the record was selected to travel."""
        return KEEP in self.item.labels

    @property
    def by_rule(self) -> bool:
        """Tell whether the rule of the stream kept it, whatever happened around it."""
        return self.kept and self.ship == "always" and self.policy is not None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        labels, policy = dict(self.item.labels), self.policy
        return {
            "robot": self.item.robot, "stream": self.item.stream, "time_us": self.item.time_us, "off_us": self.off_us,
            "time": iso_time(self.item.time_us), "place": self.place, "labels": labels, "kept": self.kept,
            "policy": {"hash": labels.get(POLICY), "version": policy.version, "name": policy.name, "found": self.told}
            if policy is not None else {"hash": labels.get(POLICY)},
            "rule": self.rule, "ship": self.ship, "because": list(self.reasons()),
            "events": [
                {"id": event.id, "kind": event.kind, "trigger": event.trigger, "by": event.by, "note": event.note,
                 "start_us": event.start_us, "stop_us": event.stop_us, "time_us": event.time_us}
                for event in self.events
            ],
        }  # fmt: skip

    def reasons(self) -> Iterator[str]:
        """Yield in sentences why it was kept, or was not."""
        if self.by_rule:
            yield f"rule {self.rule!r} ships it always"
        for event in self.events:
            yield _event_text(event)
        if not self.kept and self.ship == "always":
            yield f"rule {self.rule!r} ships it {self.ships}; its turn is still to come"
        elif not self.kept and not self.events:
            yield f"rule {self.rule!r} says ship = {self.ship!r}, and no event covers it: it turns over in the ring"
        elif not self.kept:
            yield f"an event covers it; rule {self.rule!r} says ship = {self.ship!r}, or its labelling is still due"
        elif not self.by_rule and not self.events:
            yield "no event is known that covers it, and the rule that kept it is not known here"

    def lines(self) -> Iterator[str]:
        """Yield the answer for people."""
        item = self.item
        size = f", {size_text(len(item.data))}" if item.data is not None else ""
        off = f" ({show_duration(abs(self.off_us))} {'after' if self.off_us > 0 else 'before'})" if self.off_us else ""
        yield f"{item.robot}/{item.stream} at {show_time(item.time_us)}{off}{size}, at {self.place}"
        keep = item.labels.get(KEEP)
        stays = "not kept yet" if self.ship == "always" else "not kept: it stays where it is until the ring turns over"
        yield f"kept = {keep}" if keep is not None else stays
        if (policy_hash := item.labels.get(POLICY)) is not None:
            known = (
                f"version {self.policy.version} {self.policy.name!r}, {self.told}" if self.policy else "not known here"
            )
            yield f"policy   {policy_hash}: {known}"
        for reason in self.reasons():
            yield f"because  {reason}"


def why(fleet: FleetSettings, selector: str, at: str) -> Why:
    """Return why the record nearest to a time was kept.

    Raises InputError for a glob, NotFound where nothing is recorded near, Unreachable when no place answers.
    """
    chosen = Selector.typed(selector)
    if is_glob(chosen.robot) or is_glob(chosen.stream):
        raise InputError(f"{selector!r} names more than one stream", "name one as ROBOT/STREAM, such as r1/cam/front")
    with connect(fleet) as asked:
        near = asked.select(f"{chosen.robot}/{chosen.stream}").at(at)
        events = _covering(asked, near.item)
    policy_hash = near.item.labels.get(POLICY)
    told = policy_of_hash(fleet, chosen.robot, policy_hash) if policy_hash else None
    policy = told[0] if told else policy_at_of(fleet, chosen.robot, near.item.time_us)[0]
    rule = policy.rule_for(chosen.stream)
    return Why(
        near.item,
        near.off_us,
        near.place,
        tuple(events),
        told[0] if told else None,
        told[1] if told else "",
        _rule_name(policy, chosen.stream),
        rule.ship,
        ships_text(rule),
    )


def covering(events: Sequence[Event], stream: str, streams: Sequence[str], first_us: int, last_us: int) -> list[Event]:
    """Return the events whose window meets [first_us, last_us] and that take the stream."""
    met = [event for event in events if event.start_us <= last_us and event.stop_us >= first_us]
    return [event for event in met if Taking.among(event, streams).takes(stream)]


def _covering(asked: Fleet, item: Item) -> list[Event]:
    end = item.labels.get("t_end", "")
    first_us, last_us = item.time_us, max(item.time_us, int(end) if end.isdecimal() else 0)
    since_us = max(0, first_us - LONGEST_US)
    around = asked.events().robots(item.robot).between(iso_time(since_us), iso_time(last_us + LONGEST_US)).list()
    names = [stream.stream for stream in asked.streams(f"{item.robot}/**")]
    found = covering(around, item.stream, names, first_us, last_us)
    if found or "rows" not in item.labels:
        return found
    return covering(around, item.stream, names, first_us - BOUND_US, last_us)  # taken with the rows before it


def _rule_name(policy: Policy, stream: str) -> str:
    glob = glob_of(policy, stream)
    return glob if glob != BUILT_IN else "any other stream"


def _event_text(event: Event) -> str:
    who = f"trigger {event.trigger!r}" if event.trigger else event.by or "somebody"
    window = f"{show_time(event.start_us)} to {show_time(event.stop_us)}"
    return f"event {event.id} ({event.kind}, by {who}) keeps {window}" + (f": {event.note}" if event.note else "")
