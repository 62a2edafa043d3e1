"""Ask the fleet which streams a robot has recorded, with what a lint and a plan need to know of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace

from fleetbox.errors import AccessDenied, NotFound, Unreachable
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import FleetSettings, Policy
from fleetbox_edge.linting import Finding, KnownStream, lint_policy
from fleetbox_query.fleet import connect
from fleetbox_query.streams import Stream


def known_streams(fleet: FleetSettings, robot: str, site: str | None = None) -> list[KnownStream]:
    """Return a robot's streams, ordered by name, from whichever places answer, or from one site.

    Raises NotFound for a robot nobody knows, Unreachable and AccessDenied when no place answers.
    """
    with connect(fleet) as asked:
        found = asked.streams(f"{robot}/**", site=site)
    return described(stream for stream in found if stream.cls in RING_CLASSES)


def lint_for(
    policy: Policy,
    sites: Collection[str] | None = None,
    fleet: FleetSettings | None = None,
    robots: Collection[str] = (),
    site: str | None = None,
) -> list[Finding]:
    """Lint a policy against the streams of each robot that a site knows any of; errors first.

    What holds for some of those robots only names them. Without a robot that is known, nothing is said of streams.
    """
    known: dict[str, list[KnownStream]] = {}
    for robot in robots:
        if fleet is None:
            break
        with suppress(NotFound, Unreachable, AccessDenied):
            known[robot] = known_streams(fleet, robot, site)
    known = {robot: streams for robot, streams in known.items() if streams}
    if not known:
        return lint_policy(policy, None, sites)
    named: dict[Finding, list[str]] = {}
    for robot, streams in known.items():
        for finding in lint_policy(policy, streams, sites):
            named.setdefault(finding, []).append(robot)
    found = [
        finding if len(mine) == len(known) else replace(finding, message=f"{finding.message} ({', '.join(mine)})")
        for finding, mine in named.items()
    ]
    return sorted(found, key=lambda finding: finding.level)


def described(streams: Iterable[Stream]) -> list[KnownStream]:
    """Return streams as a lint knows them; one that lies in two classes counts where it has more records."""
    named: dict[str, Stream] = {}
    for stream in sorted(streams, key=lambda stream: stream.records):
        named[stream.stream] = stream
    return [_described(named[name]) for name in sorted(named)]


def _described(stream: Stream) -> KnownStream:
    fields = {name: str(said.get("dtype", "")) for name, said in stream.fields.items() if "shape" not in said}
    lists = {name: "list" for name, said in stream.fields.items() if "shape" in said}
    return KnownStream(stream.stream, stream.cls, stream.type, {**fields, **lists}, stream.hz, stream.bytes_per_s)
