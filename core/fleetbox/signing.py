"""Sign policies with ed25519 and check them: a robot takes none over the air that its own keys do not vouch for."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from fleetbox.errors import InputError
from fleetbox.selectors import matches_glob

PUBLIC, PRIVATE = "ed25519:", "ed25519-private:"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """Hold a policy as it is sent: its text, for which robots it is, and who vouches for it.

    `issued_us` orders envelopes: a robot takes none issued before the one it has. Times in µs since the epoch; `key` is
    the public key that the signature belongs to.
    """

    text: str
    robots: tuple[str, ...]
    issued_us: int
    expires_us: int
    key: str = ""
    signature: str = ""

    def body(self) -> bytes:
        """Return what is signed: everything but the signature."""
        fields = {name: value for name, value in asdict(self).items() if name != "signature"}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


class Refused(InputError):
    """Refuse an envelope; `reason` is one word of: unsigned, forged, expired, older, other robot, unreadable."""

    def __init__(self, reason: str, message: str, next_step: str | None = None) -> None:
        super().__init__(message, next_step)
        self.reason = reason


def new_key() -> tuple[str, str]:
    """Return a fresh private key and its public key, as texts for files and robot.toml."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    return PRIVATE + _text(private.private_bytes_raw()), PUBLIC + _text(private.public_key().public_bytes_raw())


def public_of(private: str) -> str:
    """Return the public key of a private one; raise InputError for what is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return PUBLIC + _text(Ed25519PrivateKey.from_private_bytes(_raw(private, PRIVATE)).public_key().public_bytes_raw())


def check_public(text: str) -> str:
    """Return a public key as it stands in robot.toml; raise InputError for what is none."""
    _raw(text, PUBLIC)
    return text.strip()


def sign(envelope: Envelope, private: str) -> Envelope:
    """Return the envelope with its key and signature; raise InputError for a key that is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    named = replace(envelope, key=public_of(private))
    signature = Ed25519PrivateKey.from_private_bytes(_raw(private, PRIVATE)).sign(named.body())
    return replace(named, signature=_text(signature))


def check(envelope: Envelope, keys: Sequence[str], robot: str, now_us: int, last_issued_us: int = 0) -> None:
    """Raise Refused unless this robot may take the envelope now; `last_issued_us` is that of the one it has."""
    name = f"the policy issued for {', '.join(envelope.robots) or 'nobody'}"
    if not envelope.signature or envelope.key not in keys:
        step = "sign it with a key that `policy_keys` of robot.toml names: fleetbox policy apply"
        raise Refused("unsigned", f"{name} is not signed by a key that {robot} knows", step)
    if not _is_signed(envelope):
        raise Refused("forged", f"{name} is not what was signed", "apply it again: fleetbox policy apply")
    if not any(matches_glob(glob, robot) for glob in envelope.robots):
        raise Refused("other robot", f"{name} is not for {robot}", "apply it with a glob that matches this robot")
    if envelope.expires_us <= now_us:
        raise Refused("expired", f"{name} has expired", "apply it again, with a later expiry")
    if envelope.issued_us < last_issued_us:
        step = "to return to an older policy, issue it anew: fleetbox policy rollback"
        raise Refused("older", f"{name} is older than the one {robot} has", step)


def encode(envelope: Envelope) -> str:
    """Return the envelope as JSON."""
    return json.dumps(asdict(envelope), separators=(",", ":"))


def decode(text: str | bytes) -> Envelope:
    """Read an envelope; raise Refused("unreadable") for what is none."""
    try:
        raw = json.loads(text)
        if not isinstance(raw["robots"], list):
            raise TypeError("robots are no list")
        known = {name: raw[name] for name in Envelope.__dataclass_fields__ if name in raw}
        envelope = Envelope(**{**known, "robots": tuple(raw["robots"])})
        numbers, texts = (envelope.issued_us, envelope.expires_us), (envelope.text, envelope.key, envelope.signature)
        if not all(type(n) is int for n in numbers) or not all(isinstance(t, str) for t in (*texts, *envelope.robots)):
            raise TypeError("a field has another type")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused("unreadable", f"{len(text)} bytes are no signed policy: {error}") from error
    return envelope


def _is_signed(envelope: Envelope) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(_raw(envelope.key, PUBLIC))
        key.verify(base64.b64decode(envelope.signature, validate=True), envelope.body())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _raw(text: str, mark: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip().removeprefix(mark), validate=True)
    except (binascii.Error, ValueError, AttributeError):
        raw = b""
    if len(raw) != KEY_BYTES or not text.strip().startswith(mark):
        message = f"a key of ed25519 begins with {mark!r} and has {KEY_BYTES} bytes in base64"
        raise InputError(message, "make one: fleetbox policy keygen")
    return raw
