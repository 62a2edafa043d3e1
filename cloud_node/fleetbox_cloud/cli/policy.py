"""`fleetbox policy apply|status|promote|rollback`: policies over the air, from a site's desk."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option
from fleetbox.cli.output import emit, note, progress, say
from fleetbox.errors import Incomplete, InputError
from fleetbox.time import parse_duration

if TYPE_CHECKING:
    from fleetbox.settings import Place, Policy
    from fleetbox_cloud.desk.linting import Finding
    from fleetbox_cloud.desk.rollouts import Rollout

PARTIAL = 3
EXPIRES = "365d"  # a fleet must not lose its policy over a quiet season; a stolen envelope must end some day
TIMEOUT = "2min"  # online robots answer within 10 s; a busy link takes longer


@dataclass(frozen=True, slots=True)
class Manner:
    """Say how a verb ends: whether it waits for answers and how long, and for whom it writes."""

    wait: bool
    timeout: str
    as_json: bool


robots_option = click.option("--robots", "globs", multiple=True, default=("*",), show_default=True, metavar="GLOB")
yes_option = click.option("--yes", is_flag=True, help="Do it without being asked.")
wait_option = click.option("--wait", is_flag=True, help="Return when every robot that is online has answered.")
timeout_option = click.option("--timeout", default=TIMEOUT, show_default=True, help="With --wait: at most so long.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@robots_option
@click.option("--stages", default="1,10,100", show_default=True, help="Percent of the robots, stage by stage.")
@click.option("--auto", metavar="DURATION", help="The site goes on by itself after a stage has held so long.")
@click.option("--now", "at_once", is_flag=True, help="All robots at once, without stages.")
@click.option("--expires", default=EXPIRES, show_default=True, help="Robots return to their own file after this.")
@click.option("--force", is_flag=True, help="Even though the lint finds errors.")
@wait_option
@timeout_option
@yes_option
@fleet_option
@site_option
@json_option
def apply(
    file: Path, globs: tuple[str, ...], stages: str, auto: str | None, at_once: bool, expires: str, wait: bool,
    timeout: str, force: bool, yes: bool, fleet_path: Path | None, site: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Send a policy to robots over the air: signed, first to one of them, then to a tenth, then to all.

    It is linted first, also against the streams of the robots chosen, and shown is what it changes. Who goes on is a
    person (`fleetbox policy promote`), or with --auto the site, when every robot of the stage applied it and none
    failed or rolled back.
    """
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.cli.policy_showing import drafted_dict, show_drafted
    from fleetbox_cloud.desk import applying
    from fleetbox_cloud.desk.linting import lint
    from fleetbox_cloud.desk.planning import Wish, expiry
    from fleetbox_cloud.desk.rollouts import check_stages

    if at_once and auto:
        raise InputError("--now leaves --auto nothing to go on with", "give one of them")
    fleet = find_fleet(fleet_path)
    place = applying.site_of(fleet, site)
    policy, text = _read(file)
    chosen = check_stages((100,) if at_once else _percents(stages))
    until_us = expiry(policy, applying.now_us() + parse_duration(expires))
    wish = Wish(policy, text, until_us, globs, chosen, parse_duration(auto) if auto else None)
    drafted = asyncio.run(applying.preview(fleet, place, wish))
    _lint(lint(policy, fleet, place.name, drafted.rollout.robots), file, force)
    answer = {"site": place.name, **drafted_dict(drafted), "sent": False}
    show_drafted(drafted, place.name, note if as_json else say)
    if not _sure(yes, as_json):
        if as_json:
            emit(answer)
        return 0
    sent = asyncio.run(applying.send(place, drafted.rollout))
    return _finish(place, [sent], Manner(wait, timeout, as_json), answer)


@click.command()
@robots_option
@fleet_option
@site_option
@json_option
def status(globs: tuple[str, ...], fleet_path: Path | None, site: str | None, as_json: bool) -> int:
    """Show how robots stand with the policies sent to them: applied, failed, refused, pending, expired, rolled back.

    Exits 3 when one failed, refused or rolled back.
    """
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.cli.policy_showing import show_status, status_dict
    from fleetbox_cloud.desk import applying
    from fleetbox_cloud.desk.standing import BAD

    fleet = find_fleet(fleet_path)
    found = asyncio.run(applying.status(fleet, applying.site_of(fleet, site), globs))
    if as_json:
        emit(status_dict(found))
    else:
        show_status(found)
    edited_us = fleet.policy_edited_us() or 0
    if found.robots and all(one.policy != fleet.policy.hash and one.since_us < edited_us for one in found.robots):
        note(f"policy.toml was edited since and no robot has it; next: fleetbox policy apply {fleet.policy_file}")
    return PARTIAL if any(one.state in BAD for one in found.robots) else 0


@click.command()
@click.argument("rollout")
@click.option("--now", "at_once", is_flag=True, help="To all its robots, not only to the next stage.")
@click.option("--force", is_flag=True, help="Even though robots failed, refused or rolled back.")
@wait_option
@timeout_option
@yes_option
@fleet_option
@site_option
@json_option
def promote(
    rollout: str, at_once: bool, force: bool, wait: bool, timeout: str, yes: bool, fleet_path: Path | None,
    site: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Go on with a rollout: hand its policy out to the robots of the next stage.

    ROLLOUT is its id, the end of it, or the beginning of its policy's hash, as `fleetbox policy status` shows them.
    """
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.cli.policy_showing import promotion_dict, show_promotion
    from fleetbox_cloud.desk import applying

    fleet = find_fleet(fleet_path)
    place = applying.site_of(fleet, site)
    planned = asyncio.run(applying.promotion(place, rollout, whole=at_once))
    answer = {"site": place.name, **promotion_dict(planned), "sent": False}
    show_promotion(planned, note if as_json else say)
    if planned.decision.what == "halt" and not force:
        step = "fleetbox policy rollback, or promote it with --force"
        raise Incomplete(f"rollout {planned.rollout.id} does not go on: {planned.decision.why}", step)
    if not _sure(yes, as_json):
        if as_json:
            emit(answer)
        return 0
    sent = asyncio.run(applying.promote(place, planned))
    return _finish(place, [sent], Manner(wait, timeout, as_json), answer)


@click.command()
@robots_option
@click.option("--expires", default=EXPIRES, show_default=True, help="Robots return to their own file after this.")
@wait_option
@timeout_option
@yes_option
@fleet_option
@site_option
@json_option
def rollback(
    globs: tuple[str, ...], expires: str, wait: bool, timeout: str, yes: bool, fleet_path: Path | None,
    site: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Give robots back what they followed before the newest policy sent to them, at once."""
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.cli.policy_showing import return_dict, show_return
    from fleetbox_cloud.desk import applying
    from fleetbox_cloud.desk.returning import preview_return, send_return

    fleet = find_fleet(fleet_path)
    place = applying.site_of(fleet, site)
    until_us = applying.now_us() + parse_duration(expires)
    planned = asyncio.run(preview_return(fleet, place, globs, until_us))
    answer = {"site": place.name, **return_dict(planned), "sent": False}
    show_return(planned, note if as_json else say)
    if not planned.drafts or not _sure(yes, as_json):
        if as_json:
            emit(answer)
        return PARTIAL if not planned.drafts else 0
    sent = asyncio.run(send_return(place, planned))
    code = _finish(place, sent, Manner(wait, timeout, as_json), answer)
    return code or (PARTIAL if planned.stays else 0)


def _read(file: Path) -> tuple[Policy, str]:
    from fleetbox.settings import parse_policy

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}", "name a policy.toml") from None
    return parse_policy(text, str(file)), text


def _lint(found: Sequence[Finding], file: Path, force: bool) -> None:
    """Show what the lint found; raise InputError for errors unless they are to be sent all the same."""
    for finding in found:
        note(str(finding))
    errors = [finding for finding in found if finding.level == "error"]
    if errors and not force:
        step = f"see: fleetbox policy lint {file}; --force sends it all the same"
        raise InputError(f"{file} has {len(errors)} errors and is not sent", step)


def _percents(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(one) for one in text.replace("%", "").split(","))
    except ValueError:
        raise InputError(f"--stages {text!r} is not understood", "write percents like 1,10,100") from None


def _sure(yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if sys.stdin.isatty() and not as_json:
        return click.confirm("Send it?", err=True)
    note("nothing was sent; add --yes")
    return False


def _finish(place: Place, sent: Sequence[Rollout], manner: Manner, answer: dict[str, Any]) -> int:
    """Say what was sent, wait for answers if asked to, and return the exit code."""
    from fleetbox_cloud.cli.policy_showing import rollout_dict, show_answers, show_sent
    from fleetbox_cloud.desk import applying
    from fleetbox_cloud.desk.standing import BAD, Standing, summary

    tell = note if manner.as_json else say
    for one in sent:
        show_sent(one, tell)
    answer |= {"sent": True, "sent_rollouts": [rollout_dict(one) for one in sent]}
    found: list[Standing] = []
    if manner.wait:
        timeout_s = parse_duration(manner.timeout) / 1e6
        with progress("waiting for answers") as advance:
            found = asyncio.run(
                applying.answered(
                    place, sent, timeout_s, lambda now: advance(0, f"{summary(now).get('applied', 0)} applied")
                )
            )
        show_answers(found, tell)
        answer |= {"robots": [one.as_dict() for one in found], "summary": summary(found)}
    if manner.as_json:
        emit(answer)
    late = [one for one in found if one.state in BAD or (one.state == "pending" and not one.offline)]
    return PARTIAL if late else 0
