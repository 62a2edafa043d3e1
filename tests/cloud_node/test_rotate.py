"""Rotating tokens on real stores: while records flow, stopped at every step, and where a file is out of reach."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import xxhash
from click.testing import CliRunner
from conftest import StoreServer

from fleetbox.blobs import Store, TokenSpec
from fleetbox.errors import AccessDenied, FleetboxError, Incomplete, InputError
from fleetbox.naming import CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import FleetSettings, load_fleet, load_robot
from fleetbox_cloud import rotate, tokens
from fleetbox_cloud.cli import tokens as verbs
from fleetbox_cloud.provision_site import provision_site
from fleetbox_cloud.token_desk import rotate_token
from fleetbox_local.processes import free_port
from fleetbox_replication.apply import apply_place
from fleetbox_replication.plan import plan
from fleetbox_replication.relay import Relay
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.tasks import wanted_tasks

ROTATIONS = 5


class Rig:
    """An edge site with robot r1, whose files lie beside fleet.toml, and a cloud the site passes on to."""

    def __init__(self, folder: Path, edge: Any, own: Any, cloud: Any) -> None:
        self.folder, self.edge, self.own, self.cloud = folder, edge, own, cloud
        self.relay: Relay | None = None
        self.relay_url = f"http://127.0.0.1:{free_port()}"
        (folder / "r1").mkdir()
        for name, server in (("edge", edge), ("own", own), ("cloud", cloud)):
            (folder / f"{name}.token").write_text(server.token)
        (folder / "fleet.toml").write_text(
            '[[robots]]\nmatch = "r1"\nsite = "edge"\n[[robots]]\nmatch = "wh-*"\nsite = "edge"\n'
            f'[site.edge]\nstore = "{edge.url}"\ntoken = {{ file = "edge.token" }}\nnext = "cloud"\n'
            f'next_token = {{ file = "state/cloud/tokens/edge.token" }}\nrelay = "{self.relay_url}"\n'
            f'[site.cloud]\nstore = "{cloud.url}"\ntoken = {{ file = "cloud.token" }}\n'
        )
        (folder / "r1" / "robot.toml").write_text(
            f'robot = "r1"\nstore = "{own.url}"\nstore_token = {{ file = "../own.token" }}\n'
            f'site = "{edge.url}"\nsite_name = "edge"\nsite_token = {{ file = "site.token" }}\n'
            f'relay = "{self.relay_url}"\n'
        )

    @property
    def fleet(self) -> FleetSettings:
        """Return what fleet.toml says."""
        return load_fleet(self.folder / "fleet.toml")

    @property
    def file(self) -> Path:
        """Return where r1 reads its token."""
        return self.folder / "r1" / "site.token"

    async def provision(self) -> None:
        """Make the site's buckets and tokens and give r1 its own."""
        await provision_site(self.fleet, self.fleet.site_place("edge"))
        self.file.write_text((self.folder / "state" / "edge" / "tokens" / "r1.token").read_text())

    async def rotate(self, robot: str | None = "r1", site: str | None = None) -> dict[str, Any]:
        """Rotate as the verb does."""
        return await rotate_token(self.fleet, robot, site, None)

    async def tokens(self, server: Any = None) -> list[str]:
        """Return the names of the tokens that a store has besides its own."""
        server = server or self.edge
        async with Store(server.url, server.token) as store:
            return [name for name in await store.tokens() if name != "init-token"]

    async def opens(self, value: str, server: Any = None) -> str | None:
        """Return the name of the token that a value is, or None when it is turned away."""
        async with Store((server or self.edge).url, value) as store:
            try:
                return (await store.whoami()).name
            except AccessDenied:
                return None

    @asynccontextmanager
    async def shipping(self) -> AsyncIterator[Store]:
        """Ship what r1's store selects through its relay inside the block; yields that store."""
        settings = load_robot(self.folder / "r1" / "robot.toml")
        site = settings.site_place()
        assert site is not None
        secret = relay_secret(self.own.token)
        relay = self.relay = Relay(self.relay_url, site.url, site.current_token, secret)
        await relay.start()
        try:
            async with Store(self.own.url, self.own.token) as store:
                for cls in CLASSES:
                    await store.ensure_bucket(cls, bucket_spec(cls, 10**9))
                wanted = wanted_tasks(settings.place(), ["r1"], settings.policy.hop_rule("edge"), secret)
                await apply_place(store, settings.place(), plan("r1", wanted, await store.tasks()))
                yield store
        finally:
            await relay.stop()


@pytest.fixture
def rig(tmp_path: Path, new_store_server: Callable[..., StoreServer]) -> Rig:
    """A fleet of three stores."""
    return Rig(tmp_path, *(new_store_server(RS_REPLICATION_TIMEOUT=pause_s) for pause_s in ("1", "5", "1")))


def draft(number: int) -> Draft:
    """Make a record that ships."""
    data = str(number).encode()
    labels = {"keep": "1", "policy": "0" * 8, "seq": str(number), "xxh": xxhash.xxh3_64_hexdigest(data)}
    return Draft(f"log/{number % 5}", time.time_ns() // 1000, data, labels, "text/plain")


def test_nothing_is_lost_and_nothing_waits(rig: Rig) -> None:
    """Rotated five times while records flow: each arrives, the engine waits for none, and every old token is dead."""

    async def main() -> None:
        await rig.provision()
        values = [rig.file.read_text()]
        written: set[tuple[str, int]] = set()
        seen: set[tuple[str, int]] = set()
        stop, began_us = asyncio.Event(), time.time_ns() // 1000

        async def write(store: Store) -> None:
            while not stop.is_set():
                one = draft(len(written))
                report = await store.write("log", [one])
                assert report.written == 1
                written.add((one.entry, one.time_us))
                await asyncio.sleep(0.01)

        async def watch() -> None:
            async with Store(rig.edge.url, rig.edge.token) as there:
                async with asyncio.timeout(120):
                    while not stop.is_set() or len(seen) < len(written):
                        oldest_us = min((time_us for _, time_us in written - seen), default=began_us)
                        async for head in there.query("r1--log", start_us=oldest_us, head=True):
                            seen.add((head.entry, head.time_us))
                        await asyncio.sleep(0.05)

        async with rig.shipping() as store:
            writing, watching = asyncio.create_task(write(store)), asyncio.create_task(watch())
            for _ in range(ROTATIONS):
                target = len(seen) + 20
                async with asyncio.timeout(60):
                    while len(seen) < target:  # noqa: ASYNC110 - what happens in servers sets no event here
                        await asyncio.sleep(0.02)
                done = await rig.rotate()
                assert done["relay"] == "passes records on with the new token"
                values.append(rig.file.read_text())
            stop.set()
            await writing
            await watching
            assert rig.relay is not None
            passed = rig.relay.counters()
        assert seen == written
        refused = {what: passed[what] for what in ("kept", "denied", "cuts")}
        assert refused == {"kept": 0, "denied": 0, "cuts": 0}, "the engine waits 5 s and more after a refusal"
        assert len(set(values)) == ROTATIONS + 1
        assert [await rig.opens(value) for value in values[:-1]] == [None] * ROTATIONS
        assert await rig.opens(values[-1]) in ("r1", "r1--2")
        assert await rig.tokens() == [await rig.opens(values[-1])]

    asyncio.run(main())


class Killed(BaseException):
    """End a rotation as a kill would: nothing after it runs."""


@pytest.mark.parametrize("step", ["save", "hand over", "wait", "remove", "look", "tidy"])
def test_killed_at_any_step_it_is_finished_by_the_next(rig: Rig, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before each step, the robot has a token that opens; run again there is one token, and it has it."""
    owner, name = {
        "save": (rotate, "save_token"),
        "hand over": (rotate, "hand_over"),
        "wait": (rotate.RelayLine, "wait_for"),
        "remove": (Store, "remove_token"),
        "look": (rotate.RelayLine, "wait_through"),
        "tidy": (Path, "unlink"),
    }[step]

    def killed(*_: object, **__: object) -> None:
        raise Killed

    async def main() -> None:
        await rig.provision()
        old = rig.file.read_text()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, killed)
            with pytest.raises(Killed):
                await rig.rotate()
        assert await rig.opens(rig.file.read_text()) is not None
        done = await rig.rotate()
        now = rig.file.read_text()
        assert now != old
        assert await rig.opens(old) is None
        assert await rig.tokens() == [await rig.opens(now)] == [done["token"]]
        assert not list((rig.folder / "state" / "edge" / "tokens").glob("*.next.token"))
        assert (rig.folder / "state" / "edge" / "tokens" / "r1.token").read_text() == now
        assert (await provision_site(rig.fleet, rig.fleet.site_place("edge")))["changes"] == []

    asyncio.run(main())


def test_a_robot_out_of_reach_is_finished_by_hand(rig: Rig) -> None:
    """Without the robot's file the new token waits in one here, the old one stays, and a second command ends it."""
    asyncio.run(rig.provision())
    (rig.folder / "r1" / "robot.toml").rename(rig.folder / "elsewhere.toml")
    argv = ["rotate", "--robot", "r1", "--fleet", str(rig.folder / "fleet.toml")]
    early = CliRunner().invoke(verbs, [*argv, "--finish", "--yes"])
    assert isinstance(early.exception, InputError)
    first = CliRunner().invoke(verbs, [*argv, "--json"])
    found = json.loads(first.stdout)
    waits = Path(found["file"])
    assert waits.stat().st_mode & 0o777 == 0o600
    assert found["revoked"] == []
    assert "--finish" in found["next_step"]
    assert asyncio.run(rig.opens(rig.file.read_text())) == "r1"
    again = json.loads(CliRunner().invoke(verbs, [*argv, "--json"]).stdout)
    assert again["token"] == found["token"], "asked again, it goes on with the token that waits"
    preview = CliRunner().invoke(verbs, [*argv, "--finish"])
    assert "r1--2" in preview.stdout
    assert asyncio.run(rig.tokens()) == ["r1", "r1--2"]
    old = rig.file.read_text()
    rig.file.write_text(waits.read_text())
    done = json.loads(CliRunner().invoke(verbs, [*argv, "--finish", "--yes", "--json"]).stdout)
    assert done["revoked"] == ["r1"]
    assert asyncio.run(rig.opens(old)) is None
    assert asyncio.run(rig.opens(rig.file.read_text())) == "r1--2"
    assert not waits.exists()


def test_a_sites_own_token_is_rotated_too(rig: Rig) -> None:
    """The token that the edge uses at the cloud is replaced where the edge reads it, with the same rights."""

    async def main() -> None:
        await provision_site(rig.fleet, rig.fleet.site_place("cloud"))
        file = rig.folder / "state" / "cloud" / "tokens" / "edge.token"
        old = file.read_text()
        done = await rig.rotate(None, "edge")
        assert done["relay"].startswith("does not run")
        assert await rig.opens(old, rig.cloud) is None
        assert await rig.opens(file.read_text(), rig.cloud) == "edge--2"
        assert await rig.tokens(rig.cloud) == ["edge--2"]
        async with Store(rig.cloud.url, file.read_text()) as store:
            assert await store.whoami() == TokenSpec("edge--2", ("r1--*",), ("r1--*",))
        assert (await provision_site(rig.fleet, rig.fleet.site_place("cloud")))["changes"] == []
        await rig.rotate(None, "edge")
        assert await rig.tokens(rig.cloud) == ["edge"]

    asyncio.run(main())


def test_a_file_that_cannot_be_written_keeps_the_old_token(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the robot's file cannot be replaced the old token stays in it and stays valid, and the answer says so."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    async def main() -> None:
        await rig.provision()
        old = rig.file.read_text()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "chmod", refuse)
            with pytest.raises(FleetboxError, match="the old one stays valid"):
                await rig.rotate()
        assert rig.file.read_text() == old
        assert await rig.opens(old) == "r1"
        assert [path.name for path in rig.file.parent.iterdir() if path.name.startswith(".")] == []

    asyncio.run(main())


def test_a_relay_that_keeps_the_old_token_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the relay does not get through afterwards, the answer names it: records wait, and why."""
    monkeypatch.setattr("fleetbox_cloud.relay_line.TAKES_S", 0.5)

    async def main() -> None:
        await rig.provision()
        value = rig.file.read_text()
        relay = Relay(rig.relay_url, rig.edge.url, lambda: value, relay_secret(rig.own.token))
        await relay.start()
        try:
            with pytest.raises(Incomplete, match=r"still uses|does not get through"):
                await rig.rotate()
        finally:
            await relay.stop()
        assert await rig.opens(rig.file.read_text()) == "r1--2"

    asyncio.run(main())


def test_tokens_are_listed_added_and_revoked(rig: Rig) -> None:
    """A person's token reads what it is given, the list names every token's holder, and nothing ends without --yes."""
    asyncio.run(rig.provision())
    fleet = ["--fleet", str(rig.folder / "fleet.toml"), "--site", "edge"]
    run = CliRunner()
    added = json.loads(run.invoke(verbs, ["add", "anna", "--robot", "r1", *fleet, "--json"]).stdout)
    value = Path(added["file"]).read_text()
    assert added["may"] == "read r1--*"
    assert asyncio.run(rig.opens(value)) == "anna"
    rows = json.loads(run.invoke(verbs, ["ls", *fleet, "--json"]).stdout)["tokens"]
    holders = {row["token"]: (row["holder"], row["may"]) for row in rows}
    assert holders["r1"] == ("r1", "read and write r1--*")
    assert holders["anna"] == (None, "read r1--*")
    assert holders["init-token"] == (None, "everything")
    assert "anna" in run.invoke(verbs, ["ls", *fleet]).stdout
    assert isinstance(run.invoke(verbs, ["add", "r1", "--robot", "r1", *fleet]).exception, InputError)
    assert isinstance(run.invoke(verbs, ["add", "anna", "--robot", "r1", *fleet]).exception, InputError)
    preview = run.invoke(verbs, ["revoke", "r1", *fleet])
    assert "no other token" in preview.stderr
    assert asyncio.run(rig.opens(rig.file.read_text())) == "r1"
    run.invoke(verbs, ["revoke", "anna", "--yes", *fleet])
    assert asyncio.run(rig.opens(value)) is None
    assert isinstance(run.invoke(verbs, ["revoke", "init-token", "--yes", *fleet]).exception, InputError)


def test_names_take_turns() -> None:
    """A holder's tokens are told by name, and the next one takes the first name that is free."""
    assert tokens.next_name("r1", []) == "r1"
    assert tokens.next_name("r1", ["r1", "r2"]) == "r1--2"
    assert tokens.next_name("r1", ["r1--2"]) == "r1"
    assert tokens.next_name("r1", ["r1", "r1--2"]) == "r1--3"
    assert tokens.tokens_of("r1", ["r1", "r1--2", "r1-2", "r10", "x--2"]) == ["r1", "r1--2"]
