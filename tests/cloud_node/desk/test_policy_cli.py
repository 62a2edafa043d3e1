"""The verbs of `fleetbox policy` that reach robots: previews, exit codes, one JSON object each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fleetbox.cli.root import root
from fleetbox.records import Draft


def now() -> int:
    """Return the wall clock in µs."""
    return time.time_ns() // 1000


@pytest.fixture
def site(scene: Callable[..., Any]) -> Any:
    """A site with three robots that have said what they follow."""
    made = scene(3)
    asyncio.run(made.make())
    asyncio.run(made.look(now()))
    return made


def policy(site: Any, *words: str) -> Result:
    """Run a verb."""
    return CliRunner().invoke(root, ["policy", *words, "--fleet", str(site.file)], standalone_mode=False)


def answer(result: Result) -> dict[str, Any]:
    """Return the JSON of an answer that went well."""
    assert result.exception is None, result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["schema_version"] == 1
    return found


def test_apply_shows_first_and_sends_with_yes(site: Any) -> None:
    """Without --yes nothing leaves; with it one robot has it; promote hands it to the rest."""
    file = str(site.policy())
    shown = policy(site, "apply", file)
    assert "name: own -> shift" in shown.stdout
    assert "stage 1, 1 %: 1 robot" in shown.stdout
    assert "nothing was sent; add --yes" in shown.stderr
    assert answer(policy(site, "status", "--json"))["summary"] == {"own": 3}
    sent = answer(policy(site, "apply", file, "--yes", "--json"))
    assert (sent["sent"], len(sent["sent_rollouts"][0]["reached"])) == (True, 1)
    asyncio.run(site.look(now()))
    assert answer(policy(site, "status", "--json"))["summary"] == {"applied": 1, "pending": 2}
    rollout = sent["rollout"]["id"][-6:]
    assert answer(policy(site, "promote", rollout, "--json"))["sent"] is False
    assert answer(policy(site, "promote", rollout, "--now", "--yes", "--json"))["sent"] is True
    asyncio.run(site.look(now()))
    table = policy(site, "status").stdout
    assert "3 applied" in table
    assert "shift 3" in table


def test_wait_returns_when_all_online_robots_answered(site: Any) -> None:
    """With the answers and exit 0; with exit 3 and the reason when one failed, as status does then."""

    async def both(*words: str) -> Result:
        running = asyncio.create_task(asyncio.to_thread(policy, site, *words))
        while not running.done():
            await site.look(now())
            await asyncio.sleep(0.05)
        return running.result()

    file = str(site.policy())
    good = asyncio.run(both("apply", file, "--now", "--yes", "--wait", "--json"))
    assert answer(good)["summary"] == {"applied": 3}
    assert good.return_value == 0
    one = sorted(site.robots)[0]
    site.robots[one].fails = "no room on its disk"
    bad = asyncio.run(both("apply", str(site.policy("next")), "--now", "--yes", "--wait"))
    assert bad.return_value == 3
    assert f"{one}: failed: no room on its disk" in bad.stdout
    assert policy(site, "status").return_value == 3


def test_rollback_shows_first_and_names_who_stays(site: Any) -> None:
    """Two return to their own, the one that refused it stays and says why."""
    one = sorted(site.robots)[0]
    site.robots[one].fails = "no room on its disk"
    assert answer(policy(site, "apply", str(site.policy()), "--now", "--yes", "--json"))["sent"]
    asyncio.run(site.look(now()))
    site.robots[one].fails = ""
    shown = policy(site, "rollback")
    assert "return to own 1" in shown.stdout
    assert f"{one} stays as it is: it does not follow" in shown.stdout
    assert set(site.following().values()) == {"own", "shift"}
    done = policy(site, "rollback", "--yes", "--json")
    assert (answer(done)["sent"], done.return_value) == (True, 3)
    asyncio.run(site.look(now()))
    assert set(site.following().values()) == {"own"}


def test_what_all_robots_refused_is_not_there_to_be_taken_back(site: Any) -> None:
    """Status offers no rollback of it; a rollback undoes what the robots follow: the rollout before."""
    assert answer(policy(site, "apply", str(site.policy()), "--now", "--yes", "--json"))["sent"]
    asyncio.run(site.look(now()))
    for robot in site.robots.values():
        robot.refuses = "not signed by a key it knows"
    assert answer(policy(site, "apply", str(site.policy("next")), "--now", "--yes", "--json"))["sent"]
    asyncio.run(site.look(now()))
    told = policy(site, "status")
    assert "3 refused" in told.stdout
    assert "mend the policy and apply it again" in told.stderr
    assert "rollback" not in told.stderr
    for robot in site.robots.values():
        robot.refuses = ""
    done = policy(site, "rollback", "--yes", "--json")
    assert (answer(done)["stays"], done.return_value) == ({}, 0)
    asyncio.run(site.look(now()))
    assert set(site.following().values()) == {"own"}


def test_a_robot_that_alone_refused_stays_when_the_others_return(site: Any) -> None:
    """What the others took is taken back; the one that follows what was before it is not led further back."""
    assert answer(policy(site, "apply", str(site.policy()), "--now", "--yes", "--json"))["sent"]
    asyncio.run(site.look(now()))
    one = sorted(site.robots)[0]
    site.robots[one].refuses = "not signed by a key it knows"
    assert answer(policy(site, "apply", str(site.policy("next")), "--now", "--yes", "--json"))["sent"]
    asyncio.run(site.look(now()))
    assert "or fleetbox policy rollback" in policy(site, "status").stderr
    site.robots[one].refuses = ""
    done = policy(site, "rollback", "--yes", "--json")
    assert (list(answer(done)["stays"]), done.return_value) == ([one], 3)
    asyncio.run(site.look(now()))
    assert set(site.following().values()) == {"shift"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["apply", "nowhere.toml"], "cannot be read"),
        (["apply", "POLICY", "--stages", "1,x"], "write percents"),
        (["apply", "POLICY", "--now", "--auto", "30m"], "nothing to go on with"),
        (["promote", "zzz"], "no rollout"),
    ],
)
def test_what_cannot_be_done_is_said(site: Any, words: list[str], message: str) -> None:
    """With what to do instead, and nothing sent."""
    result = policy(site, *(str(site.policy()) if word == "POLICY" else word for word in words))
    assert message in str(result.exception)
    assert answer(policy(site, "status", "--json"))["summary"] == {"own": 3}


def test_a_policy_with_errors_is_not_sent(site: Any) -> None:
    """What the lint calls an error stops it; a warning does not."""
    file = site.policy("bad", '[trigger.brake]\non = "imu"\nwhen = "ax < "\n')
    result = policy(site, "apply", str(file), "--yes")
    assert "errors and is not sent" in str(result.exception)
    assert answer(policy(site, "status", "--json"))["summary"] == {"own": 3}


async def record(site: Any, robot: str, stream: str, fields: dict[str, Any]) -> None:
    """Let a robot have recorded a stream that its site knows."""
    async with site.store() as store:
        draft = Draft(stream, now(), b"x", {"robot": robot, "type": "time_series"}, "application/octet-stream")
        await store.write(f"{robot}--sensor", [draft])
        await store.write_attachment(f"{robot}--sensor", stream, "schema", {"type": "time_series", "fields": fields})


def test_a_policy_is_held_against_the_streams_of_the_robots_chosen(site: Any) -> None:
    """A field that the stream does not have stops it, --force sends it; without robots that are known nothing does."""
    file = str(site.policy("brake", '[trigger.brake]\non = "imu"\nwhen = "nosuch < -4.0"\ncooldown = "5s"\n'))
    assert policy(site, "apply", file).exception is None
    first, *_ = sorted(site.robots)
    asyncio.run(record(site, first, "imu", {"ax": {"dtype": "float64"}}))
    refused = policy(site, "apply", file, "--yes")
    assert "errors and is not sent" in str(refused.exception)
    assert "nosuch" in refused.stderr
    assert answer(policy(site, "status", "--json"))["summary"] == {"own": 3}
    assert answer(policy(site, "apply", file, "--robots", f"{first}*", "--force", "--yes", "--json"))["sent"]
