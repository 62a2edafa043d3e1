"""Envelopes are signed, carried as text, and taken only where key, robot, time and order are right."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.errors import InputError
from fleetbox.signing import Envelope, Refused, check, check_public, decode, encode, new_key, public_of, sign

PRIVATE, PUBLIC = new_key()
T = 1_763_700_000_000_000
OPEN = Envelope('version = 2\nname = "höhe"\n', ("wh1-*", "r7"), T, T + 10)


def reason(envelope: Envelope, *, robot: str = "r7", now_us: int = T + 1, last_us: int = 0, key: str = PUBLIC) -> str:
    """Return why a robot refuses an envelope, "" when it takes it."""
    try:
        check(envelope, [key], robot, now_us, last_us)
    except Refused as refused:
        return refused.reason
    return ""


def test_a_signed_envelope_is_taken_by_the_robots_it_is_for() -> None:
    """Globs and names are followed; a robot takes the same envelope again."""
    signed = sign(OPEN, PRIVATE)
    assert signed.key == PUBLIC == public_of(PRIVATE)
    assert [reason(signed, robot=robot) for robot in ("r7", "wh1-3", "r70", "wh2-3")] == [
        "", "", "other robot", "other robot",
    ]  # fmt: skip
    assert reason(signed, last_us=T) == ""


def test_refusals_name_their_reason() -> None:
    """Unsigned, by a stranger, forged, expired and older are told apart."""
    signed, (stranger, _) = sign(OPEN, PRIVATE), new_key()
    assert reason(OPEN) == "unsigned"
    assert reason(replace(OPEN, key=PUBLIC)) == "unsigned"
    assert reason(sign(OPEN, stranger)) == "unsigned"
    assert reason(signed, key=new_key()[1]) == "unsigned"
    assert reason(signed, now_us=T + 10) == "expired"
    assert reason(signed, last_us=T + 1) == "older"
    with pytest.raises(Refused, match="older than the one r7 has") as told:
        check(signed, [PUBLIC], "r7", T, T + 1)
    assert "policy rollback" in (told.value.next_step or "")


@given(st.sampled_from(["text", "robots", "issued_us", "expires_us", "signature"]), st.integers(0, 10**6))
def test_no_field_can_be_changed_after_signing(name: str, noise: int) -> None:
    """Whatever of a signed envelope another changes, the signature tells."""
    signed = sign(OPEN, PRIVATE)
    other: dict[str, Any] = {
        "text": OPEN.text + "#" * (noise % 9 + 1), "robots": ("r7", f"x{noise}"), "issued_us": T + 1 + noise,
        "expires_us": T + 11 + noise, "signature": f"{noise}" + signed.signature,
    }  # fmt: skip
    assert reason(replace(signed, **{name: other[name]})) == "forged"


def test_the_key_is_signed_too() -> None:
    """A robot that trusts two keys takes neither's name on the other's signature."""
    signed, (_, second) = sign(OPEN, PRIVATE), new_key()
    with pytest.raises(Refused) as told:
        check(replace(signed, key=second), [PUBLIC, second], "r7", T)
    assert told.value.reason == "forged"


def test_envelopes_travel_as_text() -> None:
    """What is encoded is what is decoded; unknown keys are passed over, the signature holds."""
    signed = sign(OPEN, PRIVATE)
    assert decode(encode(signed)) == signed
    assert decode(json.dumps({**json.loads(encode(signed)), "later": 1}).encode()) == signed
    assert reason(decode(encode(signed))) == ""


@pytest.mark.parametrize("name", [field.name for field in fields(Envelope)])
def test_wrong_types_are_unreadable(name: str) -> None:
    """A field of another type is refused before anybody computes with it; so are bytes that are no JSON."""
    for wrong in (None, {}, 1.5, True):
        with pytest.raises(Refused) as told:
            decode(json.dumps({**json.loads(encode(sign(OPEN, PRIVATE))), name: wrong}))
        assert told.value.reason == "unreadable"
    for data in (b"", b"[]", b"3", b"\xff\xfe", '{"text": "version = 1"}'):
        with pytest.raises(Refused, match="no signed policy"):
            decode(data)


def test_keys_are_checked_where_they_are_written_down() -> None:
    """A key says what it is; half of one, another kind's, or none is refused with how to make one."""
    assert check_public(f" {PUBLIC}\n") == PUBLIC
    for wrong in ("", "ed25519:", PUBLIC[:-6], PRIVATE, PUBLIC.removeprefix("ed25519:"), "ed25519:ö"):
        with pytest.raises(InputError) as told:
            check_public(wrong)
        assert told.value.next_step == "make one: fleetbox policy keygen"
    with pytest.raises(InputError, match="ed25519-private"):
        sign(OPEN, PUBLIC)
