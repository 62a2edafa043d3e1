"""A lint finds what cannot be meant so, names the place in the file, and leaves good policies alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox.settings import parse_policy
from fleetbox_edge.linting import KnownStream, lint_policy

NOW_US = 1_790_000_000_000_000
KNOWN = (
    KnownStream("imu", "sensor", "time_series", {"ax": "float64", "n": "int64", "name": "string", "pose.x": "float64"}),
    KnownStream("battery", "sensor", "time_series", {"percent": "float64"}),
    KnownStream("cam/front", "media", "images"),
    KnownStream("log/app", "log", "log"),
)
SCENARIOS = Path(__file__).parents[3] / "bench" / "scenarios"


def found(text: str, *, known: bool = False, level: str | None = None) -> dict[str, str]:
    """Return key -> message of what a lint finds."""
    findings = lint_policy(parse_policy(text), KNOWN if known else None, ["edge", "cloud"], NOW_US)
    return {finding.key: finding.message for finding in findings if level in (None, finding.level)}


def trigger(when: str, more: str = "", on: str = "imu") -> str:
    """Return a policy of one trigger."""
    return f'[trigger.t]\non = "{on}"\nwhen = """{when}"""\n{more}\n'


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ("ax >", "not CEL"),
        ("ax > 3.0 && ax < 2.0", "can never match"),
        ("labels.run == 'a'", "labels.run unguarded"),
        ("labels.run == 'a' && has(labels.run)", "labels.run unguarded"),
        ("has(labels.run) && labels.run > 3", "can never match"),
        ("abs(ax) > 1.0", "abs()"),
        ("level == 'ERROR'", "'ERROR'"),
        ("hz < 0", "can never match"),
    ],
)
def test_expressions_that_cannot_work_are_errors(when: str, part: str) -> None:
    """Text that is no CEL, contradictions, unguarded labels, unknown functions and levels nobody has."""
    assert part in found(trigger(when), level="error")["trigger.t.when"]


@pytest.mark.parametrize(
    "when",
    [
        "ax < -4.0",
        "has(labels.run) && labels.run == 'a'",
        "'run' in labels && labels.run == 'a'",
        "level == 'error' && text.matches('grip')",
        "rate.ax > 3.0 && hz > 5",
        "!has(labels.run) || labels.run == 'b'",
    ],
)
def test_good_expressions_are_left_alone(when: str) -> None:
    """What people write is found fault with only where there is one."""
    assert found(trigger(when)) == {}


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ("ay > 3.0", "no field 'ay'"),
        ("pose.y > 3.0", "no field 'pose.y'"),
        ("ax + 1 > 2.0", "fails on every record"),
        ("name > 3", "can never match"),
        ("name.matches('(')", "fails on every record"),
    ],
)
def test_a_robots_streams_tell_more(when: str, part: str) -> None:
    """Fields that a stream lacks and kinds that do not go together show where the robot is known, and only there."""
    assert part in found(trigger(when), known=True, level="error")["trigger.t.when"]
    assert "trigger.t.when" not in found(trigger(when))


def test_another_streams_fields_are_known() -> None:
    """`using` names the newest row of another stream, whose fields count as well."""
    assert found(trigger("bat.percent < 20.0", 'using = {bat = "battery"}'), known=True) == {}
    wrong = found(trigger("bat.volts < 20.0", 'using = {bat = "battery"}'), known=True)
    assert "no field 'bat.volts'" in wrong["trigger.t.when"]
    unknown = found(trigger("bat.volts < 20.0", 'using = {bat = "batterie"}'), known=True)
    assert list(unknown) == ["trigger.t.using.bat"]


def test_always_and_level_are_warned_of() -> None:
    """What always matches, and what speaks as long as it holds without a budget, is told, and may be meant."""
    assert "always matches" in found(trigger("true"), level="warning")["trigger.t.when"]
    assert found(trigger("true"), level="error") == {}
    assert "no budget" in found(trigger("ax > 3.0", 'mode = "level"'))["trigger.t.mode"]
    assert found(trigger("ax > 3.0", 'mode = "level"\n[budget]\nbytes_per_day = "1 GB"')) == {}


def test_rules_of_streams_that_never_decide() -> None:
    """A rule behind one that matches all it would is an error; one that only expects its stream is not."""
    shadowed = '[stream."cam/*"]\npreview = {}\n[stream."cam/front"]\nship = "always"\n'
    assert "'cam/*' stands before it" in found(shadowed, level="error")['stream."cam/front"']
    small = '[stream."cam/*"]\npreview = {}\n[stream."cam/front/preview"]\nship = "always"\n'
    assert "follow the rule" in found(small, level="error")['stream."cam/front/preview"']
    assert found('[stream."cam/*"]\npreview = {}\n[stream."cam/front"]\nexpect = "30 Hz"\n') == {}


def test_windows_that_memory_does_not_reach() -> None:
    """A pre-window longer than a ring in memory is told, with the ring that would do."""
    text = '[stream.imu]\nring = "ram 5 s"\n[event.default]\npre = "20s"\nstreams = ["imu"]\n'
    assert "20 s before" in found(text)["event.default.pre"]
    assert found(text.replace('"imu"]', '"cam/*"]')) == {}


def test_names_nobody_uses() -> None:
    """Kinds no trigger raises, sites that are none, and globs a task cannot skip are told."""
    text = trigger("ax > 3.0") + '[event.hard_brake]\npre = "1s"\n[hop.clod]\nskip = ["a?"]\n'
    told = found(text)
    assert "no trigger raises" in told["event.hard_brake"]
    assert "no site is called 'clod'" in told["hop.clod"]
    assert "a?" in told["hop.clod.skip"]


def test_expiry() -> None:
    """A policy that has ended is an error, one that ends within a day a warning."""
    assert "ended" in found("expires = 2020-01-01T00:00:00Z", level="error")["expires"]
    assert found("expires = 2099-01-01T00:00:00Z") == {}


def test_pictures_only() -> None:
    """Transcoding and small frames of streams that are no pictures are told where the robot is known."""
    text = '[stream.imu]\nvideo = {}\n[stream."cam/*"]\nvideo = {}\n'
    assert list(found(text, known=True)) == ['stream."imu".video']


def test_idle_and_hours() -> None:
    """Idleness needs a stream and an expression, and the expression is looked at as a trigger's is."""
    assert "idle.on" in found('[idle]\non = "battery"\n')
    assert "can never match" in found('[idle]\non = "b"\nwhen = "x > 3 && x < 2"\n')["idle.when"]


def test_the_shipped_policies_are_clean() -> None:
    """The sample and the benchmark's policy hold nothing that cannot be meant so."""
    from importlib.resources import files

    sample = (files("fleetbox") / "samples" / "policy.toml").read_text(encoding="utf-8")
    assert found(sample, level="error") == {}
    assert found((SCENARIOS / "policy.toml").read_text(encoding="utf-8")) == {}
