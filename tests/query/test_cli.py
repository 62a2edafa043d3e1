"""The looking verbs, as people and scripts call them: on three real stores, in processes of their own."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import json
import math
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from fleetbox import events
from fleetbox.cli.root import main
from fleetbox.events import Event
from fleetbox_query.fleet import Fleet
from fleetbox_query.showing import fitted_rows
from fleetbox_query.streams import Held, Stream

from .conftest import MAIN, Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def run(fleet_file: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command line, in this process: starting Python takes longer than most answers."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, FLEETBOX_FLEET=str(fleet_file)),
        mock.patch.object(sys, "argv", ["fleetbox", *args]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return subprocess.CompletedProcess(args, int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture
def cli(tiers: Tiers, tmp_path: Path) -> Cli:
    """The command line on the three tiers."""
    path = tiers.write_fleet(tmp_path)
    return lambda *args: run(path, *args)


def numbers(stream: str, first: int, count: int, **labels: str) -> Any:
    """A chunk of one row a second."""
    found = list(range(first, first + count))
    return chunk(stream, [T0 + n * SECOND for n in found], {"n": found, "x": [n / 4 for n in found]}, **labels)


def lines(done: subprocess.CompletedProcess[str], code: int = 0) -> list[dict[str, Any]]:
    """Return ndjson lines after checking the exit code."""
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ndjson_gives_rows_and_records(tiers: Tiers, cli: Cli, stream: str) -> None:
    """A row has fields, text has bytes and value, other bytes have bytes; all with labels and type."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 2, run="a")])
    tiers.put("edge", "log", [blob(f"{stream}/text", T0 + 5 * SECOND, "größer".encode(), kind="log")])
    tiers.put("edge", "media", [blob(f"{stream}/cam", T0 + 6 * SECOND, b"\xff\xd8\xff\x00", kind="images")])
    found = lines(cli("query", f"{tiers.robot}/{stream}/**", "--format", "ndjson"))
    assert [item["time_us"] for item in found] == [T0 + n * SECOND for n in (0, 1, 5, 6)]
    assert found[1]["fields"] == {"n": 1, "x": 0.25}
    assert found[0]["labels"]["run"] == "a"
    assert {item["type"] for item in found} == {"time_series", "log", "images"}
    assert (found[2]["content_type"], found[2]["value"]) == ("text/plain", "größer")
    assert base64.b64decode(found[3]["bytes"]) == b"\xff\xd8\xff\x00"
    assert {(item["robot"], item["stream"].split("/")[0]) for item in found} == {(tiers.robot, stream)}


FLOATS = st.floats(allow_nan=True, allow_infinity=True)
ROWS = st.lists(
    st.tuples(
        FLOATS,
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
        st.tuples(FLOATS, FLOATS, FLOATS),
    ),
    min_size=1,
    max_size=6,
)
NAMES = ("a.float", "whole", "truth", "text", "list")


@settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
@example(rows=[(float("nan"), 2**53 + 1, True, "\u2028\x85\x1b[2J", (0.0, float("-inf"), -0.0))])
def test_ndjson_equals_what_was_written(tiers: Tiers, tmp_path: Path, rows: list[tuple[Any, ...]]) -> None:
    """Whatever was written comes back the same: NaN, integers beyond 2^53, truth values, text, fixed lists."""
    stream = f"h{os.urandom(6).hex()}"
    plain = ([list(v) if isinstance(v, tuple) else v for v in row] for row in rows)
    columns = dict(zip(NAMES, map(list, zip(*plain, strict=True)), strict=True))
    tiers.put("edge", "sensor", [chunk(stream, [T0 + n for n in range(len(rows))], columns)])
    path = tiers.write_fleet(tmp_path)
    found = lines(run(path, "query", f"{tiers.robot}/{stream}", "--format", "ndjson"))
    assert len(found) == len(rows)
    for at, item in enumerate(found):
        assert item["time_us"] == T0 + at
        for name in NAMES:
            assert _same(item["fields"][name], columns[name][at])


def _same(shown: Any, written: Any) -> bool:
    if isinstance(written, list):
        return all(map(_same, shown, written)) and len(shown) == len(written)
    if isinstance(written, float):
        value = float(shown)
        return math.isnan(value) if math.isnan(written) else value == written
    return type(shown) is type(written) and bool(shown == written)


def test_labels_times_and_limit(tiers: Tiers, cli: Cli, stream: str) -> None:
    """--label, --start, --stop and --limit each cut the answer; what is left out is said on stderr."""
    tiers.put("edge", "sensor", [numbers(stream, at, 5, run=str(at)) for at in range(0, 20, 5)])
    name = f"{tiers.robot}/{stream}"
    assert len(lines(cli("query", name, "--format", "ndjson", "--label", "run=5"))) == 5
    start, stop = str(T0 + 3 * SECOND), str(T0 + 12 * SECOND)
    found = lines(cli("query", name, "--format", "ndjson", "--start", start, "--stop", stop))
    assert [item["fields"]["n"] for item in found] == list(range(3, 12))
    done = cli("query", name, "--limit", "4")
    assert len(done.stdout.splitlines()) == 5
    assert "16 more rows" in done.stderr


def test_when_is_split_between_store_and_client(tiers: Tiers, cli: Cli, stream: str) -> None:
    """--when filters by labels and fields alike, and --explain says who filters what."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 5, run="a"), numbers(stream, 5, 5, run="b")])
    schema = {"type": "time_series", "fields": {"n": {"dtype": "int64"}, "x": {"dtype": "float64"}}}
    tiers.attach("edge", "sensor", stream, schema)
    when = "run == 'b' && x > 1.5"
    found = lines(cli("query", f"{tiers.robot}/{stream}:n", "--when", when, "--format", "ndjson"))
    assert [item["fields"] for item in found] == [{"n": 7}, {"n": 8}, {"n": 9}]
    told = json.loads(cli("query", f"{tiers.robot}/{stream}", "--when", when, "--explain", "--json").stdout)
    assert told["store"] == {"$and": [{"$has": ["run"]}, {"&run": {"$eq": "b"}}]}
    assert told["client"] == {"labels": ["run == 'b'"], "rows": ["x > 1.5"]}
    typo = cli("query", f"{tiers.robot}/{stream}", "--when", "fields.y > 1.5")
    assert "could not be decided on any of 10 rows" in typo.stderr


def test_names_that_nothing_has_are_named(tiers: Tiers, cli: Cli, stream: str) -> None:
    """A field nobody has fails with those there are; a condition on a name nobody has is told as such."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 5, run="a")])
    schema = {"type": "time_series", "fields": {"n": {"dtype": "int64"}, "x": {"dtype": "float64"}}}
    tiers.attach("edge", "sensor", stream, schema)
    name = f"{tiers.robot}/{stream}"
    wrong = cli("query", f"{name}:nope")
    assert (wrong.returncode, wrong.stdout, "there are: n, x" in wrong.stderr) == (1, "", True)
    for when, said in (
        ("nope > 3", "no row has `nope`: no chosen stream has such a field (there are: n, x)"),
        ("nope > 3 && x > 1.0", "no row has `nope`"),
        ("labels.nope == 'a'", "no record in that time has a label `nope`"),
        ("run == 'b'", "no record in that time has run == 'b'; some have run=a"),
        ("x > 9.0", "nothing lies in that time and passes those conditions"),
    ):
        done = cli("query", name, "--when", when)
        assert (done.returncode, done.stdout, said in done.stderr) == (0, "", True), done.stderr
    empty = cli("query", name, "--when", "nope > 3", "--start", str(T0 + 9 * SECOND))
    assert "nothing lies in that time" in empty.stderr


def test_a_terminal_gets_twenty_rows_and_a_pipe_all(tiers: Tiers, cli: Cli, tmp_path: Path, stream: str) -> None:
    """On a terminal twenty rows and how many more there are; into a pipe everything."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 50)])
    assert len(cli("query", f"{tiers.robot}/{stream}").stdout.splitlines()) == 51
    shown = _on_terminal(tmp_path, "query", f"{tiers.robot}/{stream}")
    assert len([line for line in shown.splitlines() if line.startswith("20")]) == 20
    assert "30 more rows" in shown


def _on_terminal(directory: Path, *args: str, **more: str) -> str:
    """Run the command line with a terminal as stdout and stderr; return what it shows."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "FLEETBOX_FLEET": str(directory / "fleet.toml"), **more}
    child = subprocess.Popen([sys.executable, "-c", MAIN, *args], stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end has closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert child.wait(60) == 0, shown
    return shown.decode()


def test_other_formats_hold_the_same_rows(tiers: Tiers, cli: Cli, tmp_path: Path, stream: str) -> None:
    """JSON, CSV and Parquet hold what ndjson holds."""
    import pyarrow.parquet as pq

    tiers.put("edge", "sensor", [numbers(stream, 0, 10)])
    name = f"{tiers.robot}/{stream}"
    whole = json.loads(cli("query", name, "--format", "json").stdout)
    assert whole["schema_version"] == 1
    assert [item["fields"]["n"] for item in whole["records"]] == list(range(10))
    assert whole["places_read"] == {"edge-1": 1}
    out = tmp_path / "rows.csv"
    written = cli("query", name, "--format", "csv", "-o", str(out))
    assert (written.returncode, written.stderr.strip()) == (0, "records read: edge-1 1")
    with out.open() as file:
        assert [float(row["x"]) for row in csv.DictReader(file)] == [n / 4 for n in range(10)]
    assert cli("query", name, "--format", "parquet", "-o", str(tmp_path / "rows.parquet")).returncode == 0
    assert pq.read_table(tmp_path / "rows.parquet")["n"].to_pylist() == list(range(10))
    when = ("--when", "fields.n >= 7")
    assert cli("query", name, "--format", "parquet", "-o", str(tmp_path / "some.parquet"), *when).returncode == 0
    assert pq.read_table(tmp_path / "some.parquet")["n"].to_pylist() == [7, 8, 9]


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_a_file_that_cannot_be_written_is_named(
    tiers: Tiers, cli: Cli, tmp_path: Path, stream: str, format_: str
) -> None:
    """A path below a file is a usage error that names it; a folder that is missing is made."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 10)])
    (tmp_path / "file").write_text("in the way")
    ask = ("query", f"{tiers.robot}/{stream}", "--format", format_, "-o")
    failed = cli(*ask, str(tmp_path / "file" / f"rows.{format_}"))
    assert (failed.returncode, "cannot write" in failed.stderr) == (2, True)
    assert cli(*ask, str(tmp_path / "new" / f"rows.{format_}")).returncode == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"rows.{format_}"]


def test_plot_draws_scalars(tiers: Tiers, cli: Cli, stream: str) -> None:
    """--plot draws the fields chosen, one below the other, as wide as the terminal; no number at all is an error."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 50)])
    done = cli("query", f"{tiers.robot}/{stream}:x", "--plot")
    assert done.returncode == 0
    assert "50 values, " in done.stdout
    assert "12.25 ┤" in done.stdout
    several = cli("query", f"{tiers.robot}/{stream}", "--plot")
    assert several.returncode == 0, several.stderr
    assert several.stdout.count(" values, ") == 2
    tiers.put("edge", "log", [blob(f"{stream}/log", T0, b"too hot", robot=tiers.robot, kind="log")])
    none = cli("query", f"{tiers.robot}/{stream}/log", "--plot")
    assert none.returncode == 2
    assert "no numbers at all" in none.stderr


def test_get_finds_the_nearest(tiers: Tiers, cli: Cli, tmp_path: Path, stream: str) -> None:
    """get takes the nearest row or blob, before or after, prints it or saves it with the right extension."""
    tiers.put("edge", "sensor", [numbers(stream, at, 5) for at in range(0, 1000, 100)])
    tiers.put(
        "edge", "media", [blob(f"{stream}/cam", T0 + n * SECOND, b"\xff\xd8\xff%d" % n, kind="images") for n in (0, 60)]
    )
    for at, wanted in ((2.4, 2), (52, 4), (60, 100), (-500, 0), (5000, 904), (302.6, 303)):
        when = str(T0 + round(at * SECOND))
        found = json.loads(cli("get", f"{tiers.robot}/{stream}", "--at", when, "--json").stdout)
        assert found["record"]["fields"]["n"] == wanted
        assert found["off_us"] == T0 + wanted * SECOND - int(when)
    out = str(tmp_path / "brake")
    done = cli("get", f"{tiers.robot}/{stream}/cam", "--at", str(T0 + 50 * SECOND), "-o", out)
    assert done.stdout.strip() == f"{out}.jpg"
    assert (tmp_path / "brake.jpg").read_bytes() == b"\xff\xd8\xff60"
    assert "10 s after the time asked for" in done.stderr
    shown = cli("get", f"{tiers.robot}/{stream}", "--at", str(T0))
    assert shown.stdout.split() == ["n", "0", "x", "0.0"]


@pytest.mark.usefixtures("own_robot")
def test_ls_lists_streams(tiers: Tiers, cli: Cli, stream: str) -> None:
    """ls says class, type, fields, rate, first, last and where a stream is held."""
    drafts = [numbers(stream, at, 5) for at in range(0, 20, 5)]
    tiers.put("robot", "sensor", drafts)
    tiers.put("cloud", "sensor", drafts[:1])
    tiers.attach("robot", "sensor", stream, {"type": "time_series", "fields": {"x": {"dtype": "float64", "unit": "m"}}})
    told = json.loads(cli("ls", f"{tiers.robot}/{stream}", "--json").stdout)
    (found,) = told["streams"]
    assert (found["class"], found["type"], found["records"], found["hz"]) == ("sensor", "time_series", 4, 1.0)
    assert (found["first_us"], found["last_us"]) == (T0, T0 + 15 * SECOND)
    assert [held["place"] for held in found["held"]] == [tiers.robot, "cloud"]
    assert found["fields"]["x"]["unit"] == "m"
    done = cli("ls", f"{tiers.robot}/{stream}")
    assert "x float64 m" in done.stdout
    assert f"{tiers.robot} cloud" in done.stdout


def test_ls_leaves_out_what_nobody_recorded(tiers: Tiers, cli: Cli, fleet: Fleet, stream: str) -> None:
    """Books and what agents measure are listed by name or with --all; events are there as people mark them."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 5), numbers("fleetbox/host", 0, 5)], tiers.robot)
    own = ("ledger", "ledger/edge-1", "policies", "fleetbox/ring", "events/edge-1")
    tiers.put("edge", "meta", [blob(name, T0, b"{}", robot=tiers.robot, kind="json") for name in (*own, "events")])

    def listed(*args: str) -> list[str]:
        told = json.loads(cli("ls", *args, "--json").stdout)
        assert all(one["robot"] == tiers.robot for one in told["streams"])
        return [one["stream"] for one in told["streams"]]

    plain = sorted(["events", stream])
    assert listed(f"{tiers.robot}/**") == listed(tiers.robot) == plain
    assert listed(f"{tiers.robot}/**", "--all") == sorted([*plain, *own, "fleetbox/host"])
    assert listed(f"{tiers.robot}/ledger") == ["ledger"]
    assert listed(f"{tiers.robot}/ledger/**") == ["ledger", "ledger/edge-1"]
    assert listed(f"{tiers.robot}/fleetbox/*") == ["fleetbox/host", "fleetbox/ring"]
    assert listed(f"{tiers.robot}/l*/*") == []
    assert "not listed: 1 of fleetbox's own" in cli("ls", f"{tiers.robot}/pol*").stderr
    assert fleet.streams(tiers.robot).hidden == len(own)
    health = fleet.streams(f"{tiers.robot}/fleetbox/*", all=True)
    assert [one.stream for one in health] == ["fleetbox/host", "fleetbox/ring"]


def test_ls_fits_a_terminal(tiers: Tiers, cli: Cli, tmp_path: Path, stream: str) -> None:
    """On a terminal many fields become a count with the first names and times lose their µs; a pipe gets them whole."""
    names = [f"joint_{n}" for n in range(12)]
    tiers.put("edge", "sensor", [chunk(stream, [T0 + n for n in range(3)], {name: [0.5] * 3 for name in names})])
    schema = {"type": "time_series", "fields": {name: {"dtype": "float64"} for name in names}}
    tiers.attach("edge", "sensor", stream, schema)
    shown = _on_terminal(tmp_path, "ls", f"{tiers.robot}/{stream}", COLUMNS="160")
    assert "12 fields: joint_0 joint_1" in shown
    assert "2025-10-09 08:53:20Z" in shown
    assert max(map(len, shown.splitlines())) <= 160
    assert "2025-10-09T08:53:20.000000Z" in cli("ls", f"{tiers.robot}/{stream}").stdout


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (99, "ax float64 m, ay float64"),
        (23, "2 fields: ax ay"),
        (14, "2 fields"),
        (16, "2 fields: ax ay"),
        (10, "2 fields"),
    ],
)
def test_fields_take_the_room_there_is(room: int, said: str) -> None:
    """Dtypes go first, then names; how many there are is always said."""
    fields = {"ax": {"dtype": "float64", "unit": "m"}, "ay": {"dtype": "float64"}}
    found = Stream("r1", "imu", "sensor", "time_series", fields, None, None, (Held("edge-1", "edge", 1, 1, T0, T0),))
    others = fitted_rows([found], 0, T0)[0] | {"fields": ""}
    taken = sum(max(len(name), len(str(cell or "-"))) + 2 for name, cell in others.items() if name != "fields")
    (row,) = fitted_rows([found], taken + room, T0)
    assert (row["fields"], row["last"]) == (said, "08:53:20Z")


def test_ls_of_a_robot_nobody_knows_fails(tiers: Tiers, cli: Cli, stream: str) -> None:
    """A robot named outright that has neither a rule nor records is not found; an empty glob or stream is no error."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 5)], robot=f"{tiers.robot}-x")
    wrong = cli("ls", f"{tiers.robot}-y")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert f"{tiers.robot}-x" in wrong.stderr.partition("known: ")[2]
    for name in (f"{tiers.robot}-y*", f"{tiers.robot}/no/such/stream", f"{tiers.robot}-x/no/such/stream"):
        done = cli("ls", name)
        assert (done.returncode, "nothing is recorded" in done.stderr) == (0, True), done.stderr


def an_event(tiers: Tiers, **changes: Any) -> Event:
    """An event of this robot around T0 + 60 s."""
    at = T0 + 60 * SECOND
    base: dict[str, Any] = {
        "id": "", "kind": "hard_brake", "robot": tiers.robot, "time_us": at,
        "start_us": at - 10 * SECOND, "stop_us": at + 5 * SECOND,
    }  # fmt: skip
    return events.new_event(Event(**{**base, **changes}))


def test_events_are_listed_shown_and_used_as_times(tiers: Tiers, cli: Cli, stream: str) -> None:
    """An event is folded over its revisions and tiers, shown, and its moment used in --start and --stop."""
    from dataclasses import replace

    opened = an_event(tiers, note="in the yard", resolution="preview", to="edge", trigger="too_hard", policy="9f3a")
    closed = replace(opened, state="labelled", labelled={stream: 3})
    tiers.put("edge", "meta", [events.draft(opened, T0 + 61 * SECOND)])
    tiers.put("cloud", "meta", [events.draft(opened, T0 + 61 * SECOND), events.draft(closed, T0 + 70 * SECOND)])
    tiers.put("edge", "sensor", [numbers(stream, at, 5) for at in range(0, 100, 5)])
    told = json.loads(cli("event", "ls", "hard_*", "--robot", tiers.robot, "--json").stdout)
    (found,) = told["events"]
    assert (found["id"], found["state"], found["labelled"], found["note"]) == (
        opened.id, "labelled", {stream: 3}, "in the yard"
    )  # fmt: skip
    assert opened.id in cli("event", "ls", "--robot", tiers.robot).stdout
    shown = cli("event", "show", opened.id).stdout
    for text in ("in the yard", "pictures as previews only", "to the edge site", "trigger too_hard", "policy 9f3a"):
        assert text in shown
    times = ("--start", f"event:{opened.id}-2s", "--stop", f"event:{opened.id}+1s")
    rows = lines(cli("query", f"{tiers.robot}/{stream}", *times, "--format", "ndjson"))
    assert [item["fields"]["n"] for item in rows] == [58, 59, 60]
    unknown = cli("event", "show", "nothing-like-it")
    assert unknown.returncode == 1
    assert "next:" in unknown.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("query", "r 1/imu"),
        ("query", "r1/imu", "--start", "yesterday-ish"),
        ("query", "r1/imu", "--stop", "13:99"),
        ("query", "r1/imu", "--when", "ax <"),
        ("query", "r1/imu", "--label", "run"),
        ("query", "r1/imu", "--limit", "0"),
        ("query", "r1/imu", "--start", "now", "--stop", "-1h"),
        ("get", "r1/imu"),
        ("ls", "r1/imu", "--tier", "moon"),
    ],
)
def test_wrong_arguments_exit_2(cli: Cli, args: Sequence[str]) -> None:
    """A selector, time, label or expression that makes no sense is a usage error that says what to write."""
    done = cli(*args)
    assert done.returncode == 2, done.stderr
    assert not done.stdout


def test_unreachable_exits_4_wrong_token_5_partial_3(tiers: Tiers, tmp_path: Path, stream: str) -> None:
    """Nothing reachable is 4, a refused token 5, an answer without one of the places 3 with its name on stderr."""
    tiers.put("edge", "sensor", [numbers(stream, 0, 3)])
    dead = "http://127.0.0.1:9"
    partly = tiers.write_fleet(tmp_path, urls={"cloud": dead})
    done = run(partly, "query", f"{tiers.robot}/{stream}", "--format", "ndjson")
    assert len(lines(done, 3)) == 3
    assert "cloud" in done.stderr
    assert run(partly, "ls", f"{tiers.robot}/{stream}").returncode == 3
    assert run(partly, "query", f"{tiers.robot}/{stream}", "--tier", "cloud").returncode == 4
    nowhere = tiers.write_fleet(tmp_path, urls=dict.fromkeys(("robot", "edge", "cloud"), dead))
    assert run(nowhere, "ls").returncode == 4
    whole = tiers.write_fleet(tmp_path)
    (tmp_path / "edge.token").write_text("wrong")
    assert run(whole, "query", f"{tiers.robot}/{stream}", "--site", "edge-1").returncode == 5


def test_help_loads_nothing_heavy() -> None:
    """Help for every verb here comes without numpy, pyarrow, pandas, reduct or cel."""
    code = (
        "import sys, fleetbox_query.cli; "
        "heavy = {'numpy', 'pyarrow', 'pandas', 'reduct', 'cel', 'aiohttp', 'nanoarrow'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
