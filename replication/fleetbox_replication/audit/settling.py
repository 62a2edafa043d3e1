"""Decide of one stream's minute on one hop how many of the selected records arrived, and what became of the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fleetbox.ledger import MINUTE_US, Count, Standing
from fleetbox_replication.audit.terms import EVICTED, Terms, fitted
from fleetbox_replication.reconcile.standings import FLOOR

GRACE_US = 120_000_000  # µs; both censuses have looked again by then: what still differs is no page on its way
NOTHING = Count()


@dataclass(frozen=True, slots=True)
class Listing:
    """Hold what was listed just now of one stream's minute at both ends of a hop.

    `there` counts the destination's records, the rescued ones of the class `kept` included; `selected` counts the
    source's selected records, `here` those of them that the destination lacks, both None when the source was not
    asked; `turned`: the source's ring begins later than the minute does.
    """

    there: Count
    selected: int | None = None
    here: int | None = None
    turned: bool = False


@dataclass(frozen=True, slots=True)
class Minute:
    """Hold what the places tell of one stream's minute on one hop.

    `want` counts everything the source ever told to be selected, `still` is what its last line told; `have` counts
    what the destination vouches for (`Folded.proven`), `rescued` what came there through `kept`; `saved` says how many
    of the selected did so for sure, `shelved` how many stand in the source's own `kept`. `given_up` of the selected the
    source removed undelivered, the last at `given_up_us`. Times in µs; 0 = never told.
    """

    minute_us: int
    want: Count = NOTHING
    still: int = 0
    turned: bool = False
    told_us: int = 0
    have: Count = NOTHING
    have_told_us: int = 0
    rescued: Count = NOTHING
    saved: int = 0
    shelved: int = 0
    given_up: int = 0
    given_up_us: int = 0
    standing: Standing | None = None
    stood_us: int = 0
    deleted: str = ""
    listing: Listing | None = None

    @property
    def came(self) -> int:
        """Count the records that ever came to the destination, on either way."""
        return self.have.records + self.saved

    @property
    def newest_us(self) -> int:
        """Return when a line about it was last written."""
        return max(self.told_us, self.have_told_us)

    @property
    def still_now(self) -> int:
        """Count what is at the source still: what was removed after its last line told of it is not."""
        return self.still if self.told_us >= self.given_up_us else max(0, self.still - self.given_up)

    def floored(self, missing: int, named: int = 0) -> int:
        """Return how many of those missing at both ends were given up for the disk's floor, beside those `named` so."""
        return max(0, min(missing - self.shelved, self.given_up - named))


def settle(minute: Minute, now_us: int) -> Terms:
    """Return the terms of a minute, without `recorded`.

    Equal digests prove arrival. Otherwise a listing of both ends decides, else what the source's reconciler stands by,
    else the counts alone; what was lost is taken back only by a proof that is younger than the word of its loss.
    """
    if _is_proven(minute):
        return _split(minute.want.records)
    if minute.listing is not None and minute.listing.here is not None:
        return _by_listing(minute, minute.listing, minute.listing.here)
    if minute.standing is not None:
        return _by_standing(minute, minute.standing, now_us)
    return _by_counts(minute, now_us)


def _is_proven(minute: Minute) -> bool:
    standing = minute.standing
    if standing and (standing.lost or standing.unexplained) and minute.stood_us > minute.newest_us:
        return False
    proofs = [minute.have, minute.have + minute.rescued]
    return minute.want in proofs or (minute.listing is not None and minute.listing.there == minute.want)


def _split(
    selected: int, waiting: int = 0, refused: Counter[str] | None = None, lost: Counter[str] | None = None, odd: int = 0
) -> Terms:
    """Return the terms with the rest as arrived."""
    terms = Terms(0, selected, selected, waiting, refused or Counter(), lost or Counter(), odd)
    terms.arrived -= terms.open
    return terms


def _by_listing(minute: Minute, listing: Listing, here: int) -> Terms:
    """Judge by what both ends held a moment ago: what is at the source still waits, what is at neither has gone."""
    standing = minute.standing or Standing("", "sensor", "", minute.minute_us)
    have, want = minute.came, max(minute.want.records, listing.selected or 0)
    if listing.there.records < have:  # what the destination once held and let go of has arrived
        here = min(here, max(0, want - have))
    refused = fitted(standing.refused, here)
    if listing.selected == want:
        return _split(want, here - refused.total(), refused)
    have, lost = max(have, listing.there.records), Counter(standing.lost)
    named = lost.total() + standing.unexplained
    selected = max(want, have + here + lost.total(), here + named)
    gone = selected - have - here - named
    floored = minute.floored(gone + standing.unexplained, lost[FLOOR])
    unexplained = max(0, standing.unexplained - floored)
    gone -= max(0, floored - standing.unexplained)
    deleted, evicted, odd = _gone(minute, gone, listing.turned)
    lost += evicted + Counter({FLOOR: floored})
    return _split(selected, here - refused.total(), refused + deleted, lost, unexplained + odd)


def _by_standing(minute: Minute, standing: Standing, now_us: int) -> Terms:
    """Take the reconciler's word, corrected by what was told after it."""
    refused, lost, odd = Counter(standing.refused), Counter(standing.lost), standing.unexplained
    have, want, gone = minute.came, minute.want.records, lost.total() + odd
    if minute.stood_us >= minute.newest_us:
        told, named, waiting = standing.waiting + refused.total() + gone, lost.total(), standing.waiting
        absent = min(odd + max(0, waiting - minute.still_now), max(0, want - have - named))
        floored = minute.floored(absent, lost[FLOOR])
        selected = max(want, have + named, told)
        waiting -= max(0, floored - odd)
        return _split(selected, waiting, refused, lost + Counter({FLOOR: floored}), max(0, odd - floored))
    if not gone and have >= want:  # as many, and others: what was refused stands, as no page tells what came instead
        return _split(max(want, have), 0, fitted(refused, have)) if refused else _by_counts(minute, now_us)
    selected = max(want, have + lost.total(), gone)
    rest = max(0, selected - have - gone)
    floored = minute.floored(odd + max(0, rest - minute.still_now), lost[FLOOR])
    rest -= max(0, floored - odd)
    refused = fitted(refused, rest)
    return _split(selected, rest - refused.total(), refused, lost + Counter({FLOOR: floored}), max(0, odd - floored))


def _by_counts(minute: Minute, now_us: int) -> Terms:
    """Judge by counts alone: what the source still tells of can be waiting, what it no longer has cannot."""
    want, have = minute.want.records, minute.came
    calm = now_us - max(minute.newest_us, minute.minute_us + MINUTE_US) > GRACE_US
    if have >= want:
        differs = have == want  # as many, and others
        return _split(max(want, have), waiting=int(differs and not calm), odd=int(differs and calm))
    absent = max(0, want - have - minute.still_now)
    floored = minute.floored(absent)
    gone = absent - floored if calm else 0
    refused, lost, odd = _gone(minute, gone, minute.turned)
    return _split(want, want - have - gone - floored, refused, lost + Counter({FLOOR: floored}), odd)


def _gone(minute: Minute, gone: int, turned: bool) -> tuple[Counter[str], Counter[str], int]:
    """Name records that are at neither end as (refused, lost, unexplained)."""
    if gone <= 0:
        return Counter(), Counter(), 0
    if minute.deleted:
        return Counter({minute.deleted: gone}), Counter(), 0
    return (Counter(), Counter({EVICTED: gone}), 0) if turned else (Counter(), Counter(), gone)
