"""Plays scenarios: before, fault, after, then the closing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fleetbox.errors import FleetboxError
from fleetbox_local.drill import books, closing
from fleetbox_local.drill.comparing import Difference
from fleetbox_local.drill.disks import Unplayable
from fleetbox_local.drill.marking import wait_closed
from fleetbox_local.drill.outcome import Balance, Outcome
from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.symptoms import Symptom, watch

Say = Callable[[str], None]
SETTLE_S = 180.0  # for the books to close: a minute's page is written once it is over, and travels; busy machines wait
ORDER_S = 300.0  # and for a loss that only the order of numbers shows: it is judged two minutes after its minute
LOOK_S = 2.0
EVENTS_S = 120.0  # an event closes after its window; the labeler looks every second


def play(scene: Scene, scenario: Scenario, say: Say = lambda text: None) -> Outcome:
    """Play one scenario in a scene and say what came of it; the scene is fit for the next one if the outcome is ok."""
    started = time.monotonic()
    writer = scene.writer
    writer.start()
    writer.wait_for(scenario.before)
    symptom: Symptom | None = None
    with scenario.fault(scene):
        say(f"{scenario.name}: {scenario.does}")
        writer.wait_for(scenario.during)
        if scenario.words is not None:
            symptom = watch(lambda: scene.fleet, scenario.words)
    say(f"{scenario.name}: {scenario.ends}")
    ended = time.monotonic()
    writer.wait_for(scenario.after)
    writer.finish()
    scene.run(wait_closed(scene, EVENTS_S))
    scene.run(closing.arrive(scene))
    back_s = round(time.monotonic() - ended, 1)
    strange = _strange(scene)
    found, balance, faults = _close(scene, scenario)
    outcome = Outcome(
        scenario.name, writer.promised(), found, back_s, time.monotonic() - started, symptom, balance,
        (*strange, *faults),
    )  # fmt: skip
    say(f"{scenario.name}: {_verdict(outcome)}")
    return outcome


def play_alone(directory: Path, scenario: Scenario, say: Say = lambda text: None) -> Outcome:
    """Play one scenario in a scene of its own."""
    try:
        with Scene(directory, scenario.setting) as scene:
            return play(scene, scenario, say)
    except Unplayable as why:
        say(f"{scenario.name}: skipped: {why.message}")
        return Outcome(scenario.name, 0, skipped=why.message)


def _close(scene: Scene, scenario: Scenario) -> tuple[tuple[Difference, ...], Balance, list[str]]:
    """Compare and ask the audit until both tell the same and nothing is wrong, for `SETTLE_S` at most.

    Robot and sites go on writing in `meta` meanwhile (the ring's state each minute, what a site labelled): what came
    between the one look and the other shows in both at the next. A place tells of what came late at its next look, too.
    """
    deadline = time.monotonic() + (ORDER_S if scenario.loses else SETTLE_S)
    while True:
        is_over = time.monotonic() > deadline
        try:
            found = scene.run(closing.differences(scene))
            balance = books.ask(scene)
        except FleetboxError:  # a place that does not answer now may at the next look
            if is_over:
                raise
        else:
            faults = [*_faults(scene, scenario, found), *books.check(balance, found, scenario.loses)]
            if not faults or is_over:
                return found, balance, faults
        time.sleep(LOOK_S)


def _faults(scene: Scene, scenario: Scenario, found: tuple[Difference, ...]) -> list[str]:
    """Say what must not be: something missing or wrong that nothing names, a number written again for no reason."""
    faults = [str(difference) for difference in found if not difference.clean and not scenario.loses]
    faults += [
        f"{difference.place}: {difference.repeated} numbers repeated"
        for difference in found
        if difference.repeated > scene.writer.kills * 5
    ]
    return faults


def _strange(scene: Scene) -> list[str]:
    try:
        return scene.run(closing.settled(scene))
    except FleetboxError as error:
        return [error.message]


def _verdict(outcome: Outcome) -> str:
    if outcome.faults:
        return "NOT WELL: " + "; ".join(outcome.faults)
    lost = sum(outcome.balance.lost_of.values()) if outcome.balance else 0
    if lost:
        return f"{lost} lost, exactly what is missing, and named; the rest is everywhere"
    return f"all {outcome.promised} promised numbers are everywhere, {outcome.back_s} s after its end"
