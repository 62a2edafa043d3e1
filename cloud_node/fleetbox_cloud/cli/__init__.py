"""The verbs of a site: run it, provision it, ask it."""

from __future__ import annotations

from pathlib import Path

import click

from fleetbox.cli.options import fleet_option, json_option, site_option


@click.group()
def site() -> None:
    """Run an edge site or the cloud: buckets, tokens, tasks, relay, scalar loader."""


@site.command()
@fleet_option
@site_option
def run(fleet_path: Path | None, site: str | None) -> None:
    """Run everything a site needs until Ctrl-C or SIGTERM."""
    import asyncio

    from fleetbox.settings import find_fleet
    from fleetbox_cloud.site import run_site

    asyncio.run(run_site(find_fleet(fleet_path), site))


@site.command()
@fleet_option
@site_option
@click.option("--robot", "robots", multiple=True, help="A robot known only by a glob; may be given again.")
@click.option("--replace", "replaced", metavar="ROBOT", help="Make this robot's token anew; the old one ends at once.")
@json_option
def provision(
    fleet_path: Path | None, site: str | None, robots: tuple[str, ...], replaced: str | None, as_json: bool
) -> None:
    """Make the buckets and tokens that a site's robots need; print what changed."""
    import asyncio

    from fleetbox.cli.output import emit, note, say, table
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.provision_site import provision_site
    from fleetbox_cloud.state import pick_site

    fleet = find_fleet(fleet_path)
    place = pick_site(fleet, site)
    report = asyncio.run(provision_site(fleet, place, robots, replaced))
    if as_json:
        emit(report)
        return
    if not report["changes"]:
        say(f"{place.name}: nothing to change")
        return
    table(report["changes"], ["what", "name", "why"])
    for name, path in report["tokens"].items():
        note(f"token of {name}: {path}")


@site.command()
@fleet_option
@site_option
@json_option
def status(fleet_path: Path | None, site: str | None, as_json: bool) -> None:
    """Show how the site process on this machine is doing, and what InfluxDB refused or lost."""
    from fleetbox.cli.output import emit, note, say, table
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.state import pick_site, state_folder
    from fleetbox_cloud.status import ask_site

    fleet = find_fleet(fleet_path)
    report = ask_site(state_folder(fleet, pick_site(fleet, site).name))
    if as_json:
        emit(report)
        return
    table([{"part": name, **one} for name, one in report["parts"].items()], ["part", "state", "failures", "why"])
    if report["loader"]:
        from fleetbox_cloud.showing import tables_of, troubles_of

        for trouble in troubles_of(report["loader"]):
            note(trouble)
        for rows, columns in tables_of(report["loader"]):
            say("")
            table(rows, columns)


@click.group()
def tokens() -> None:
    """Make, list, rotate and revoke the tokens that robots, sites and people use at a site's store."""


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The robot's robot.toml; default: the one beside fleet.toml, or this machine's own.",
)


@tokens.command("ls")
@fleet_option
@site_option
@json_option
def list_(fleet_path: Path | None, site: str | None, as_json: bool) -> int:
    """List the tokens of one site or of all: whose, what they may do, when they were made and last used.

    The store notes a use with a delay of up to a minute.
    """
    import asyncio

    from fleetbox.cli.output import emit, note, table
    from fleetbox.settings import find_fleet
    from fleetbox.time import show_time
    from fleetbox_cloud.token_desk import list_tokens

    fleet = find_fleet(fleet_path)
    names = [fleet.site_place(site).name] if site else list(fleet.site)
    rows = asyncio.run(list_tokens(fleet, [fleet.site_place(name) for name in names]))
    failed = [row for row in rows if "error" in row]
    if as_json:
        emit({"tokens": [row for row in rows if row not in failed], "errors": failed})
        return 1 if failed else 0
    shown = [
        {**row, **{name: show_time(row[f"{name}_us"]) if row[f"{name}_us"] else None for name in ("created", "used")}}
        for row in rows
        if row not in failed
    ]
    table(shown, ["site", "token", "holder", "may", "created", "used"])
    for row in failed:
        note(f"{row['site']}: {row['error']}")
    return 1 if failed else 0


@tokens.command()
@click.argument("name")
@click.option("--robot", "robots", multiple=True, required=True, help="A robot it may read, '*': all; may be repeated.")
@click.option("--write", is_flag=True, help="It may write those robots' buckets too.")
@fleet_option
@site_option
@json_option
def add(
    name: str, robots: tuple[str, ...], write: bool, fleet_path: Path | None, site: str | None, as_json: bool
) -> None:
    """Make a token for a person or a program; robots and sites get theirs from `fleetbox site provision`."""
    import asyncio

    from fleetbox.cli.output import emit, note, say
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.state import pick_site
    from fleetbox_cloud.token_desk import add_token

    fleet = find_fleet(fleet_path)
    done = asyncio.run(add_token(fleet, pick_site(fleet, site), name, robots, write=write))
    if as_json:
        emit(done)
        return
    say(f"{done['token']} at {done['site']} may {done['may']}")
    note(f"its value: {done['file']}")


@tokens.command()
@click.option("--robot", help="The robot whose token at its site is rotated.")
@click.option("--site", help="With --robot: its site. Alone: the site whose token at the next site is rotated.")
@click.option("--finish", is_flag=True, help="Revoke the old token, after the new one was taken to its robot by hand.")
@click.option("--yes", is_flag=True, help="With --finish: do it; without, only show what would end.")
@config_option
@fleet_option
@json_option
def rotate(
    robot: str | None,
    site: str | None,
    finish: bool,
    yes: bool,
    config: Path | None,
    fleet_path: Path | None,
    as_json: bool,
) -> int:
    """Replace a token while records flow: nothing is lost, nothing waits.

    A new token is made, tried, put where the relay reads it, and seen to be in use; then the old one is revoked.
    Where the robot's files are out of reach from here, the new token waits in a file, and the answer says where to
    take it and how to finish. Stopped in between, the same command goes on where it was.
    """
    import asyncio

    from fleetbox.cli.output import emit, note, say, table
    from fleetbox.settings import find_fleet
    from fleetbox.time import show_time
    from fleetbox_cloud.token_desk import preview_finish, rotate_token

    fleet = find_fleet(fleet_path)
    if finish and not yes:
        rows = asyncio.run(preview_finish(fleet, robot, site, config))
        if as_json:
            emit({"preview": True, "tokens": rows})
            return 0
        table(
            [{**row, "used": show_time(row["used_us"]) if row["used_us"] else None} for row in rows], ["token", "used"]
        )
        note("all but the new one end; see that its holder has it, then add --yes")
        return 0
    done = asyncio.run(rotate_token(fleet, robot, site, config, finish=finish))
    if as_json:
        emit(done)
        return 0
    if done["next_step"]:
        say(f"{done['holder']} has a new token at {done['site']} ({done['token']}); the old one stays valid")
        note(f"next: {done['next_step']}")
        return 0
    ended = ", ".join(done["revoked"]) or "nothing"
    say(f"{done['holder']} uses {done['token']} at {done['site']} from {done['file']}; revoked: {ended}")
    say(f"its relay: {done['relay']}")
    return 0


@tokens.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it; without, only show what would end.")
@fleet_option
@site_option
@json_option
def revoke(name: str, yes: bool, fleet_path: Path | None, site: str | None, as_json: bool) -> None:
    """End a token at once; without --yes only show whose it is and what it may do."""
    import asyncio

    from fleetbox.cli.output import emit, note, say, table
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.state import pick_site
    from fleetbox_cloud.token_desk import revoke_token

    fleet = find_fleet(fleet_path)
    done = asyncio.run(revoke_token(fleet, pick_site(fleet, site), name, sure=yes))
    if as_json:
        emit(done)
        return
    table([done], ["site", "token", "holder", "may"])
    if done["ends"]:
        note(done["ends"])
    if yes:
        say(f"{name} is revoked at {done['site']}")
    else:
        note("nothing was changed; add --yes to revoke it")
