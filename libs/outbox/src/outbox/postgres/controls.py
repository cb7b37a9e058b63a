"""Controls: what a person has ordered about a queue, an event type of a queue, or a relay.

A control is a row that says how many events a second may pass: none is a pause. Every process reads
the rows of its queue or relay when it hears of a change, and obeys from memory. While the database
is away it obeys what it has read last.

Invariant: a control that has a time at which it ends is over at that time, whether or not the
database can be read. A rate is that of each process: two processes together reach twice of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from sqlalchemy import Column, DateTime, Double, MetaData, Table, Text, text

from outbox import metrics
from outbox.postgres.notify import DOORBELL, INBOX_CHANGES
from outbox.postgres.table_details import comment

Connection = psycopg.AsyncConnection[Any]

READ_EVERY = 10.0
"""Seconds after which a process reads its controls again without having heard of a change."""
BURST = 0.25
"""So many seconds' worth of events may pass at once."""
EVERYTHING = ""
"""In place of an event type: the whole queue or relay."""

_ACTIVE = "(until IS NULL OR until > clock_timestamp())"
# An end beyond the calendar of Python is one that never comes.
_LAST = "timestamptz '9999-12-30 00:00:00+00'"
_UNTIL = f"CASE WHEN until > {_LAST} THEN {_LAST} ELSE until END"
_READ = f"""
SELECT target, type, rate, set_by, why, since, {_UNTIL} AS until,
       extract(epoch FROM ({_UNTIL}) - clock_timestamp())::float8 AS seconds_left
  FROM {{table}} WHERE {_ACTIVE} AND (%(target)s::text IS NULL OR target = %(target)s)
 ORDER BY target, type
"""  # noqa: S608
_WRITE = """
INSERT INTO {table} AS c (target, type, rate, set_by, why, until)
VALUES (%(target)s, %(type)s, %(rate)s, %(set_by)s, %(why)s,
        clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (target, type) DO UPDATE
   SET rate = excluded.rate, set_by = excluded.set_by, why = excluded.why,
       since = clock_timestamp(), until = excluded.until
"""
_REMOVE = """
DELETE FROM {table} WHERE target = %(target)s AND type = %(type)s RETURNING until IS NULL OR
       until > clock_timestamp()
"""
_NOTIFY = "SELECT pg_notify(%s, %s)"


@dataclass(frozen=True, slots=True)
class ControlTable:
    """The controls of one side, and the channel on which its processes hear of changes."""

    name: str
    channel: str

    def declare(self, metadata: MetaData) -> None:
        """Declare the table."""
        Table(
            self.name,
            metadata,
            Column("target", Text, primary_key=True),
            Column("type", Text, primary_key=True, server_default=""),
            Column("rate", Double, nullable=False),
            Column("set_by", Text, nullable=False),
            Column("why", Text, nullable=False),
            Column(
                "since", DateTime(True), nullable=False, server_default=text("clock_timestamp()")
            ),
            Column("until", DateTime(True)),
            comment=comment(),
        )

    async def read(self, connection: Connection, target: str | None = None) -> list[Control]:
        """The controls that hold now, of one queue or relay or of all."""
        async with connection.cursor(row_factory=class_row(Control)) as cursor:
            await cursor.execute(_READ.format(table=self.name), {"target": target})
            return await cursor.fetchall()

    async def write(
        self,
        connection: Connection,
        target: str,
        type_: str,
        *,
        rate: float,
        set_by: str,
        why: str,
        seconds: float | None,
    ) -> None:
        """Set a control, in place of the one that there is; it ends after so many seconds."""
        values = {
            "target": target,
            "type": type_,
            "rate": rate,
            "set_by": set_by,
            "why": why,
            "seconds": seconds,
        }
        async with connection.transaction():
            await connection.execute(_WRITE.format(table=self.name), values)
            await connection.execute(_NOTIFY, [self.channel, target])

    async def remove(self, connection: Connection, target: str, type_: str) -> bool:
        """End a control; false if there was none that held."""
        async with connection.transaction():
            values = {"target": target, "type": type_}
            cursor = await connection.execute(_REMOVE.format(table=self.name), values)
            row = await cursor.fetchone()
            await connection.execute(_NOTIFY, [self.channel, target])
        return row is not None and bool(row[0])


INBOX_CONTROLS = ControlTable("inbox_controls", INBOX_CHANGES)
OUTBOX_CONTROLS = ControlTable("outbox_controls", DOORBELL)


@dataclass(frozen=True, slots=True)
class Control:
    """At most `rate` events a second pass in each process; 0 is a pause. `type` may be empty."""

    target: str
    type: str
    rate: float
    set_by: str
    why: str
    since: datetime
    until: datetime | None
    seconds_left: float | None

    @property
    def is_pause(self) -> bool:
        """Whether nothing passes."""
        return self.rate == 0

    @property
    def does(self) -> str:
        """What it does, in words."""
        return "paused" if self.is_pause else f"throttled to {self.rate:g} events a second"

    def __str__(self) -> str:
        until = f" until {self.until:%Y-%m-%d %H:%M:%S%z}" if self.until else ""
        return f"{self.does} by {self.set_by}{until}: {self.why or 'no reason given'}"


class Valve:
    """The controls of one queue or relay in one process: how many events may pass now."""

    def __init__(
        self, table: ControlTable, target: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = table
        self._target = target
        self._clock = clock
        self._read: dict[str, tuple[Control, float | None]] = {}
        self._tokens = 0.0
        self._refilled_at = clock()

    async def read(self, connection: Connection) -> None:
        """Read the controls. One statement."""
        before, now = self._read, self._clock()
        self._read = {
            one.type: (one, None if one.seconds_left is None else now + one.seconds_left)
            for one in await self._table.read(connection, self._target)
        }
        for type_, (one, _) in self._read.items():
            metrics.CONTROL_RATE.labels(self._target, type_).set(one.rate)
        for type_ in before.keys() - self._read.keys():
            metrics.CONTROL_RATE.remove(self._target, type_)

    def until_next(self) -> float:
        """Seconds until the next control ends by itself; infinite if none does."""
        ends = [ends_at for _, ends_at in self._read.values() if ends_at is not None]
        # Not 0: the database's clock may be a little behind.
        return max(min(ends, default=math.inf) - self._clock(), 0.01)

    @property
    def control(self) -> Control | None:
        """The control of everything, if there is one that holds."""
        return self._active(EVERYTHING)

    @property
    def is_closed(self) -> bool:
        """Whether everything is paused."""
        control = self.control
        return control is not None and control.is_pause

    @property
    def paused_types(self) -> Mapping[str, str]:
        """The event types that are paused, each with the sentence that says why."""
        active = {type_: self._active(type_) for type_ in self._read if type_ != EVERYTHING}
        return {
            type_: str(one) for type_, one in active.items() if one is not None and one.is_pause
        }

    def grant(self, wanted: int) -> int:
        """How many of these events may pass now; all of them if nothing is ordered."""
        control = self.control
        if control is None:
            return wanted
        now = self._clock()
        most = max(1.0, control.rate * BURST)
        self._tokens = min(most, self._tokens + control.rate * (now - self._refilled_at))
        self._refilled_at = now
        granted = 0 if control.is_pause else min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted

    def give_back(self, count: int) -> None:
        """So many of the granted events did not pass."""
        self._tokens += count

    def _active(self, type_: str) -> Control | None:
        control, ends_at = self._read.get(type_, (None, None))
        return None if ends_at is not None and self._clock() >= ends_at else control
