"""Times as commands are given them: `2026-11-27T06:00Z`, or a duration: `90s`, `30m`, `6h`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from outbox.cli.running import fail

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration(given: str) -> float:
    """How many seconds a duration has."""
    length = _seconds(given)
    if length is None:
        fail(f"{given!r} is not a duration like 90s, 30m, 6h, 2d")
    return length


def time_ago(given: str) -> datetime:
    """A time, or how long ago it was."""
    return _time(given, -1)


def time_ahead(given: str) -> datetime:
    """A time, or how long it is until then."""
    return _time(given, 1)


def _time(given: str, direction: int) -> datetime:
    """A time is in UTC unless it names another zone."""
    length = _seconds(given)
    try:
        if length is not None:
            return datetime.now(UTC) + direction * timedelta(seconds=length)
        time = datetime.fromisoformat(given)
    except (ValueError, OverflowError):
        fail(f"{given!r} is neither a time like 2026-11-21T06:00Z nor a duration like 90m, 6h, 2d")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _seconds(given: str) -> float | None:
    found = re.fullmatch(r"(\d+)([smhd])", given)
    return float(found[1]) * _UNITS[found[2]] if found else None
