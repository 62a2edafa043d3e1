"""Carry a robot's records on a stick into its site: whole, once, also when the stick is pulled out in the middle."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fleetbox.blobs import Store
from fleetbox.carried import read_carried
from fleetbox.cli.root import root
from fleetbox.errors import InputError
from fleetbox.ledger import count_of, minute_of
from fleetbox.naming import CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.selectors import Selector
from fleetbox_edge.carrying.bringing_in import site_of
from fleetbox_edge.carrying.carry import Brought, carry, look
from fleetbox_edge.carrying.choosing import ORDER
from fleetbox_edge.carrying.landing import Landed, folders_on, land
from fleetbox_edge.carrying.stick import MANIFEST, StickGone, whole_parts
from fleetbox_replication.audit import audit
from fleetbox_replication.audit.telling import summary
from fleetbox_replication.reconcile.minute import PROVEN, Minute
from fleetbox_replication.reconcile.state import State
from tests.edge_node.carrying.conftest import ROBOT, SECOND, Pair
from tests.edge_node.disks import small_disk

COUNT = 20 + 200 + 5 + 3 + 4  # what Pair.fill selects, `meta` and `kept` with it


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A folder where a stick would be mounted."""
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def bring(pair: Pair, folder: Path) -> Brought:
    """Carry what there is."""
    return carry(look(pair.fleet, folder))


def bring_in(pair: Pair, folder: Path) -> Landed:
    """Ingest the stick at the robot's site."""
    (there,) = folders_on(folder)
    return asyncio.run(land(there, pair.fleet, site_of(pair.fleet, ROBOT, None)))


def by_hand(pair: Pair) -> int:
    """Return how many records the site's notes count as brought by hand."""

    async def read() -> int:
        async with Store(pair.site.url, pair.site.token) as store:
            return sum(sum(note.records.values()) for note in await read_carried(store, f"{ROBOT}--meta"))

    return asyncio.run(read())


def test_all_that_was_selected_arrives_as_it_was(pair: Pair, stick: Path) -> None:
    """Stamps, labels and bytes of every selected record are at the site; what nobody selected is not."""
    pair.fill()
    done = bring(pair, stick)
    assert (done.records, done.full, done.gone) == (COUNT, False, 0)
    landed = bring_in(pair, stick)
    assert (landed.records, landed.written, landed.already, landed.complete) == (COUNT, COUNT, 0, True)
    assert pair.landed() == pair.selected()
    assert by_hand(pair) == COUNT


def test_the_same_stick_twice_is_stored_once(pair: Pair, stick: Path) -> None:
    """A second ingest finds all there: nothing is written, nothing is counted a second time."""
    pair.fill()
    bring(pair, stick)
    bring_in(pair, stick)
    before = pair.landed()
    again = bring_in(pair, stick)
    assert (again.written, again.already, again.complete) == (0, COUNT, True)
    assert pair.landed() == before
    assert by_hand(pair) == COUNT


def test_the_audit_says_what_came_by_hand(pair: Pair, stick: Path) -> None:
    """Before the stick all waits at the robot; after it all has arrived by hand, and the site alone says so too."""
    pair.fill()

    def books(site: str | None = None) -> tuple[int, int, int, str]:
        now_us = pair.moment_us + 600 * SECOND
        found = asyncio.run(audit(pair.fleet, Selector.parse(ROBOT), pair.moment_us, now_us, now_us, site=site))
        (hop,) = found.hops(ROBOT)
        return hop.waiting, hop.arrived, hop.by_hand, summary(found, ROBOT)

    assert books()[:3] == (COUNT, 0, 0)
    bring(pair, stick)
    bring_in(pair, stick)
    for site in (None, "edge-1"):
        waiting, arrived, brought, text = books(site)
        assert (waiting, arrived, brought) == (0, COUNT, COUNT)
        assert f"{COUNT} arrived at edge-1 ({COUNT} by hand)" in text


def test_a_minute_that_is_proven_stays_at_home(pair: Pair, stick: Path) -> None:
    """What the reconciler knows to be at the site is not carried, unless more of that minute was selected since."""
    pair.fill()
    heads = [record for record in pair.at_robot("sensor") if "keep" in record.labels]
    minute_us = minute_of(heads[0].time_us)
    told = count_of(head for head in heads if minute_of(head.time_us) == minute_us)
    state = State(pair.folder / "state" / "reconcile-edge-1.sqlite")
    state.put(Minute(ROBOT, "sensor", "imu", minute_us, PROVEN, 1, told, told))
    wanted = look(pair.fleet, stick).wanted
    assert (wanted.proven, wanted.records) == (told.records, COUNT - told.records)
    pair.record("sensor", "imu", 1, at_us=minute_us + 59_900_000, keep="1")
    assert look(pair.fleet, stick).wanted.records == COUNT + 1
    state.close()


def test_what_came_over_the_air_is_not_counted_by_hand(pair: Pair, stick: Path) -> None:
    """Records that the site held before the stick came are there already, and no note counts them."""
    pair.fill()
    sent = [record for record in pair.at_robot("sensor") if "keep" in record.labels][:150]

    async def send() -> None:
        async with Store(pair.site.url, pair.site.token) as store:
            await store.ensure_bucket(f"{ROBOT}--sensor", bucket_spec("sensor"))
            drafts = [Draft(one.entry, one.time_us, one.data, one.labels, one.content_type) for one in sent]
            await store.write(f"{ROBOT}--sensor", drafts)

    asyncio.run(send())
    bring(pair, stick)
    landed = bring_in(pair, stick)
    assert (landed.written, landed.already) == (COUNT - 150, 150)
    assert by_hand(pair) == COUNT - 150
    assert pair.landed() == pair.selected()


def test_a_second_carry_goes_on(pair: Pair, stick: Path) -> None:
    """The same stick again takes only what is new, beside what it holds; without news it is only sealed anew."""
    pair.fill()
    bring(pair, stick)
    pair.record("sensor", "imu", 50, at_us=pair.moment_us + 300 * SECOND, keep="1")
    assert bring(pair, stick).records == 50
    assert bring(pair, stick).records == 0
    assert bring_in(pair, stick).written == COUNT + 50
    assert pair.landed() == pair.selected()


def test_a_stick_pulled_out_in_the_middle(pair: Pair, tmp_path: Path) -> None:
    """The carry ends with what to do; whole parts are usable, the rest is carried by running it again."""
    pair.fill()
    with small_disk(tmp_path / "usb", 40_000_000) as disk:
        bringing = look(pair.fleet, disk.folder)
        bringing.stick._part_bytes = 100_000
        saved = tmp_path / "saved"

        def pull_out(done: float) -> None:
            if done > 250_000 and not saved.exists():
                subprocess.run(["cp", "-r", str(disk.folder), str(saved)], check=True)  # what is on the stick now
                subprocess.run(["umount", "-l", str(disk.folder)], check=True)

        with pytest.raises(StickGone, match=r"another disk is mounted there now; [1-9] whole parts are usable") as told:
            carry(bringing, pull_out)
        assert "goes on from there" in str(told.value)
        assert not any(disk.folder.iterdir())  # nothing fell onto the disk below
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk.folder)], check=True)
    landed = bring_in(pair, saved)
    assert landed.unfinished
    assert not landed.complete
    assert 0 < landed.written < COUNT
    assert landed.failed_count == 0
    bring(pair, saved)
    assert bring_in(pair, saved).complete
    assert pair.landed() == pair.selected()
    assert by_hand(pair) == COUNT


def test_a_full_stick_is_filled_and_usable(pair: Pair, tmp_path: Path) -> None:
    """What fits is carried, small and telling classes first, and a second stick takes the rest."""
    pair.fill()
    pair.record("media", "cam/rear", 40, 100_000, keep="1")
    with small_disk(tmp_path / "usb", 5_000_000) as disk:
        done = bring(pair, disk.folder)
        assert done.full
        landed = bring_in(pair, disk.folder)
    classes = Counter(key[0] for key in pair.landed())
    assert landed.complete  # the stick is whole: it only does not hold everything
    assert (classes["sensor"], classes["log"], classes["meta"], classes["kept"]) == (200, 5, 3, 4)
    assert 0 < classes["media"] < 60
    other = tmp_path / "other"
    other.mkdir()
    bring(pair, other)
    bring_in(pair, other)
    assert pair.landed() == pair.selected()


def test_what_is_spoilt_on_the_stick_is_named(pair: Pair, stick: Path) -> None:
    """One flipped bit costs one record, and is told with the part and what to do; a cut part costs its tail."""
    pair.fill()
    bring(pair, stick)
    (part,) = whole_parts(stick / "fleetbox" / ROBOT)
    whole = part.read_bytes()
    data = bytearray(whole)
    data[data.index(b"cam/front 7 ") + 5_000] ^= 1
    part.write_bytes(data)
    landed = bring_in(pair, stick)
    assert (landed.written, len(landed.torn), landed.complete) == (COUNT - 1, 1, False)
    part.write_bytes(whole[: len(whole) // 2])
    torn = bring_in(pair, stick)
    assert (len(torn.torn), torn.complete) == (1, False)
    part.unlink()
    bring(pair, stick)
    assert bring_in(pair, stick).complete
    assert pair.landed() == pair.selected()


def test_a_torn_part_is_set_aside_once_others_stand_in_for_it(pair: Pair, stick: Path) -> None:
    """A carry that goes on brings its records again, and `ingest` has nothing left to complain of; so a second time."""
    pair.fill()
    for number in (1, 2):
        bring(pair, stick)
        (part,) = whole_parts(stick / "fleetbox" / ROBOT)
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
        done = fleetbox(pair, "carry", str(stick), "--yes", "--json")
        carried = json.loads(done.stdout)["carried"]
        assert (carried["records"], carried["set_aside"]) == (COUNT, [f"part-00000{number}.torn"]), done.stderr
        assert "set aside" in done.stderr
    assert fleetbox(pair, "ingest", str(stick)).return_value == 0
    assert pair.landed() == pair.selected()


def test_a_torn_part_with_what_no_other_has_stays(pair: Pair, stick: Path) -> None:
    """The ring took its records since: what can be read of it is still brought in, and told to be torn."""
    pair.fill()
    bring(pair, stick)
    (part,) = whole_parts(stick / "fleetbox" / ROBOT)
    part.write_bytes(part.read_bytes()[:-20])

    async def forget() -> None:
        async with Store(pair.robot.url, pair.robot.token) as store:
            await store.remove_bucket("media")

    asyncio.run(forget())
    assert bring(pair, stick).aside == []
    landed = bring_in(pair, stick)
    assert (len(landed.torn), landed.complete) == (1, False)
    assert Counter(key[0] for key in pair.landed())["media"] == 20


def test_a_folder_that_is_not_there_is_refused(pair: Pair, tmp_path: Path) -> None:
    """A stick that is not plugged in is not written to the disk below, and one without records is no stick."""
    with pytest.raises(InputError, match="is no folder"):
        look(pair.fleet, tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no records"):
        folders_on(tmp_path)


def test_every_class_is_carried() -> None:
    """No class is forgotten: what is new in the language is new on the stick."""
    assert sorted(ORDER) == sorted(CLASSES)


def fleetbox(pair: Pair, *words: str) -> Result:
    """Run the command line with this fleet."""
    return CliRunner().invoke(root, [*words, "--fleet", str(pair.folder / "fleet.toml")], standalone_mode=False)


def test_the_verbs(pair: Pair, stick: Path) -> None:
    """`carry DIR` shows what it would do, with --yes does it; `ingest DIR` brings it in; a torn stick exits 3."""
    pair.fill()
    asked = fleetbox(pair, "carry", str(stick), "--json")
    assert (asked.return_value, json.loads(asked.stdout)["carried"]) == (0, None)
    assert not whole_parts(stick / "fleetbox" / ROBOT)
    done = fleetbox(pair, "carry", str(stick), "--yes", "--json")
    assert (done.return_value, json.loads(done.stdout)["carried"]["records"]) == (0, COUNT), done.stderr
    landed = fleetbox(pair, "ingest", str(stick), "--json")
    assert (landed.return_value, json.loads(landed.stdout)["sticks"][0]["written"]) == (0, COUNT), landed.stderr
    (stick / "fleetbox" / ROBOT / MANIFEST).unlink()
    torn = fleetbox(pair, "ingest", str(stick))
    assert torn.return_value == 3
    assert "the carry was not finished" in torn.stderr
