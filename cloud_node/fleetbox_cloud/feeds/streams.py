"""Work out what each stream delivered in a minute beside what is expected: the points of the measurement `streams`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fleetbox.ledger import MINUTE_US, Folded, Key, Ledger
from fleetbox.measurements import HEALTH_STREAMS, STREAMS
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import Policy
from fleetbox_cloud.feeds.points import point
from fleetbox_replication.expectation import expected_streams

MINUTE_S = MINUTE_US / 1e6


def stream_lines(ledger: Ledger, policy: Policy, site: str, changed: Iterable[Key]) -> Iterator[str]:
    """Yield a point per stream for each minute that a robot has told something new of.

    A stream that the robot knows and that has nothing in such a minute delivered 0 Hz in it. What agents measure of
    themselves is no stream here.
    """
    own = {key: it for key, it in ledger.of(ledger.robot).items() if _counts(key)}
    streams = {key[:2] for key in own}
    expected = expected_streams(policy, streams)
    for minute_us in sorted({key[2] for key in changed if key in own}):
        for cls, stream in sorted(streams | expected.keys()):
            line = own.get((cls, stream, minute_us))
            expect = expected.get((cls, stream))
            last_us = line.line.last_us if line else _before(own, (cls, stream), minute_us)
            made = point(
                STREAMS,
                {"robot": ledger.robot, "site": site, "stream": stream},
                {
                    "hz": line.rows / MINUTE_S if line else 0.0,
                    "expect_hz": expect.hz if expect else None,
                    "bytes_s": line.held.bytes / MINUTE_S if line else 0.0,
                    "age_s": max(0.0, (minute_us + MINUTE_US - last_us) / 1e6) if last_us else None,
                },
                minute_us,
            )
            if made is not None:
                yield made


def _counts(key: Key) -> bool:
    return key[0] in RING_CLASSES and key[1] not in HEALTH_STREAMS


def _before(own: dict[Key, Folded], stream: tuple[str, str], minute_us: int) -> int:
    """Return when a stream's newest record before a minute was, 0 when that is not known any more."""
    return max((it.line.last_us for key, it in own.items() if key[:2] == stream and key[2] < minute_us), default=0)
