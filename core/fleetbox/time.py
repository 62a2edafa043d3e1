"""Time as people write and read it: one grammar for every verb, flag and method."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from fleetbox.errors import InputError

GRAMMAR = "RFC3339 (2026-11-21T13:30:00Z), epoch (s, ms, us or ns), now-15m, -15m or 13:30 (local, today)"

MAX_TIME_US = 253_402_300_800_000_000  # µs; the year 10000, the first that no calendar here can write
FOR_EVER_US = 1 << 62  # later than any record, and a number that may be added to

_UNIT_US = {
    "us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "min": 60_000_000,
    "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000,
}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|min|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_PART.pattern}\s*)+")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?")


def parse_duration(value: str | float | timedelta) -> int:
    """Return a duration in µs from text such as "10s", "1h30m" or "500ms", from seconds, or from a timedelta."""
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if not isinstance(value, str):
        return _whole(value * 1_000_000, "duration", value)
    text = value.strip()
    if not _DURATION.fullmatch(text):
        raise InputError(f"duration {value!r} is not understood", "write it like 10s, 500ms, 15m, 1h30m or 30d")
    return _whole(sum(float(number) * _UNIT_US[unit] for number, unit in _PART.findall(text)), "duration", value)


def parse_time(value: str | float | datetime, now_us: int, zone: tzinfo | None = None) -> int:
    """Return µs since the epoch from a point in time as people write it.

    `now_us` is what "now" means; `zone` is the zone of a bare clock time (default: this machine's).
    A number is an epoch in s, ms, µs or ns, told apart by its size. Raises InputError with the grammar, and for
    a time that no store can hold: before 1970 or after the year 9999.
    """
    return check_time(_point_us(value, now_us, zone), value)


def check_time(time_us: int, given: object = None) -> int:
    """Return a time in µs that a store can hold; raise InputError before 1970 and after the year 9999.

    `given` is what somebody wrote, for the message.
    """
    if 0 <= time_us < MAX_TIME_US:
        return time_us
    said = f"{str(time_us)[:30]} µs" if given is None else repr(given)[:60]
    raise InputError(f"time {said} is not between 1970 and the year 9999", f"write {GRAMMAR}")


def _point_us(value: str | float | datetime, now_us: int, zone: tzinfo | None) -> int:
    if isinstance(value, datetime):
        return _datetime_us(value, zone)
    if isinstance(value, int | float):
        return _epoch_us(value)
    text = value.strip()
    if text == "now":
        return now_us
    if text[:3] == "now" and text[3:4] in ("-", "+"):
        text = text[3:]
    if text[:1] in ("-", "+") and _DURATION.fullmatch(text[1:]):
        return now_us + (parse_duration(text[1:]) if text[0] == "+" else -parse_duration(text[1:]))
    if match := _CLOCK.fullmatch(text):
        return _today_us(match, now_us, zone)
    if re.fullmatch(r"\d{1,99}(\.\d+)?", text):
        return _epoch_us(float(text) if "." in text else int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"time {value!r} is not understood", f"write {GRAMMAR}") from None
    return _datetime_us(moment, zone)


def show_time(time_us: int, zone: tzinfo | None = None) -> str:
    """Write a point in time for people, local first: "14:03:21.400 (13:03:21Z, 2026-11-21)".

    A time that no calendar can write, as a foreign writer may have stored it, is shown as its number of µs.
    """
    try:
        moment = datetime.fromtimestamp(time_us / 1e6, UTC)
        local = moment.astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return f"{time_us} µs"
    return f"{local:%H:%M:%S}.{time_us % 1_000_000 // 1000:03d} ({moment:%H:%M:%SZ, %Y-%m-%d})"


def iso_time(time_us: int) -> str:
    """Write a point in time as RFC3339 in UTC with µs, or as "<n> µs" when no calendar can write it."""
    try:
        moment = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{time_us} µs"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_us % 1_000_000:06d}Z"


def show_duration(duration_us: int) -> str:
    """Write a duration for people, in the unit that fits: "12 ms", "3.4 s", "26 h"."""
    size = abs(duration_us)
    for unit, scale in (("d", _UNIT_US["d"]), ("h", _UNIT_US["h"]), ("min", _UNIT_US["m"]), ("s", 1_000_000)):
        if size >= 2 * scale or (unit == "s" and size >= scale):
            number = duration_us / scale
            return f"{number:.1f} {unit}" if abs(number) < 10 else f"{number:.0f} {unit}"
    return f"{duration_us / 1000:.0f} ms" if size >= 1000 else f"{duration_us} µs"


def _epoch_us(value: float) -> int:
    size = abs(value)
    whole = _whole(value, "time", value)
    if size >= 1e17:
        return whole // 1000
    if size >= 1e14:
        return whole
    return round(value * 1000) if size >= 1e11 else round(value * 1_000_000)


def _whole(value: float, what: str, given: object) -> int:
    try:
        return round(value)
    except (ValueError, OverflowError):
        raise InputError(f"{what} {repr(given)[:60]} is no number of µs", "write a finite number") from None


def _datetime_us(value: datetime, zone: tzinfo | None) -> int:
    try:
        aware = value if value.tzinfo is not None else value.replace(tzinfo=zone) if zone else value.astimezone()
    except (ValueError, OverflowError):  # a naive date at the calendar's own ends
        raise InputError(f"time {value} is not between 1970 and the year 9999", f"write {GRAMMAR}") from None
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _today_us(match: re.Match[str], now_us: int, zone: tzinfo | None) -> int:
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise InputError(f"clock time {match[0]!r} does not exist", "write it like 13:30 or 13:30:05.250")
    today = datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(zone)
    moment = today.replace(hour=hour, minute=minute, second=second, microsecond=int((match[4] or "0").ljust(6, "0")))
    return _datetime_us(moment, zone)
