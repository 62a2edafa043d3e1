"""What `doctor` says of the policy a robot follows: by its own word, wherever that can be read."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.naming import desk_bucket, site_bucket
from fleetbox.orders import Answer, Order, State, write_answer, write_order
from fleetbox.policies import Followed, write_policy
from fleetbox.settings import find_fleet, load_fleet, parse_policy
from fleetbox.signing import Envelope
from fleetbox_edge.policy_check import Known, judge, policy
from tests.conftest import StoreServer

from .conftest import Robot

T = 1_763_700_000_000_000
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
TEXT = "version = 12\n"
SENT = Followed(
    "r7", parse_policy(TEXT).hash, TEXT, T - 2 * DAY_US, "o-1", Envelope(TEXT, ("r7",), T - 2 * DAY_US, T + 9 * DAY_US)
)
NAMED = f"policy 12 ({SENT.hash[:4]}), applied 2.0 d ago"


def answer(state: State, ago_us: int = HOUR_US, order: str = "o-2") -> Answer:
    """Return an answer about a policy."""
    return Answer(order, "r7", "policy", state, T - ago_us, "because")


APPLIED = answer("applied", 2 * DAY_US, "o-1")
LATER = Order("o-2", "r7", "policy", {}, "ada", T - HOUR_US)


@pytest.mark.parametrize(
    ("known", "verdict", "text"),
    [
        (Known(SENT, (APPLIED,)), "PASS", f"{NAMED}, current"),
        (Known(replace(SENT, envelope=None, order="")), "PASS", "robot.toml's own for"),
        (Known(SENT, (APPLIED, answer("refused"))), "WARN", "the one sent last was refused: because"),
        (Known(SENT, (APPLIED, answer("rolled back"))), "WARN", "was rolled back: because"),
        (Known(SENT, (APPLIED, answer("failed"))), "WARN", "the one sent last could not be applied: because"),
        (Known(SENT, (APPLIED, answer("expired"))), "WARN", "the one sent last has expired: because"),
        (Known(SENT, (answer("refused"), answer("applied", 1, "o-3"))), "PASS", "current"),
        (Known(SENT, (APPLIED, answer("muted", order=""))), "WARN", "its triggers are muted: because"),
        (Known(SENT, (APPLIED, answer("muted", 9, ""), answer("unmuted", 8, ""))), "PASS", "current"),
        (Known(SENT, (APPLIED,), (LATER,)), "WARN", "a newer one has waited for"),
        (Known(SENT, (APPLIED,), (replace(LATER, issued_us=T - 1),)), "PASS", "current"),
        (Known(SENT, (APPLIED,), (replace(LATER, expires_us=T - HOUR_US // 2),)), "PASS", "current"),
        (Known(replace(SENT, envelope=Envelope(TEXT, ("r7",), T, T + HOUR_US))), "WARN", "ends in"),
        (Known(replace(SENT, text="[future]\n")), "PASS", "a policy this version does not understand"),
    ],
)
def test_a_policy_is_judged_by_what_the_robot_said(known: Known, verdict: str, text: str) -> None:
    """Refused, rolled back, muted, pending and ending policies are told apart from one that is as it should be."""
    check = judge(known, T)
    assert check.verdict == verdict
    assert text in check.text
    assert (check.next_step is None) == (verdict == "PASS")


def test_a_robot_out_of_reach_is_judged_at_its_site(robot: Robot, store_server: StoreServer) -> None:
    """Its site has the robot's last word, and knows what it has not fetched yet."""
    (robot.folder / "site").write_text(store_server.token)
    robot.write(f'site = "{store_server.url}"\nsite_name = "edge"\nsite_token = {{ file = "site" }}')
    text = robot.file.read_text().replace(robot.url, "http://127.0.0.1:9")
    robot.file.write_text(text)
    own = replace(SENT, robot=robot.id)

    async def say() -> None:
        async with Store(store_server.url, store_server.token) as store:
            meta = site_bucket(robot.id, "meta")
            for bucket in (meta, desk_bucket(robot.id)):
                await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
            await write_policy(store, meta, own)
            await write_answer(store, meta, replace(APPLIED, robot=robot.id))
            await write_order(store, replace(LATER, robot=robot.id, id="o-1"), "ada")

    def found() -> str:
        (check,) = asyncio.run(policy(find_fleet(robot.file), robot.id, lambda: T))
        return check.text

    assert asyncio.run(policy(find_fleet(robot.file), robot.id, lambda: T)) == []
    asyncio.run(say())
    assert found() == f"{NAMED}, current"

    async def order() -> None:
        async with Store(store_server.url, store_server.token) as store:
            await write_order(store, replace(LATER, robot=robot.id), "ada")

    asyncio.run(order())
    assert "a newer one has waited for 60 min" in found()


def test_a_policy_file_that_nobody_applied_is_told(tmp_path: Path) -> None:
    """Edited since the policy in force it is named with the step; the same text, or an older one, is not."""
    (tmp_path / "fleet.toml").write_text('policy = "policy.toml"\n')
    file = tmp_path / "policy.toml"

    def said(text: str, edited_us: int) -> tuple[str, str | None]:
        file.write_text(text)
        os.utime(file, ns=(edited_us * 1000, edited_us * 1000))
        check = judge(Known(SENT, (APPLIED,)), T, load_fleet(tmp_path / "fleet.toml"))
        return check.verdict, check.next_step

    assert said(TEXT, T) == ("PASS", None)
    assert said("version = 13\n", SENT.time_us - 1) == ("PASS", None)
    assert said("version = 13\n", SENT.time_us + 1) == ("WARN", f"fleetbox policy apply {file}")
