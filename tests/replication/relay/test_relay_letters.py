"""Dead letters: what is a record's own fault is let through by name, what is the bucket's is held, and all is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from refusing_proxy import Refusal, RefusingProxy

from fleetbox.errors import AccessDenied
from fleetbox_replication.dead_letters import DeadLetters, letters_of
from fleetbox_replication.relay import RelayOptions
from fleetbox_replication.relay.patience import IN_A_ROW

Hops = Callable[..., Any]
MEGABYTE = 1_000_000


def ticks(first: int, end: int) -> range:
    """Return times as sensors make them: apart by more than a µs."""
    return range(first * 1_000, end * 1_000, 1_000)


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    """An empty list of dead letters in a state folder."""
    made = DeadLetters(letters_of(tmp_path / "state"))
    yield made
    made.close()


@pytest.mark.parametrize(("status", "inside"), [(422, False), (413, False), (431, False), (422, True)])
def test_a_record_nobody_takes_does_not_block_its_entry(
    hop: Hops, letters: DeadLetters, status: int, inside: bool
) -> None:
    """A record refused for its labels or its size is isolated, noted at once, and everything else arrives."""

    async def run() -> None:
        options = RelayOptions(letters=letters, patience_s=3_600.0)  # it is noted at once all the same
        async with hop(through=RefusingProxy, options=options) as h:
            bad = 30_000
            h.link.refusal = Refusal(status, times=(bad,), methods=("POST",), inside=inside)
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 200), 5_000)
            h.written.pop(("cam", bad))
            await h.arrived()
            await h.until(h.drained)
            (letter,) = letters.open()
            assert (letter.bucket, letter.entry, letter.time_us, letter.status) == (h.bucket, "cam", bad, status)
            assert letter.message == "refused by the proxy"
            assert letter.next_step
            shown = h.shown()
            assert shown["dead_letters"]["open"] == shown["letters"] == 1
            assert not [item for item in shown["refused"] if item["active"]]

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize(("status", "inside"), [(403, False), (500, False), (404, True)])
def test_other_refusals_are_let_through_after_a_while_if_others_pass(
    hop: Hops, letters: DeadLetters, status: int, inside: bool
) -> None:
    """A record refused again and again while its neighbours pass is let through once the patience is over."""

    async def run() -> None:
        options = RelayOptions(letters=letters, patience_s=1.0)
        async with hop(through=RefusingProxy, options=options) as h:
            bad = 30_000
            h.link.refusal = Refusal(status, times=(bad,), methods=("POST", "HEAD"), inside=inside)
            if inside:
                h.link.refusal = Refusal(status, times=(bad,), methods=("POST",), inside=True)
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 200), 5_000)
            await h.until(lambda: bool(h.relay.refusing(h.bucket)))
            assert h.relay.refusing(h.bucket).status == status
            assert len(letters) == 0
            h.written.pop(("cam", bad))
            await h.arrived()
            await h.until(h.drained)
            assert [(letter.time_us, letter.status) for letter in letters.open()] == [(bad, status)]
            assert h.relay.refusing(h.bucket) is None

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize(("status", "inside"), [(400, True), (403, False), (507, True)])
def test_a_bucket_that_takes_nothing_is_held_and_resumes(
    hop: Hops, letters: DeadLetters, status: int, inside: bool
) -> None:
    """Where nothing passes nothing is let through: the engine keeps it, it is named, and it arrives afterwards."""

    async def run() -> None:
        options = RelayOptions(letters=letters, patience_s=0.5)
        async with hop(through=RefusingProxy, options=options) as h:
            h.link.refusal = Refusal(status, "no way", inside=inside)
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 120), 20_000)
            await h.until(lambda: bool(h.shown()["kept"] >= 2))
            held = h.relay.refusing(h.bucket)
            assert (held.status, held.message) == (status, "no way")
            assert h.link.bytes_refused < 6 * MEGABYTE  # scouts go ahead: the link is spared
            assert len(letters) == 0
            h.link.refusal = None
            await h.arrived()
            await h.until(lambda: h.relay.refusing(h.bucket) is None)

    asyncio.run(run())


@pytest.mark.slow
def test_a_proxy_that_refuses_every_record_does_not_drain_the_queue(hop: Hops, letters: DeadLetters) -> None:
    """After a hundred letters in a row the bucket is held, whatever the status says; the rest arrives afterwards."""

    async def run() -> None:
        async with hop(through=RefusingProxy, options=RelayOptions(letters=letters)) as h:
            h.link.refusal = Refusal(422)
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 400), 1_000)
            await h.until(lambda: bool(h.shown()["kept"]))
            assert 0 < len(letters) <= IN_A_ROW
            h.link.refusal = None
            for letter in letters.open():
                h.written.pop((letter.entry, letter.time_us))
            await h.arrived()

    asyncio.run(run())


def test_a_conflict_is_a_letter(hop: Hops, letters: DeadLetters) -> None:
    """Where another record stands at a time, ours is noted with 409 and stays at its source."""

    async def run() -> None:
        async with hop(options=RelayOptions(letters=letters)) as h:
            await h.open(h.relay.url, when={"$has": "ship"})
            await h.write("log", [1_000, 2_000], 500)
            await h.copy("log", 1_000, data=b"x" * 500, labels="session=s9,seq=1,xxh=0000000000000000")
            del h.written["log", 1_000]
            await h.relabel("log", [1_000, 2_000], "ship=1")
            await h.arrived()
            await h.until(lambda: len(letters) == 1)
            assert letters.open()[0].status == 409
            await h.until(h.drained)

    asyncio.run(run())


def test_a_streamed_record_can_be_a_letter(hop: Hops, letters: DeadLetters) -> None:
    """A record too large to hold that is too large for the destination as well lets the next ones pass."""

    async def run() -> None:
        async with hop(through=RefusingProxy, options=RelayOptions(letters=letters)) as h:
            h.link.refusal = Refusal(413, times=(1_000,))
            await h.open(h.relay.url)
            await h.write("map", [1_000], 20 * MEGABYTE, expect=False)
            await h.write("map", [2_000], 1_000)
            await h.arrived()
            await h.until(lambda: len(letters) == 1)
            assert (letters.open()[0].time_us, letters.open()[0].status) == (1_000, 413)

    asyncio.run(run())


def test_labels_nobody_takes_do_not_block_their_entry(hop: Hops, letters: DeadLetters) -> None:
    """A label change that is refused becomes a letter too; the label changes beside it arrive."""

    async def run() -> None:
        async with hop(through=RefusingProxy, options=RelayOptions(letters=letters)) as h:
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 21), 5_000)
            await h.arrived()
            h.link.refusal = Refusal(422, times=(5_000,), methods=("PATCH",))
            await h.relabel("cam", ticks(1, 21), "keep=1,policy=abc")
            await h.until(lambda: len(letters) == 1)
            await h.until(h.drained)
            assert (await h.labels_there("cam", 6_000))["policy"] == "abc"
            assert "policy" not in await h.labels_there("cam", 5_000)

    asyncio.run(run())


def test_a_letter_that_gets_through_is_settled(hop: Hops, letters: DeadLetters) -> None:
    """A record noted once that comes again and is taken is struck from the list."""

    async def run() -> None:
        async with hop(through=RefusingProxy, options=RelayOptions(letters=letters)) as h:
            h.link.refusal = Refusal(422, times=(5_000,))
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 21), 500)
            await h.until(lambda: len(letters) == 1)
            h.link.refusal = None
            await h.relabel("cam", [5_000], "policy=abc")
            await h.until(lambda: len(letters) == 0)
            await h.arrived()
            assert letters.settled() == {h.bucket: 1}

    asyncio.run(run())


def test_what_cannot_be_noted_is_not_let_through(hop: Hops, letters: DeadLetters) -> None:
    """While the list cannot be written the engine keeps the record, and the reason is told."""

    async def run() -> None:
        async with hop(through=RefusingProxy, options=RelayOptions(letters=letters)) as h:
            letters.close()
            h.link.refusal = Refusal(422, times=(5_000,))
            await h.open(h.relay.url)
            await h.write("cam", ticks(1, 21), 500)
            await h.until(lambda: bool(h.shown()["kept"]))
            assert "list of dead letters" in h.shown()["refused"][0]["message"]
            assert h.shown()["letters"] == 0

    asyncio.run(run())


def test_every_record_vouched_for_is_told(hop: Hops) -> None:
    """Whoever keeps the books hears of each record once it is stored, and cannot harm the relay by failing."""
    told: list[tuple[str, str, int]] = []

    def on_stored(bucket: str, entry: str, parts: Sequence[Any]) -> None:
        told.extend((bucket, entry, part.time_us) for part in parts)
        raise RuntimeError("the books are shut")

    async def run() -> None:
        async with hop(options=RelayOptions(on_stored=on_stored)) as h:
            await h.open(h.relay.url)
            await h.write("imu", ticks(1, 200), 100)
            await h.write("cam/front", ticks(1, 20), 100)
            await h.write("old", ticks(1, 9), 100, labels={"robot": "r1"})
            await h.copy("old", 3_000)
            await h.relabel("old", ticks(1, 9), "keep=1")
            await h.arrived()
            await h.until(lambda: {(entry, at) for _, entry, at in told} >= set(h.written))
            assert {bucket for bucket, _, _ in told} == {h.bucket}

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("fault", [AccessDenied("token file t cannot be read"), RuntimeError("a fault of ours")])
def test_a_fault_of_the_relay_itself_keeps_the_batch(hop: Hops, fault: Exception) -> None:
    """A token file that is gone, or a fault in the relay, is answered 503, and all arrives once it is mended."""
    broken = False
    token = ""

    def read_token() -> str:
        if broken:
            raise fault
        return token

    async def run() -> None:
        nonlocal broken, token
        async with hop(token=read_token) as h:
            await h.open(h.relay.url)
            token = "revoked"
            await h.write("cam", ticks(1, 20), 500)
            await h.until(lambda: bool(h.relay.refusing(h.bucket)))
            broken = True
            await h.write("cam", ticks(20, 40), 500)
            refusals = sum(item["count"] for item in h.shown()["refused"])
            await h.until(lambda: sum(item["count"] for item in h.shown()["refused"]) > refusals + 1)
            broken, token = False, h.destination.token
            await h.arrived()

    asyncio.run(run())
