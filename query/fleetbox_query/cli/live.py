"""The verb that shows streams as they come in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option, tier_option
from fleetbox.cli.output import emit, note, say

if TYPE_CHECKING:
    from fleetbox.settings import Tier


@click.command()
@click.argument("selector", nargs=-1)
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only records with this label; repeatable.")
@click.option("--when", default="", metavar="CEL", help="Only where it holds: \"ax < -4.0 && site == 'edge-1'\".")
@click.option("--text", is_flag=True, help="Print a line for each row or record instead of serving.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to serve; nobody is asked who they are.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 is any that is free.")
@tier_option
@site_option
@fleet_option
@json_option
def live(
    selector: tuple[str, ...],
    labels: tuple[str, ...],
    when: str,
    text: bool,
    host: str,
    port: int,
    tier: Tier | None,
    site: str | None,
    fleet_path: Path | None,
    as_json: bool,
) -> int:
    """Show streams as they come in, in Foxglove (Open connection, Foxglove WebSocket), until Ctrl-C.

    What nobody watches is not read. Each stream comes from where it is first: the robot's own store where that
    answers, else the site furthest along. On the robot itself rows come some 20 ms after they were logged; elsewhere
    they come when their chunk closes, up to 5 s later as a rule. Pictures and lines of a log wait for no chunk.
    """
    from fleetbox_query.fleet import connect
    from fleetbox_query.live.printing import Printer
    from fleetbox_query.live.watching import Watching, watched
    from fleetbox_query.question import Question, parse_selectors

    chosen = parse_selectors(selector or ("*",))
    question = Question(chosen, labels=parse_labels(labels), when=when, tier=tier, site=site)
    with connect(fleet_path) as fleet:
        if text:
            watching = Watching(fleet.session, question, Printer(say, note))
            watching.meet()
            watching.follow()
            return 0
        with watched(fleet.session, question, host, port) as (watching, server):
            if as_json:
                emit({"url": server.url, "streams": list(server.streams)})
            else:
                say(f"{server.url}: {len(server.streams)} streams")
                note("in Foxglove: Open connection, Foxglove WebSocket; Ctrl-C ends it")
            watching.follow()
    return 0
