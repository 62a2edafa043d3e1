"""Judge records by a policy's rules: which of them is a moment, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fleetbox.selectors import is_glob
from fleetbox.time import show_duration
from fleetbox_edge.triggers.expressions import contexts
from fleetbox_edge.triggers.readings import Reading, variables, whole
from fleetbox_edge.triggers.rules import Rule, Rules
from fleetbox_edge.triggers.voice import Counts, MinuteOfDay, Voice, local_minute
from fleetbox_edge.triggers.watch import VALUE_CHARS, Firing, Plan, Watch


class Judge:
    """Judge one robot's records; pure but for what it remembers, and for one thread.

    minute_of_day: how `between` reads a time. Stamps and moments are µs since the epoch; `now_us` is a clock of
    which only differences count (default: the record's own time), by which silence is measured.

    A condition that holds is said once (`rising`) or after each cooldown (`level`). One that begins to hold while its
    rule cools down, is muted or is outside its hours is said as soon as it may be, if it still holds then.
    """

    def __init__(self, rules: Rules, robot: str = "", minute_of_day: MinuteOfDay = local_minute) -> None:
        self.robot = robot
        self._minute_of_day = minute_of_day
        self._mute: str | None = None
        self._newest: dict[str, dict[str, Any]] = {}
        self._voices: dict[str, Voice] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._plans: dict[str, Plan] = {}
        self._holding: dict[int, Watch] = {}
        self._gaps: list[Watch] = []
        self.learn(rules)

    # -- rules ---------------------------------------------------------------------------------------------------

    def learn(self, rules: Rules) -> None:
        """Go on with other rules; what is known of those that stay as they were stays."""
        same = {
            rule.name: self._voices[rule.name]
            for rule in rules.all
            if rule.name in self._voices and self._voices[rule.name].rule == rule.rule
        }
        self.rules = rules
        if rules.all:
            self._context = contexts()
        self._voices = {rule.name: same.get(rule.name) or Voice(rule.rule) for rule in rules.all}
        self._watches = {key: watch for key, watch in self._watches.items() if key[0] in same}
        self._holding = {at: watch for at, watch in self._holding.items() if watch.rule.name in same}
        self._newest = {stream: row for stream, row in self._newest.items() if stream in rules.sources}
        self._gaps = [watch for watch in self._watches.values() if watch.rule.rule.gap is not None]
        for rule in rules.all:
            if rule.rule.gap is not None and not is_glob(rule.rule.on):
                self._watch(rule, rule.rule.on)  # a stream that never comes is silent too
        before, self._plans = self._plans, {}
        for stream, plan in before.items():
            self._plans[stream] = fresh = self._plan(stream)
            if fresh.trace is not None and plan.trace is not None:
                fresh.trace = plan.trace

    def seed(self, moments: Iterable[tuple[str, int]]) -> None:
        """Take what was raised before a restart, as (trigger, µs): cooldowns and the hour's share go on."""
        for name, time_us in sorted(moments, key=lambda moment: moment[1]):
            if name in self._voices:
                self._voices[name].seed(time_us)

    def told(self) -> dict[str, tuple[int | None, int | None, int]]:
        """Return per rule what a restart must not forget."""
        return {name: voice.told() for name, voice in self._voices.items()}

    def tell(self, told: Mapping[str, tuple[int | None, int | None, int]]) -> None:
        """Take what `told` returned before a restart."""
        for name, voice in self._voices.items():
            if name in told:
                voice.tell(told[name])

    def mute(self, reason: str | None) -> None:
        """Raise nothing from now on and count what would have been, or speak again with None."""
        self._mute = reason

    @property
    def muted(self) -> str | None:
        """Return why nothing is raised."""
        return self._mute

    def miss(self, stream: str, records: int = 1) -> None:
        """Count records that came faster than they could be judged."""
        for rule in self.rules.on(stream):
            self._voices[rule.name].unjudged += records

    def counts(self) -> dict[str, Counts]:
        """Return what became of each rule's records, in the policy's order."""
        return {name: voice.counts() for name, voice in self._voices.items()}

    # -- judging -------------------------------------------------------------------------------------------------

    def row(
        self,
        stream: str,
        time_us: int,
        fields: Mapping[str, Any] | None = None,
        labels: Mapping[str, Any] | None = None,
        text: str | None = None,
        *,
        now_us: int | None = None,
    ) -> list[Firing]:
        """Judge one row (fields by dotted name) or record (labels, and text for logs); return what it raises."""
        return self.read(Reading(stream, time_us, fields, labels, text), time_us if now_us is None else now_us)

    def read(self, reading: Reading, now_us: int) -> list[Firing]:
        """Judge one reading."""
        plan = self._plans.get(reading.stream)
        if plan is None:
            plan = self._plans[reading.stream] = self._plan(reading.stream)
        if plan.is_source:
            self._newest[reading.stream] = whole(reading)
        firings: list[Firing] = []
        if plan.groups:
            given = variables(reading, plan.wanted)
            if plan.trace is not None:
                given |= plan.trace.add(reading)
            for using, watches in plan.groups:
                others = {name: self._newest[stream] for name, stream in using if stream in self._newest}
                self._run(watches, reading, {**given, **others}, now_us, firings)
        for watch in plan.gaps:
            watch.voice.judged += 1
            watch.since_us, watch.seen_us, watch.told = reading.time_us, now_us, False
        return firings

    def tick(self, now_us: int, time_us: int | None = None) -> list[Firing]:
        """Look for silent streams and for conditions that have held long enough; return what they raise.

        now_us: the clock that `row` was given; time_us: the time of day at it, where that is another clock.
        """
        firings: list[Firing] = []
        time_us = now_us if time_us is None else time_us
        for watch in self._gaps:
            self._look_for_gap(watch, now_us, time_us, firings)
        for watch in list(self._holding.values()):
            assert watch.since_us is not None
            assert watch.seen_us is not None
            hold_us = watch.rule.rule.hold
            if now_us - watch.seen_us >= hold_us:
                at_us = watch.since_us + hold_us
                self._say(watch, time_us if watch.voice.cools(at_us) else at_us, watch.seen(), firings)
        return firings

    # -- inside --------------------------------------------------------------------------------------------------

    def _run(
        self, watches: list[Watch], reading: Reading, given: dict[str, Any], now_us: int, firings: list[Firing]
    ) -> None:
        """Run all rules of a context; one that raises never stops the others."""
        try:
            context = self._context(given)  # once: handing over the dict costs more than a rule
        except (TypeError, ValueError, OverflowError) as error:  # a value that CEL has no type for
            for watch in watches:
                watch.voice.raised(error)
            return
        fields = reading.fields or {}
        for watch in watches:
            if watch.waits_for and not watch.waits_for <= given.keys():
                watch.voice.waited += 1
                continue
            watch.voice.judged += 1
            try:
                holds = (watch.fence is None or watch.fence(fields)) and watch.execute(context)
            except BaseException as error:
                if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # the library's own
                    raise
                watch.voice.raised(error)
                holds = False
            if holds is True:
                watch.given, watch.reading = given, reading
                self._hold(watch, reading.time_us, now_us, firings)
                continue
            if holds is not False:
                watch.voice.raised(TypeError(f"it gives {str(holds)[:VALUE_CHARS]}, not true or false"))
            if watch.since_us is not None:
                watch.since_us, watch.told = None, False
                self._holding.pop(id(watch), None)

    def _hold(self, watch: Watch, time_us: int, now_us: int, firings: list[Firing]) -> None:
        rule = watch.rule.rule
        if watch.since_us is None:
            watch.since_us, watch.seen_us = time_us, now_us
        if watch.told and rule.mode == "rising":
            return
        if time_us - watch.since_us < rule.hold:
            self._holding[id(watch)] = watch  # no record may come for long: `tick` looks as well
        elif not watch.voice.cools(time_us):
            self._say(watch, time_us, watch.seen(), firings)

    def _look_for_gap(self, watch: Watch, now_us: int, time_us: int, firings: list[Firing]) -> None:
        rule = watch.rule.rule
        assert rule.gap is not None
        if watch.seen_us is None:
            watch.seen_us = now_us
        silent_us = now_us - watch.seen_us
        if silent_us < rule.gap or (watch.told and rule.mode == "rising"):
            return
        at_us = time_us if watch.since_us is None or watch.told else watch.since_us + rule.gap
        at_us = time_us if watch.voice.cools(at_us) else at_us
        if not watch.voice.cools(at_us):
            alike = [one for one in self._gaps if one.voice is watch.voice and one.seen_us is not None]
            silent = [one for one in alike if now_us - (one.seen_us or 0) >= rule.gap]
            self._say(watch, at_us, _silence(silent, silent_us), firings)
            for one in silent:
                one.told = watch.told  # one moment, one event, however many streams it silenced

    def _say(self, watch: Watch, time_us: int, note: str, firings: list[Firing]) -> None:
        """Raise a moment unless its rule cools down or is muted: then it is said later, if it still holds."""
        voice = watch.voice
        if voice.cools(time_us) or not voice.speaks(time_us, self._minute_of_day, self._mute):
            return
        watch.told = True
        self._holding.pop(id(watch), None)
        note = f"{watch.rule.rule.note}: {note}" if watch.rule.rule.note else note
        firings.append(Firing(watch.rule.name, watch.rule.kind, time_us, watch.stream, note, watch.place()))

    def _plan(self, stream: str) -> Plan:
        return Plan([self._watch(rule, stream) for rule in self.rules.on(stream)], stream in self.rules.sources)

    def _watch(self, rule: Rule, stream: str) -> Watch:
        key = rule.name, stream
        if key not in self._watches:
            watch = self._watches[key] = Watch(rule, stream, self._voices[rule.name])
            if rule.rule.gap is not None:
                self._gaps.append(watch)
        return self._watches[key]


def _silence(watches: list[Watch], silent_us: int) -> str:
    never = [watch.stream for watch in watches if watch.since_us is None]
    silent = [watch.stream for watch in watches if watch.since_us is not None]
    told = [f"{', '.join(silent)} silent for {show_duration(silent_us)}"] if silent else []
    return "; ".join([*told, *([f"{', '.join(never)} has not come at all"] if never else [])])
