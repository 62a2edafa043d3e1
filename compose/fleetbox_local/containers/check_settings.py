"""Tells what in .env makes no sense, before anything starts on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from fleetbox.errors import InputError
from fleetbox.naming import check_robot, check_site

NEXT_STEP = "correct it in .env beside the compose files, then run `docker compose up` again"
PLACES = ("ROBOT", "R2_", "SITE_", "EDGE_", "CLOUD_")  # how the names of .env begin
MAX_PORT = 65535
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[?[0-9A-Fa-f:]+\]?")


def faults(env: Mapping[str, str]) -> list[str]:
    """Return one sentence for each variable that cannot be meant, in the order of their names."""
    ours = {name: value for name, value in sorted(env.items()) if name.startswith(PLACES)}
    found = [f"{name}={value}: {why}" for name, value in ours.items() if (why := _fault(name, value))]
    return found + _doubles({name: value for name, value in ours.items() if name.endswith("_PORT")})


def _fault(name: str, value: str) -> str | None:
    for ending, look in _LOOKS.items():
        if name == ending or (ending.startswith("_") and name.endswith(ending)):
            return look(value)
    return None


def _port(value: str) -> str | None:
    good = value.isascii() and value.isdigit() and 0 < int(value) <= MAX_PORT
    return None if good else f"a port is a number from 1 to {MAX_PORT}"


def _url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        good = False
    return None if good else "an address is http:// or https://, a host and a port, such as https://edge.example:8443"


def _host(value: str) -> str | None:
    return (
        None if _HOST.fullmatch(value) else "a host is a name or an address alone, without https:// and without a port"
    )


def _tls(value: str) -> str | None:
    good = value == "internal" or re.fullmatch(r"[^@\s]+@[^@\s]+", value)
    return None if good else "it is `internal`, or the e-mail address for a public certificate"


def _named(check: Callable[[str], str]) -> Callable[[str], str | None]:
    def look(value: str) -> str | None:
        try:
            check(value)
        except InputError as error:
            return f"{error.message}; {error.next_step}"
        return None

    return look


def _doubles(ports: Mapping[str, str]) -> list[str]:
    """Tell of ports that two of one machine would listen on."""
    first: dict[str, str] = {}
    return [
        f"{name}={port}: {first[port]} is the same port; each needs one of its own"
        for name, port in ports.items()
        if first.setdefault(port, name) != name
    ]


_LOOKS: dict[str, Callable[[str], str | None]] = {
    "_PORT": _port,
    "_URL": _url,
    "_HOST": _host,
    "_TLS": _tls,
    "ROBOT": _named(check_robot),
    "SITE_NAME": _named(check_site),
}
