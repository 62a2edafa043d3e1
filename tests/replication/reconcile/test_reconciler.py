"""The reconciler between two real stores: what differs is found and brought, what cannot be is named."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from fleetbox.blobs import BucketSpec, Store
from fleetbox.ledger import MINUTE_US, Page, Standing, Tombstone, write_page
from fleetbox_replication.dead_letters import DeadLetter, DeadLetters, named
from fleetbox_replication.reconcile import Options
from fleetbox_replication.wire import Part, make_part
from tests.conftest import StoreServer
from tests.replication.reconcile.conftest import AT_ONCE, BASE_US, Pair, draft, drafts

Pairs = Callable[[], AbstractAsyncContextManager[Pair]]


def _kept(pair: Pair, some: list) -> dict:  # type: ignore[type-arg]
    return {(item.entry, item.time_us): (item.data, dict(item.labels)) for item in some}


def _parts(some: list) -> list[Part]:  # type: ignore[type-arg]
    return [make_part(item.time_us, len(item.data), item.content_type, item.labels) for item in some]


def _damage(folder: Path, rubbish: bytes | None) -> None:
    """Remove the state's files, or fill them with rubbish."""
    for file in folder.glob("reconcile-*"):
        if rubbish is None:
            file.unlink()
        else:
            file.write_bytes(rubbish)


def test_equal_pages_prove_a_minute_without_a_look(pair: Pairs) -> None:
    """When both ends count the same, the minute is proven and neither end is listed."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(90)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some)
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler()
            await reconciler.step()

            assert list(reconciler.unproven()) == []
            assert [reconciler.is_proven(p.bucket(), "imu", BASE_US + n * MINUTE_US) for n in (0, 1, 2)] == [
                True,
                True,
                False,
            ]
            assert reconciler.report()["brought"] == 0

    asyncio.run(scene())


def test_what_the_pages_lack_is_brought_whole(pair: Pairs) -> None:
    """Selected records of a told minute that are not there are copied with their labels; unselected ones are not."""

    async def scene() -> None:
        async with pair() as p:
            some, unselected = drafts(150), drafts(50, "odom", keep="edge")
            await p.here.write(p.bucket(), some + unselected)
            await p.there.write(p.bucket(), some[:20] + some[40:130])
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler()
            await reconciler.step()

            assert await p.held(p.there) == _kept(p, some)
            assert p.passage.total == 40
            assert list(reconciler.unproven()) == []
            assert await p.standings() == {}

    asyncio.run(scene())


def test_what_the_relay_vouched_for_needs_no_page_of_the_destination(pair: Pairs) -> None:
    """A minute is proven once the relay has vouched for all of its records, each counted once."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(30)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some)
            await p.make_tasks()
            await p.tell(p.here)
            reconciler = p.reconciler(Options(rhythm=replace(AT_ONCE, grace_s=1e9, whole_s=1e9), now_us=p.tick))
            reconciler.vouched(p.bucket(), "imu", _parts(some[:20]))
            reconciler.vouched(p.bucket(), "imu", _parts(some[10:29]))
            p.passage.cuts = 0
            await reconciler._look(p.here)  # what a start alarms is not to be looked at here
            reconciler._tender._checker._hasty.clear()
            reconciler._tender._to_sweep.clear()
            await reconciler.step()
            assert not reconciler.is_proven(p.bucket(), "imu", BASE_US)
            reconciler.vouched(p.bucket(), "imu", _parts(some[29:]))
            await reconciler.step()
            assert reconciler.is_proven(p.bucket(), "imu", BASE_US)

    asyncio.run(scene())


def test_what_the_ring_took_is_lost_and_what_somebody_deleted_is_unexplained(pair: Pairs) -> None:
    """Told records that neither end holds are lost if the source's ring had turned over them, else unexplained."""

    async def scene() -> None:
        async with pair() as p:
            await p.here.write(p.bucket(), drafts(60) + drafts(60, "odom"))
            await p.there.write(p.bucket(), drafts(50) + drafts(50, "odom"))
            await p.make_tasks()
            await p.tell_both()
            for stream in ("imu", "odom"):
                await p.here.delete(p.bucket(), stream, [draft(number).time_us for number in range(52, 60)])
            line = replace((await p._lines(p.here, "sensor", True))[0], stream="imu")  # its ring has turned: partial
            await write_page(p.here, p.bucket("meta"), Page("edge-1", p.robot, p.tick(), (line,)))
            reconciler = p.reconciler()
            await reconciler.step()

            assert await p.standings() == {
                ("imu", BASE_US): Standing("cloud", "sensor", "imu", BASE_US, lost={"evicted before it arrived": 8}),
                ("odom", BASE_US): Standing("cloud", "sensor", "odom", BASE_US, unexplained=8),
            }
            assert len(await p.held(p.there)) == 2 * 52
            assert list(reconciler.unproven()) == []
            assert not reconciler.is_proven(p.bucket(), "imu", BASE_US)

    asyncio.run(scene())


def test_what_the_guard_saved_is_not_lost(pair: Pairs) -> None:
    """Records that are gone from the ring but stand in `kept` are named as saved."""

    async def scene() -> None:
        async with pair() as p:
            await p.here.write(p.bucket(), drafts(60))
            await p.there.write(p.bucket(), drafts(50))
            await p.make_tasks()
            await p.tell_both()
            await p.here.write(p.bucket("kept"), drafts(60)[50:])
            await p.here.delete(p.bucket(), "imu", [draft(number).time_us for number in range(50, 60)])
            reconciler = p.reconciler()
            await reconciler.step()

            standing = (await p.standings())["imu", BASE_US]
            assert (standing.refused, standing.lost, standing.unexplained) == ({"saved in kept": 10}, {}, 0)

    asyncio.run(scene())


def test_wrong_bytes_are_replaced_and_another_record_is_left_alone(pair: Pairs, tmp_path: Path) -> None:
    """The same record with other bytes is deleted and copied; another record at its time becomes a dead letter."""
    letters = DeadLetters(tmp_path / "letters.sqlite")

    async def scene() -> None:
        async with pair() as p:
            some = drafts(10)
            await p.here.write(p.bucket(), some)
            other = replace(draft(7, body="other"), labels={**draft(7, body="other").labels, "session": "s2"})
            await p.there.write(p.bucket(), [*some[:3], draft(3, body="wrong"), *some[4:7], other, *some[8:]])
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler(Options(letters=letters, rhythm=AT_ONCE, now_us=p.tick))
            await reconciler.step()

            wanted = _kept(p, [*some[:7], other, *some[8:]])
            assert await p.held(p.there) == wanted
            assert reconciler.report()["mended"] == 1
            assert [(item.time_us, item.status) for item in letters.open()] == [(some[7].time_us, 409)]
            assert (await p.standings())["imu", BASE_US].refused == {"409 conflict": 1}

            await p.there.delete(p.bucket(), "imu", [other.time_us])
            await reconciler.step()
            assert await p.held(p.there) == _kept(p, some)
            assert letters.open() == []
            assert (await p.standings())["imu", BASE_US] == Standing("cloud", "sensor", "imu", BASE_US)

    asyncio.run(scene())
    letters.close()


def test_what_was_deleted_on_purpose_is_not_brought_back(pair: Pairs) -> None:
    """Records under a tombstone of the destination stay away, and are named."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(30)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some[:5])
            await p.make_tasks()
            await p.tell_both()
            stone = Tombstone("cloud", "sensor", "imu", some[10].time_us, some[20].time_us, "a person")
            await write_page(p.there, p.bucket("meta"), Page("cloud", p.robot, p.tick(), tombstones=(stone,)))
            reconciler = p.reconciler()
            await reconciler.step()

            assert await p.held(p.there) == _kept(p, some[:10] + some[20:])
            assert (await p.standings())["imu", BASE_US].refused == {"deleted there": 10}
            assert list(reconciler.unproven()) == []

    asyncio.run(scene())


def test_beyond_the_horizon_of_a_full_destination_nothing_is_brought(pair: Pairs) -> None:
    """What a full ring at the destination has let go of is named as too old, and not brought again and again."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(20)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some[10:])
            await p.make_tasks()
            await p.tell_both()
            size = sum(info.size_bytes for info in await p.there.entries(p.bucket()))
            await p.there.ensure_bucket(p.bucket(), BucketSpec("FIFO", size))
            reconciler = p.reconciler()
            await reconciler.step()

            assert p.passage.total == 0
            assert (await p.standings())["imu", BASE_US].refused == {"older than the destination keeps": 10}

    asyncio.run(scene())


def test_a_wiped_entry_and_a_bucket_made_anew_are_filled_again(pair: Pairs) -> None:
    """Proven records that vanished from the destination are noticed there and brought again."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(100) + drafts(100, "odom")
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some)
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler()
            await reconciler.step()
            assert list(reconciler.unproven()) == []

            await p.there.delete(p.bucket(), "imu", [item.time_us for item in some[:70]])
            await reconciler.step()
            assert await p.held(p.there) == _kept(p, some)

            await p.there.remove_bucket(p.bucket())
            await p.vanished()
            await reconciler.step()
            assert len(list(reconciler.unproven())) == 4
            await p.there.ensure_bucket(p.bucket(), BucketSpec("NONE", 0))
            await reconciler.step()
            assert await p.held(p.there) == _kept(p, some)

    asyncio.run(scene())


def test_what_was_vouched_for_before_its_bucket_was_deleted_proves_nothing(pair: Pairs) -> None:
    """Records stored, and deleted with their bucket before their minute is told, are not taken for proven."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(30)
            await p.here.write(p.bucket(), some)
            await p.make_tasks()
            reconciler = p.reconciler(Options(rhythm=replace(AT_ONCE, grace_s=1e9, whole_s=1e9), now_us=p.tick))
            await reconciler._look(p.here)  # what a start alarms is not to be looked at here
            reconciler._tender._checker._hasty.clear()
            reconciler._tender._to_sweep.clear()
            reconciler.vouched(p.bucket(), "imu", _parts(some))
            p.passage.refused[p.bucket()] = DeadLetter(p.bucket(), "imu", 0, 404, "no bucket", 1, 0, 0)
            await reconciler.step()
            p.passage.refused.clear()
            await reconciler.step()  # the bucket is back, and looked at as a whole before the minute is told
            reconciler._tender._checker._hasty.clear()
            await p.tell(p.here)
            reconciler._times.hasten("own", p.robot)
            await reconciler.step()
            assert not reconciler.is_proven(p.bucket(), "imu", BASE_US)

    asyncio.run(scene())


def test_a_lost_or_damaged_state_is_built_again(pair: Pairs, tmp_path: Path) -> None:
    """Without its file, or with rubbish in it, the pages of both ends tell everything once more, standings too."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(100)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some[:60])
            await p.make_tasks()
            await p.tell_both()
            await p.here.delete(p.bucket(), "imu", [some[99].time_us])
            first = p.reconciler(state=tmp_path)
            await first.step()
            await first.close()
            said = await p.standings()
            assert said["imu", BASE_US + MINUTE_US].unexplained == 1

            for damage in (None, b"rubbish" * 1000):
                _damage(tmp_path, damage)
                again = p.reconciler(state=tmp_path)
                await again.step()
                assert again.is_proven(p.bucket(), "imu", BASE_US)
                assert await p.standings() == said
                await again.close()

    asyncio.run(scene())


def test_a_state_that_breaks_while_it_is_used_is_built_again(pair: Pairs, tmp_path: Path) -> None:
    """Pages overwritten on disk under a running reconciler cost it its state, not its life."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(2000)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some)
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler(state=tmp_path)
            await reconciler.step()
            reconciler._means.state._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            file = tmp_path / "reconcile-cloud.sqlite"
            _damage(tmp_path, b"\xff" * 100_000)
            for _ in range(3):
                await reconciler._attempt("a step", reconciler.step)
            assert file.read_bytes().startswith(b"SQLite format")
            assert reconciler.is_proven(p.bucket(), "imu", BASE_US)

    asyncio.run(scene())


def test_a_destination_that_holds_more_is_listed_and_proven(pair: Pairs) -> None:
    """Records that came to the destination by another way make the counts differ, not the hop fail."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(30)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), [*some, *(replace(item, time_us=item.time_us + 500_000) for item in some)])
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler()
            await reconciler.step()

            assert reconciler.is_proven(p.bucket(), "imu", BASE_US)
            assert (p.passage.total, await p.standings()) == (0, {})

    asyncio.run(scene())


def test_late_labels_are_brought(pair: Pairs) -> None:
    """A record that is there with older labels gets those the source has, and keeps those it got there."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(20)
            await p.here.write(p.bucket(), some)
            late = {**some[3].labels, "policy": "abc"}
            await p.here.relabel(p.bucket(), {"imu": [some[3].time_us]}, {"policy": "abc"})
            await p.there.write(p.bucket(), some[:19])
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler()
            await reconciler.step()

            assert (await p.held(p.there))["imu", some[3].time_us][1] == late
            assert reconciler.report()["relabelled"] == 1

    asyncio.run(scene())


def test_a_letter_is_told_before_its_minute_is_due(pair: Pairs, tmp_path: Path) -> None:
    """What the destination will never take stands in the ledger with the next try, however long the grace is."""
    letters = DeadLetters(tmp_path / "letters.sqlite")

    async def scene() -> None:
        async with pair() as p:
            some = drafts(20)
            await p.here.write(p.bucket(), some)
            other = replace(draft(7, body="other"), labels={**draft(7, body="other").labels, "session": "s2"})
            await p.there.write(p.bucket(), [*some[:7], other, *some[8:]])
            await p.make_tasks()
            await p.tell_both()
            letters.note_all(named(p.bucket(), "imu", [(some[7].time_us, 409, "no")], p.tick()))
            reconciler = p.reconciler(Options(letters=letters, rhythm=replace(AT_ONCE, grace_s=1e9), now_us=p.tick))
            await reconciler.step()

            assert (await p.standings())["imu", BASE_US].refused == {"409 conflict": 1}
            assert [letter.time_us for letter in letters.open()] == [some[7].time_us]

    asyncio.run(scene())
    letters.close()


def test_dead_letters_are_tried_again_and_settled(pair: Pairs, tmp_path: Path) -> None:
    """Once the destination takes one of a kind the others follow; what its source has no more is lost, by name."""
    letters = DeadLetters(tmp_path / "letters.sqlite")

    async def scene() -> None:
        async with pair() as p:
            some = drafts(20)
            await p.here.write(p.bucket(), some)
            await p.there.write(p.bucket(), some[:10])
            await p.make_tasks()
            await p.tell_both()
            await p.here.delete(p.bucket(), "imu", [some[15].time_us])
            letters.note_all(named(p.bucket(), "imu", [(item.time_us, 422, "no") for item in some[10:]], p.tick()))
            reconciler = p.reconciler(Options(letters=letters, rhythm=replace(AT_ONCE, grace_s=1e9), now_us=p.tick))
            await reconciler.step()

            assert letters.open() == []
            assert len(await p.held(p.there)) == 19
            assert (await p.standings())["imu", BASE_US].unexplained == 1

    asyncio.run(scene())
    letters.close()


def test_a_refused_bucket_is_named_and_left_to_its_task(pair: Pairs) -> None:
    """While the destination refuses a bucket nothing is copied there; afterwards what was said is taken back."""

    async def scene() -> None:
        async with pair() as p:
            some = drafts(20)
            await p.here.write(p.bucket(), some)
            await p.make_tasks()
            await p.tell(p.here)
            reconciler = p.reconciler()
            await reconciler.step()
            await p.remake()
            p.passage.refused[p.bucket()] = DeadLetter(p.bucket(), "imu", 0, 507, "no space", 1, 0, 0)
            await reconciler.step()
            assert (await p.standings())["imu", BASE_US].refused == {"507 disk full": 20}
            assert await p.held(p.there) == {}

            p.passage.refused.clear()
            await p.there.write(p.bucket(), some)
            await p.tell(p.there)
            await reconciler.step()
            assert (await p.standings())["imu", BASE_US] == Standing("cloud", "sensor", "imu", BASE_US)

    asyncio.run(scene())


def test_a_sample_finds_wrong_bytes_under_right_labels(pair: Pairs) -> None:
    """Bytes that do not fit their own hash agree in every count; reading a few finds and replaces them."""

    async def scene() -> None:
        async with pair() as p:
            (good,) = drafts(1)
            await p.here.write(p.bucket(), [good])
            await p.there.write(p.bucket(), [replace(good, data=good.data[::-1])])
            await p.make_tasks()
            await p.tell_both()
            rhythm = replace(AT_ONCE, sample_s=0, payloads=1)
            reconciler = p.reconciler(Options(rhythm=rhythm, now_us=p.tick))
            await reconciler.step()

            assert await p.held(p.there) == _kept(p, [good])
            assert reconciler.report()["not_as_proven"] == 1

    asyncio.run(scene())


def test_pages_and_other_meta_are_brought_too(pair: Pairs) -> None:
    """Pages, which no page counts, are compared one by one; attachments come along."""

    async def scene() -> None:
        async with pair() as p:
            await p.here.write(p.bucket("meta"), drafts(3, "event", keep=""))
            await p.here.write(p.bucket(), drafts(3))
            await p.here.write_attachment(p.bucket(), "imu", "schema", {"type": "time_series"})
            await p.tell(p.here)
            await p.make_tasks(("meta", "sensor"))
            reconciler = p.reconciler()
            await reconciler.step()

            here, there = await p.held(p.here, "meta"), await p.held(p.there, "meta")
            assert {key[0] for key in there} == {"event", "ledger/edge-1"}
            assert there.items() <= here.items()
            assert await p.there.attachments(p.bucket(), "imu") == {"schema": {"type": "time_series"}}

    asyncio.run(scene())


def test_pages_that_were_there_and_are_gone_are_brought_again(pair: Pairs) -> None:
    """Pages long compared come back: after their entry was emptied, and with new ones in a bucket made anew."""

    async def scene() -> None:
        async with pair() as p:
            await p.make_tasks(("meta",))
            reconciler = p.reconciler(Options(rhythm=replace(AT_ONCE, whole_s=1e9), now_us=p.tick))
            for _ in range(5):
                await p.tell(p.here)
                p.now_us += 2 * MINUTE_US
            await reconciler.step()
            await reconciler.step()  # nothing is new: what is gone now is no longer looked for
            pages = await p.held(p.here, "meta")
            assert (await p.held(p.there, "meta")).keys() == pages.keys()
            hop = next(iter(reconciler._hops.values()))

            for lost in (sorted(pages)[:3], sorted(pages)):
                await p.there.delete(p.bucket("meta"), lost[0][0], [time_us for _, time_us in lost])
                reconciler._times.hasten("whole", hop.spec.name)
                await reconciler.step()
                assert (await p.held(p.there, "meta")).keys() == pages.keys()

            await p.there.remove_bucket(p.bucket("meta"))
            await p.vanished("meta")
            await p.there.ensure_bucket(p.bucket("meta"), BucketSpec("NONE", 0))
            await p.tell(p.here)
            newest = max(await p.held(p.here, "meta"))
            p.now_us += 2 * MINUTE_US
            await reconciler.step()
            there = await p.held(p.there, "meta")
            assert newest in there
            assert min(pages) not in there
            reconciler._times.hasten("whole", hop.spec.name)
            await reconciler.step()
            assert (await p.held(p.there, "meta")).keys() == {*pages, newest}

    asyncio.run(scene())


def test_a_destination_started_anew_on_an_empty_disk_is_filled_again(
    pair: Pairs, new_store_server: Callable[[], StoreServer]
) -> None:
    """Nothing old is left either: minutes proven long ago are opened again and brought, without waiting for a look."""

    async def scene() -> None:
        async with pair() as p:
            server = new_store_server()
            p.far, shared = server, p.there
            async with Store(server.url, server.token) as p.there:
                await p.provision()
                some = drafts(100)
                await p.here.write(p.bucket(), some)
                await p.there.write(p.bucket(), some)
                await p.make_tasks()
                await p.tell_both()
                calm, later = replace(AT_ONCE, start_s=0, whole_s=1e9), [0.0]
                clock = Options(rhythm=calm, now_us=p.tick, monotonic_s=lambda: time.monotonic() + later[0])
                reconciler = p.reconciler(clock)
                reconciler._means.make_there = lambda: Store(server.url, server.token)
                await reconciler.step()
                assert reconciler.is_proven(p.bucket(), "imu", BASE_US)
                p.now_us += 60 * MINUTE_US  # too old to be doubted as what was taken lately

                later[0] = 60.0  # as if it had run for a minute: a start soon after another is not told at one look
                server.kill()
                shutil.rmtree(server.data_dir)
                server.start()
                await p.provision()
                await reconciler.step()
                assert await p.held(p.there) == _kept(p, some)
            p.there = shared

    asyncio.run(scene())


def test_trouble_with_one_task_holds_up_no_other(pair: Pairs) -> None:
    """A task whose bucket is gone from its source does not keep the next one from being reconciled."""

    async def scene() -> None:
        async with pair() as p:
            await p.here.write(p.bucket(), drafts(5))
            await p.make_tasks(("log", "sensor"))
            await p.here.remove_bucket(p.bucket("log"))
            await p.tell_sensor_only()
            reconciler = p.reconciler()
            await reconciler.step()
            assert len(await p.held(p.there)) == 5

    async def tell_sensor_only(self: Pair) -> None:
        lines = await self._lines(self.here, "sensor", False)
        await write_page(self.here, self.bucket("meta"), Page("edge-1", self.robot, self.tick(), tuple(lines)))

    Pair.tell_sensor_only = tell_sensor_only  # type: ignore[attr-defined]
    asyncio.run(scene())


def test_a_destination_that_is_away_is_waited_for(pair: Pairs) -> None:
    """While nothing answers, minutes stay open and are told as waiting; once it answers, they are brought."""

    async def scene() -> None:
        async with pair() as p:
            await p.here.write(p.bucket(), drafts(5))
            await p.make_tasks()
            await p.tell(p.here)
            reconciler = p.reconciler(Options(rhythm=replace(AT_ONCE, waiting_s=-1), now_us=p.tick))
            reconciler._means.make_there = lambda: Store("http://127.0.0.1:9", "x", timeout_s=1)
            await reconciler.step()
            assert [minute.told.records for minute in reconciler.unproven()] == [5]
            assert (await p.standings())["imu", BASE_US].waiting == 5

            reconciler._means.make_there = lambda: Store(p.far.url, p.far.token)
            await reconciler._means.let_go()
            await reconciler.step()
            assert len(await p.held(p.there)) == 5
            assert (await p.standings())["imu", BASE_US].waiting == 0

    asyncio.run(scene())
