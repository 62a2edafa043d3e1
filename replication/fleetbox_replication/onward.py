"""Pass a place's records on to the next site: the relay, its dead letters and the reconciler, as one duty."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied
from fleetbox.naming import CLASSES, site_bucket
from fleetbox.settings import Place, Uplink
from fleetbox_replication.dead_letters import FILE, DeadLetters
from fleetbox_replication.reconcile import Options, Reconciler, Route
from fleetbox_replication.reconcile.minute import Minute
from fleetbox_replication.relay import Pace, Relay, RelayOptions
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.secret_mark import while_secret
from fleetbox_replication.wire import Part

DENIED_S = 90.0  # the relay runs on meanwhile, as tasks do not need this token; a new one is noticed within 2 s anyway


@dataclass(frozen=True, slots=True)
class Flow:
    """Say what passed for one robot since the hop began, and how it stands: bytes, records, records brought by hand.

    `held`: the destination refuses a bucket of it right now. `missing` records are not known to be there.
    """

    sent_bytes: int = 0
    sent: int = 0
    copied: int = 0
    missing: int = 0
    held: bool = False


class Onward:
    """Run one hop's sending side at `place`; `ahead` is the next site as this place may use it.

    `source` gives the place's open store, `state` is the folder that the hop keeps its files in.
    """

    def __init__(self, place: Place, ahead: Place, source: Callable[[], Store], state: Path, uplink: Uplink) -> None:
        self._place, self._ahead, self._source, self._state = place, ahead, source, state
        self.pace = Pace(uplink.max, uplink.order)
        self._passed: dict[str, list[int]] = {}  # by the destination's bucket: bytes and records
        self._relay: Relay | None = None
        self._reconciler: Reconciler | None = None

    async def run(self) -> None:
        """Relay and reconcile until cancelled, or until the place's own token is another: the tasks' secret follows it.

        Raises FleetboxError when the relay's address is taken, AccessDenied when the place's own store has turned it
        away for a while: then it has to be opened again.
        """
        letters = DeadLetters(self._state / FILE)
        options = RelayOptions(letters=letters, pace=self.pace, on_stored=self._vouched)
        token = self._place.current_token
        secret = relay_secret(token())
        relay = Relay(self._place.relay or "", self._ahead.url, self._ahead.current_token, secret, options)
        route = Route(self._place.name, self._ahead.name, self._state)
        self._reconciler = Reconciler(
            self._source, lambda: Store.at(self._ahead), relay, route, Options(letters=letters)
        )
        await relay.start()
        self._relay = relay
        try:
            await while_secret(token, secret, self._reconcile(self._reconciler))
        finally:
            self._reconciler = None  # it has closed its state: who asks now is told nothing
            self._relay = None
            await relay.stop()
            letters.close()

    async def _reconcile(self, reconciler: Reconciler) -> None:
        """Reconcile; once turned away, wait before saying so, since whoever hears it ends the relay as well."""
        try:
            await reconciler.run()
        except AccessDenied:
            self._reconciler = None
            await asyncio.sleep(DENIED_S)
            raise

    @property
    def knows(self) -> bool:
        """Tell whether the hop runs: only then `proven` and its like say anything."""
        return self._reconciler is not None

    def proven(self, bucket: str, stream: str, start_us: int, count: int) -> list[Minute]:
        """Return the first proven minutes of a stream from a time in µs on, in order; none until the hop runs."""
        return self._reconciler.proven(bucket, stream, start_us, count) if self._reconciler is not None else []

    def alarm(self) -> None:
        """Tell that tasks were made anew: the engine notes nothing for a task while it does so."""
        if self._reconciler is not None:
            self._reconciler.alarm()

    def is_proven(self, bucket: str, stream: str, minute_us: int) -> bool:
        """Tell whether the next site holds all that was told of a stream's minute; False until the hop runs."""
        return self._reconciler is not None and self._reconciler.is_proven(bucket, stream, minute_us)

    def unproven(self) -> Iterator[Minute]:
        """Yield the minutes that the next site is not proven to hold, the oldest first; none until the hop runs."""
        if self._reconciler is not None:
            yield from self._reconciler.unproven()

    def flows(self) -> dict[str, Flow]:
        """Return how each robot's records fare on this hop, of robots that anything is known of."""
        reconciler, relay = self._reconciler, self._relay
        missing = reconciler.missing() if reconciler is not None else Counter[str]()
        copied = reconciler.brought() if reconciler is not None else Counter[str]()
        held_up = {bucket.rpartition("--")[0] for bucket in (relay.held_up() if relay is not None else ())}
        passed = {bucket.rpartition("--")[0] for bucket in self._passed}
        found: dict[str, Flow] = {}
        for robot in {*missing, *copied, *passed, *held_up}:
            buckets = [site_bucket(robot, cls) for cls in CLASSES]
            sums = [self._passed[bucket] for bucket in buckets if bucket in self._passed]
            size, records = (sum(one[at] for one in sums) for at in range(2))
            found[robot] = Flow(size, records, copied[robot], missing[robot], robot in held_up)
        return found

    def _vouched(self, bucket: str, entry: str, parts: Sequence[Part]) -> None:
        passed = self._passed.setdefault(bucket, [0, 0])
        passed[0] += sum(part.size for part in parts)
        passed[1] += len(parts)
        if self._reconciler is not None:
            self._reconciler.vouched(bucket, entry, parts)
