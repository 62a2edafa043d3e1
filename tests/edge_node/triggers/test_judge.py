"""What of a stream's records is a moment."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbox.errors import InputError
from fleetbox.settings import parse_policy
from fleetbox_edge.triggers import Condition, Firing, Judge, compile_rules

S = 1_000_000
T0 = 1_700_000_000 * S


def judge_of(*triggers: str, minute: int = 0) -> Judge:
    """Return a judge of triggers written as the bodies of their tables: t0, t1, ..."""
    return Judge(rules_of(*triggers), "r1", lambda _: minute)


def rules_of(*triggers: str) -> Any:
    """Compile triggers written as the bodies of their tables."""
    tables = "\n".join(f"[trigger.t{at}]\n{body}" for at, body in enumerate(triggers))
    return compile_rules(parse_policy(tables))


def moments(judge: Judge, rows: list[tuple[float, dict[str, Any]]], stream: str = "imu") -> list[float]:
    """Judge rows given as (seconds, fields); return the seconds of what they raised."""
    found = [firing for at, row in rows for firing in judge.row(stream, T0 + round(at * S), row)]
    return [(firing.time_us - T0) / S for firing in found]


def series(values: str, step_s: float = 1.0) -> list[tuple[float, dict[str, Any]]]:
    """Return a row a step from a text of 0 and 1."""
    return [(at * step_s, {"on": mark == "1"}) for at, mark in enumerate(values)]


def test_rising_speaks_once_per_stretch() -> None:
    """An edge is one event, however long the condition holds."""
    judge = judge_of('on = "imu"\nwhen = "on"\ncooldown = "1s"')
    assert moments(judge, series("0011110011")) == [2, 8]


def test_level_speaks_after_each_cooldown() -> None:
    """A level rule goes on speaking as long as it holds."""
    judge = judge_of('on = "imu"\nwhen = "on"\nmode = "level"\ncooldown = "3s"')
    assert moments(judge, series("0111111100")) == [1, 4, 7]


def test_cooldown_makes_one_event_of_a_chatter_and_says_late_what_still_holds() -> None:
    """What begins while the rule cools down is said when the cooldown ends, if it holds then."""
    judge = judge_of('on = "imu"\nwhen = "on"\ncooldown = "5s"')
    assert moments(judge, series("1010101111110000")) == [0, 6]


def test_hold_asks_for_a_time_without_a_break() -> None:
    """A condition that breaks off earlier says nothing."""
    judge = judge_of('on = "imu"\nwhen = "on"\nhold = "3s"\ncooldown = "0s"')
    assert moments(judge, series("0110111100")) == [7]


def test_hold_is_over_without_a_record() -> None:
    """A stream that speaks on change still holds while it is silent."""
    judge = judge_of('on = "imu"\nwhen = "on"\nhold = "3s"')
    assert not judge.row("imu", T0, {"on": True})
    assert not judge.tick(T0 + 2 * S)
    assert [firing.time_us for firing in judge.tick(T0 + 9 * S)] == [T0 + 3 * S]
    assert not judge.tick(T0 + 99 * S)


def test_per_hour_mutes_an_always_true_rule_for_the_rest_of_the_hour() -> None:
    """An expression that is always true costs its share of events, is counted, and speaks again in the next hour."""
    judge = judge_of('on = "imu"\nwhen = "true"\nmode = "level"\ncooldown = "10s"\nper_hour = 3')
    said = moments(judge, [(at, {"on": True}) for at in range(0, 3700, 10)])
    assert said == [0, 10, 20, 3600, 3610, 3620]
    counts = judge.counts()["t0"]
    assert (counts.judged, counts.fired) == (370, 6)
    assert counts.muted == 370 - 6
    assert "per_hour" in counts.why_muted


def test_a_rule_that_is_never_true_shows_that_it_was_judged() -> None:
    """0 of N can be told from a rule whose stream never came."""
    judge = judge_of('on = "imu"\nwhen = "on"', 'on = "gps"\nwhen = "on"')
    assert moments(judge, series("000")) == []
    assert [(one.judged, one.fired) for one in judge.counts().values()] == [(3, 0), (0, 0)]


def test_an_expression_that_raises_is_counted_and_stops_no_other() -> None:
    """A missing name, a wrong type and a result that is no truth value are told by rule."""
    judge = judge_of(
        'on = "imu"\nwhen = "nothing < 3"', 'on = "imu"\nwhen = "on < 3"', 'on = "imu"\nwhen = "ax"',
        'on = "imu"\nwhen = "labels.run == \'7\'"', 'on = "imu"\nwhen = "on"',
    )  # fmt: skip
    assert moments(judge, [(0, {"on": True, "ax": 1.5})]) == [0]
    errors = [one.last_error for one in judge.counts().values()]
    assert "nothing" in errors[0]
    assert "overload" in errors[1]
    assert "1.5" in errors[2]
    assert "run" in errors[3]
    assert errors[4] == ""
    assert [one.errors for one in judge.counts().values()] == [1, 1, 1, 1, 0]


def test_hours_and_mutes_hold_back_but_count() -> None:
    """Outside its hours, and while the budget mutes, a rule raises nothing and says why; afterwards it may again."""
    judge = judge_of('on = "imu"\nwhen = "on"\ncooldown = "1s"\nbetween = "22:00-06:00"', minute=12 * 60)
    assert moments(judge, series("1")) == []
    assert judge.counts()["t0"].why_muted == "outside its hours"
    judge = judge_of('on = "imu"\nwhen = "on"\ncooldown = "1s"')
    judge.mute("2 GB of 1 GB a day")
    assert moments(judge, series("11")) == []
    assert judge.counts()["t0"].why_muted == "2 GB of 1 GB a day"
    judge.mute(None)
    assert moments(judge, [(5, {"on": True})]) == [5]


def test_a_silent_stream_is_a_gap_and_so_is_one_that_never_came() -> None:
    """Streams of one rule that fall silent together are one event; a record ends the silence."""
    judge = judge_of('on = "cam/*"\ngap = "2s"', 'on = "gps"\ngap = "5s"')
    judge.tick(T0)
    judge.row("cam/a", T0 + S)
    judge.row("cam/b", T0 + S)
    assert not judge.tick(T0 + 2 * S)
    first = judge.tick(T0 + 3 * S)
    assert first == [Firing("t0", "t0", T0 + 3 * S, "cam/a", "cam/a, cam/b silent for 2.0 s")]
    never = judge.tick(T0 + 6 * S)
    assert [(one.trigger, one.note) for one in never] == [("t1", "gps has not come at all")]
    judge.row("cam/a", T0 + 20 * S)
    assert not judge.tick(T0 + 21 * S)
    assert [one.time_us for one in judge.tick(T0 + 40 * S)] == [T0 + 22 * S]


def test_silence_is_measured_by_its_own_clock() -> None:
    """Stamps of another day and clocks that are set make no gap."""
    judge = judge_of('on = "imu"\ngap = "2s"')
    for second in range(10):
        assert not judge.row("imu", T0 - second * 3600 * S, {"on": True}, now_us=second * S)
        assert not judge.tick(second * S + 1, T0)


def test_rates_are_those_of_numbers_and_records() -> None:
    """`rate` is the change a second, `hz` the records a second; the first record has neither and is no error."""
    judge = judge_of(
        'on = "imu"\nwhen = "rate.v < -10.0"', 'on = "imu"\nwhen = "hz < 5.0"', 'on = "imu"\nwhen = "rate.a.b > 1.0"'
    )
    rows = [(0.0, 5.0), (0.1, 5.0), (0.2, 3.9), (0.3, 3.9), (4.0, 3.9)]
    found = [one for at, v in rows for one in judge.row("imu", T0 + round(at * S), {"v": v, "a.b": 2 * at})]
    assert [(one.trigger, (one.time_us - T0) / S) for one in found] == [("t2", 0.1), ("t0", 0.2), ("t1", 4.0)]
    assert [(one.judged, one.waited, one.errors) for one in judge.counts().values()] == [(4, 1, 0)] * 3


def test_log_patterns_and_levels() -> None:
    """A text's words and its level, by label or by its first words."""
    judge = judge_of(
        'on = "log/**"\nwhen = "text.contains(\'E-stop\')"\ncooldown = "0s"',
        'on = "log/**"\nwhen = "level == \'error\'"\ncooldown = "0s"',
    )
    found = [
        [one.trigger for one in judge.row("log/nav", T0 + at * S, None, labels, text)]
        for at, (text, labels) in enumerate(
            [("all well", None), ("E-stop pressed", None), ("[ERROR] nav: lost", None), ("lost", {"level": "ERR"})]
        )
    ]
    assert found == [[], ["t0"], ["t1"], []]
    assert [one.trigger for one in judge.row("log/nav", T0 + 9 * S, None, None, "fine")] == []
    assert [one.trigger for one in judge.row("log/nav", T0 + 10 * S, None, {"level": "ERR"}, "lost")] == ["t1"]


def test_other_streams_and_labels() -> None:
    """An expression reads the newest row of streams it names, and waits for them without an error."""
    judge = judge_of(
        'on = "drive"\nwhen = "v > 1.0 && bat.percent < 20.0 && has(labels.run)"\nusing = { bat = "battery" }',
        'on = "drive"\nwhen = "bat.v > 1.0"\nusing = { bat = "other" }',
    )
    assert not judge.row("drive", T0, {"v": 2.0}, {"run": 7})
    judge.row("battery", T0, {"percent": 50.0})
    assert not judge.row("drive", T0 + S, {"v": 2.0}, {"run": 7})
    judge.row("battery", T0, {"percent": 10.0})
    assert not judge.row("drive", T0 + 2 * S, {"v": 2.0})
    assert [one.trigger for one in judge.row("drive", T0 + 3 * S, {"v": 2.0}, {"run": 7})] == ["t0"]
    assert [(one.waited, one.errors) for one in judge.counts().values()] == [(1, 0), (4, 0)]


def test_learning_other_rules_keeps_what_stayed() -> None:
    """A switch of the policy neither repeats an edge nor forgets a cooldown of a rule that is the same."""
    same, other = 'on = "imu"\nwhen = "on"\ncooldown = "1s"', 'on = "imu"\nwhen = "!on"'
    judge = judge_of(same, other)
    assert moments(judge, series("1")) == [0]
    judge.learn(rules_of(same, 'on = "imu"\nwhen = "on"'))
    assert [one.trigger for one in judge.row("imu", T0 + 2 * S, {"on": True})] == ["t1"]
    assert [one.judged for one in judge.counts().values()] == [2, 1]


def test_seeds_keep_cooldowns_and_shares_over_a_restart() -> None:
    """What was raised before the restart still counts."""
    judge = judge_of('on = "imu"\nwhen = "on"\nmode = "level"\ncooldown = "10s"\nper_hour = 2')
    judge.seed([("t0", T0 - 2 * S), ("gone", T0)])
    assert moments(judge, [(at, {"on": True}) for at in range(60)]) == [8]


def test_a_clock_set_back_does_not_silence_a_rule() -> None:
    """The last event may lie in what is now the future."""
    judge = judge_of('on = "imu"\nwhen = "on"')
    assert moments(judge, [(0, {"on": True}), (1, {"on": False}), (-7200, {"on": True})]) == [0, -7200]


def test_faults_are_told_all_at_once() -> None:
    """Each trigger that cannot work is named with its fault."""
    with pytest.raises(InputError) as caught:
        rules_of('on = "imu"\nwhen = "ax <"', 'on = "imu"\nwhen = "a.x < 1"\nusing = { a = "b*" }',
                 'on = "[z-a]"\nwhen = "true"', 'on = "x"\nwhen = "true"\nevent = "no good"')  # fmt: skip
    for name in ("t0", "t1", "t2", "t3"):
        assert f"trigger {name}:" in caught.value.message


def test_a_condition_holds_after_its_time() -> None:
    """Idleness begins once its expression has held, and ends at once."""
    condition = Condition("battery", "charging == true", 3 * S)
    assert not condition.holds(T0)
    condition.row("battery", T0, {"charging": True})
    condition.row("imu", T0, {"charging": False})
    assert not condition.holds(T0 + 2 * S)
    assert condition.holds(T0 + 3 * S)
    condition.row("battery", T0 + 4 * S, {"charge": 1})
    assert not condition.holds(T0 + 99 * S)
    assert "charging" in condition.error
