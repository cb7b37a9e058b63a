"""Pause, throttle and resume a queue, an event type of a queue, or a relay.

A control is a row in the database of the consumer or of the relay. All of its processes obey within
a second, and those that start later too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from outbox.argument_checks import named
from outbox.errors import InvalidSetting
from outbox.operations.database import Connection, has_table
from outbox.postgres.controls import INBOX_CONTROLS, OUTBOX_CONTROLS, Control, ControlTable

__all__ = ["Control", "OfQueue", "OfRelay", "controls", "pause", "resume", "throttle"]

LONGEST = 3650 * 24 * 3600.0
"""Seconds that a control with an end may hold. What is to hold longer has no end."""


@dataclass(frozen=True, slots=True)
class OfQueue:
    """The consumers of a queue; with a type, only its events."""

    name: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class OfRelay:
    """The relays of a database that publish to this exchange."""

    name: str


Target = OfQueue | OfRelay


async def pause(
    connection: Connection,
    target: Target,
    *,
    by: str,
    why: str = "",
    seconds: float | None = None,
) -> None:
    """Let nothing pass until somebody resumes it, or until so many seconds are over.

    A queue: no event is received, and none is retried. A type: its events are parked without an
    attempt, and go on in order. A relay: nothing is published, while writers go on writing.
    """
    await _write(connection, target, 0.0, by=by, why=why, seconds=seconds)


async def throttle(
    connection: Connection,
    target: Target,
    rate: float,
    *,
    by: str,
    why: str = "",
    seconds: float | None = None,
) -> None:
    """Let at most `rate` events a second pass in each process. Retries are not counted.

    Raises `InvalidSetting` for a type: those wait by being parked, and have no rate.
    """
    if isinstance(target, OfQueue) and target.type:
        raise InvalidSetting("throttle", "works on a whole queue or a relay, not on a type")
    if not (math.isfinite(rate) and rate > 0):
        raise InvalidSetting("rate", f"has to be above 0, not {rate!r}; a pause is for nothing")
    await _write(connection, target, rate, by=by, why=why, seconds=seconds)


async def resume(connection: Connection, target: Target) -> bool:
    """End a pause or a throttle; false if there was none."""
    type_ = target.type if isinstance(target, OfQueue) else ""
    return await _table(target).remove(connection, target.name, type_)


async def controls(connection: Connection) -> list[Control]:
    """All that hold now, in the order of their names."""
    found = list[Control]()
    for table in (INBOX_CONTROLS, OUTBOX_CONTROLS):
        if await has_table(connection, table.name):
            found += await table.read(connection)
    return found


async def _write(
    connection: Connection,
    target: Target,
    rate: float,
    *,
    by: str,
    why: str,
    seconds: float | None,
) -> None:
    named("name", target.name)
    if seconds is not None and not 0 < seconds <= LONGEST:
        raise InvalidSetting("seconds", f"has to be from 0 to {LONGEST:.0f}, not {seconds!r}")
    type_ = target.type if isinstance(target, OfQueue) else ""
    await _table(target).write(
        connection, target.name, type_, rate=rate, set_by=by, why=why, seconds=seconds
    )


def _table(target: Target) -> ControlTable:
    return INBOX_CONTROLS if isinstance(target, OfQueue) else OUTBOX_CONTROLS
