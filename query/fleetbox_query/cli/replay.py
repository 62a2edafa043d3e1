"""The verb that plays what was recorded again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.output import emit, note, say
from fleetbox.errors import InputError
from fleetbox.extras import require
from fleetbox.time import iso_time
from fleetbox_query.cli.view import choosing, question_of

if TYPE_CHECKING:
    from fleetbox_query.fleet import Fleet
    from fleetbox_query.live.replaying import Manner, Replay
    from fleetbox_query.live.sinks import Sink
    from fleetbox_query.question import Question

PARTIAL = 3
FLUSH_S = 30.0  # for what was recorded to be readable in the store; it is safe in the spool anyway
SHOWN = 10  # lines about what could not be played
FOXGLOVE, RECORDER, TEXT = "foxglove", "recorder", "text"
MQTT = ("mqtt://", "mqtts://")


@click.command()
@choosing
@click.option("--rate", type=click.FloatRange(0.01, 100), default=1.0, show_default=True, help="Times as fast.")
@click.option("--seek", metavar="T", help="Begin there: a time, or event:ID-5s.")
@click.option("--loop", is_flag=True, help="Begin anew at the end.")
@click.option("--paused", is_flag=True, help="Wait until a viewer presses play.")
@click.option("--to", "to", default=FOXGLOVE, metavar="WHERE", show_default=True,
              help="foxglove, mqtt://[user@]host[:port][/prefix], recorder or text.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to serve; nobody is asked who they are.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 is any that is free.")
@click.option("--config", type=click.Path(path_type=Path), default=Path("robot.toml"), show_default=True,
              help="With --to recorder: the robot that records.")  # fmt: skip
@click.option("--prefix", default="replay", show_default=True, help="With --to recorder: stands before streams' names.")
def replay(to: str, **given: Any) -> int:
    """Play what was recorded at its own pace, for Foxglove, into a broker, a recorder or the terminal.

    Foxglove (Open connection, Foxglove WebSocket) plays, pauses, seeks and changes the speed; what nobody watches is
    not read. Elsewhere it plays once from beginning to end.
    """
    from fleetbox_query.fleet import connect

    if to not in (FOXGLOVE, RECORDER, TEXT) and not to.startswith(MQTT):
        raise InputError(f"--to {to} is not known", "use foxglove, mqtt://host, recorder or text")
    if given["paused"] and to != FOXGLOVE:
        raise InputError(f"--paused with --to {to}", "only Foxglove has a play button")
    with connect(given["fleet_path"]) as fleet:
        question = question_of(fleet, given)
        manner = _manner(fleet, question, given)
        if to == FOXGLOVE:
            return _serve(fleet, question, manner, given)
        with _sink(to, given) as sink:
            return _play(fleet, question, manner, sink, given["as_json"])


def _manner(fleet: Fleet, question: Question, given: dict[str, Any]) -> Manner:
    from fleetbox_query.live.replaying import Manner

    at_ns = None
    if given["seek"]:
        session = fleet.session
        at_ns = session.run(session.resolve(session.moment(given["seek"]), session.where(question))) * 1000
    return Manner(at_ns, given["rate"], given["loop"], given["paused"])


def _serve(fleet: Fleet, question: Question, manner: Manner, given: dict[str, Any]) -> int:
    from fleetbox_query.live.playing import served

    with served(fleet.session, question, manner, given["host"], given["port"]) as (playing, server):
        _check_seek(manner, playing)
        start_ns, stop_ns = playing.range_ns
        if given["as_json"]:
            emit({"url": server.url, "start_ns": start_ns, "stop_ns": stop_ns, "streams": list(server.streams)})
        else:
            say(f"{server.url}: {len(server.streams)} streams, {(stop_ns - start_ns) / 1e9:,.1f} s")
            note("in Foxglove: Open connection, Foxglove WebSocket; Ctrl-C ends it")
        for line in playing.told:
            note(line)
        try:
            playing.run(once=False)
        finally:
            for line in _lacks(playing)[:SHOWN]:
                note(line)
    return 0


def _play(fleet: Fleet, question: Question, manner: Manner, sink: Sink, as_json: bool) -> int:
    from fleetbox_query.live.playing import replay_into
    from fleetbox_query.nothing import why_nothing

    playing = replay_into(fleet.session, question, sink, manner)
    _check_seek(manner, playing)
    for line in playing.told:
        note(line)
    playing.run(once=True)
    lines = _lacks(playing)
    if not playing.sent and not lines:
        note(why_nothing(fleet.session, question))
    if as_json:
        emit({"sent": playing.sent, "missing": lines, "told": playing.told})
    else:
        note(f"{playing.sent:,} items played")
        for line in lines[:SHOWN]:
            note(line)
    return PARTIAL if lines else 0


def _lacks(playing: Replay) -> list[str]:
    return [*playing.missing, *(f"not played: {text} ({count:,})" for text, count in playing.skipped.items())]


def _check_seek(manner: Manner, playing: Replay) -> None:
    """Raise InputError for a beginning that lies outside what is played."""
    start_ns, stop_ns = playing.range_ns
    if manner.at_ns is not None and not start_ns <= manner.at_ns <= stop_ns:
        held = f"what is played lies from {iso_time(start_ns // 1000)} to {iso_time(stop_ns // 1000)}"
        raise InputError(f"--seek {iso_time(manner.at_ns // 1000)}: {held}", "seek to a time within")


@contextmanager
def _sink(to: str, given: dict[str, Any]) -> Iterator[Sink]:
    if to == TEXT:
        from fleetbox_query.live.printing import Printer

        yield Printer(note if given["as_json"] else say, note)
    elif to == RECORDER:
        from fleetbox_query.live.rerecording import Rerecorder, open_recorder

        with open_recorder(given["config"]) as recorder:
            yield Rerecorder(recorder, given["prefix"])
            recorder.flush(FLUSH_S)
    else:
        require("view")
        from fleetbox_query.live.broker import Broker, target_of

        with Broker(target_of(to)) as broker:
            yield broker
