"""`fleetbox drill`: break a scratch fleet on purpose, then close its books."""

from __future__ import annotations

from pathlib import Path

import click

from fleetbox.cli import output
from fleetbox.cli.options import json_option


@click.command()
@click.option("--profile", metavar="quick|full|NAME,...", default="quick", show_default=True, help="Which faults.")
@click.option("--list", "listing", is_flag=True, help="Say which faults there are, and play none.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Where.  [default: /tmp]")
@click.option("--keep", is_flag=True, help="Leave the stores' data and the logs for a look afterwards.")
@json_option
def drill(profile: str, listing: bool, directory: Path | None, keep: bool, as_json: bool) -> int:
    """Break a scratch fleet on this machine on purpose, then close its books.

    Each fault is played against real servers: a robot, an edge and a cloud of their own, ended afterwards. It touches
    no other fleet. Exit 3 when a record is missing that nothing names.
    """
    from fleetbox.extras import require
    from fleetbox_local.drill.catalog import SCENARIOS, choose

    if listing:
        return _list(SCENARIOS, as_json)
    require("robot", "site", "query")
    from fleetbox_local.drill.rehearsing import rehearse
    from fleetbox_local.drill.report import emit_report, show_report

    report = rehearse(choose(profile), directory, keep, output.note)
    if as_json:
        emit_report(report)
    else:
        show_report(report)
    return 0 if report.ok else 3


def _list(scenarios: object, as_json: bool) -> int:
    from fleetbox_local.drill.scenario import Scenario

    assert isinstance(scenarios, tuple)
    rows = [
        {"fault": one.name, "quick": "quick" if one.quick else "", "does": one.does, "ends": one.ends}
        for one in scenarios
        if isinstance(one, Scenario)
    ]
    if as_json:
        output.emit({"faults": rows})
    else:
        output.table(rows, ["fault", "quick", "does", "ends"])
    return 0
