"""How events flow through one database since a time: how many, how fast, and what waits.

It is asked every few seconds, so each statement is bounded: what is counted is counted to
`COUNTED_TO`, and the spread is that of the newest `SAMPLED` events. Nothing reads a whole table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from outbox.inbox import flow_queries as inbox_sql
from outbox.inbox.missing_events import MissingCount, MissingEvents
from outbox.inbox.tripped_types import TrippedType, TrippedTypes
from outbox.jobs import JobCount, count_jobs
from outbox.log import flow_queries as outbox_sql
from outbox.operations.controls import controls
from outbox.operations.database import Connection, fetch, has_table, value
from outbox.operations.lanes import lane_map
from outbox.postgres.controls import Control

COUNTED_TO = 100_000
WAITING_TO = 10_000
"""So many unpublished events are counted; more are `WAITING_TO` too."""
SAMPLED = 2_000


@dataclass(frozen=True, slots=True)
class Published:
    """Events published since the time asked for, and how long they waited in the outbox table."""

    events: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Unpublished events, and the age of the oldest in seconds."""

    events: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class OutboxFlow:
    """The producer's half. `parked` events wait for a person, `backed_off` ones for a retry.

    `source` is None before the first event, and `relays` counts those that are connected.
    """

    source: str | None
    last_id: int
    published: Published
    waiting: Waiting
    parked: int
    backed_off: int
    relays: int


@dataclass(frozen=True, slots=True)
class Parked:
    """What one consumer has parked, and the age of the oldest of it in seconds."""

    consumer: str
    parked: int
    for_person: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class Applied:
    """Events that one consumer has applied since the time asked for.

    The spread is from an event's commit to its effect, in seconds: that of the slowest event of
    each transaction.
    """

    consumer: str
    events: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class ConsumerFlow:
    """One consumer, the sources that it receives from, and what it has applied and parked."""

    consumer: str
    sources: tuple[str, ...]
    applied: Applied
    parked: Parked


@dataclass(frozen=True, slots=True)
class Flow:
    """What one database shows at `at`, by its own clock; a half without tables is None."""

    at: datetime
    outbox: OutboxFlow | None
    inbox: list[ConsumerFlow] | None
    controls: list[Control]
    tripped: Sequence[TrippedType] = ()
    missing: Sequence[MissingCount] = ()
    jobs: Sequence[JobCount] = ()


async def flow(connection: Connection, since: datetime | None = None) -> Flow:
    """What flowed since a time by the database's clock; without one, what waits now."""
    at: datetime = await value(connection, "SELECT clock_timestamp()")
    has_inbox = await has_table(connection, "inbox")
    return Flow(
        at=at,
        outbox=await _outbox(connection, since) if await has_table(connection, "outbox") else None,
        inbox=await _inbox(connection, since) if has_inbox else None,
        controls=await controls(connection),
        tripped=await TrippedTypes(connection).all() if has_inbox else (),
        missing=await MissingEvents(connection).counts() if has_inbox else (),
        jobs=await count_jobs(connection) if await has_table(connection, "outbox_jobs") else (),
    )


async def _outbox(connection: Connection, since: datetime | None) -> OutboxFlow:
    values = {"since": since, "limit": COUNTED_TO, "sampled": SAMPLED}
    [published] = await fetch(connection, Published, outbox_sql.PUBLISHED, values)
    [waiting] = await fetch(connection, Waiting, outbox_sql.WAITING, {"limit": WAITING_TO})
    cursor = await connection.execute(outbox_sql.NOT_GOING, {"limit": WAITING_TO})
    [(parked, backed_off)] = await cursor.fetchall()
    return OutboxFlow(
        source=await value(connection, outbox_sql.SOURCE),
        last_id=await value(connection, outbox_sql.LAST_ID),
        published=published,
        waiting=waiting,
        parked=parked,
        backed_off=backed_off,
        relays=len((await lane_map(connection)).relays),
    )


async def _inbox(connection: Connection, since: datetime | None) -> list[ConsumerFlow]:
    limit: dict[str, object] = {"limit": COUNTED_TO}
    parked = await fetch(connection, Parked, inbox_sql.PARKED, limit)
    applied = await fetch(connection, Applied, inbox_sql.APPLIED, {**limit, "since": since})
    parked_of = {one.consumer: one for one in parked}
    applied_of = {one.consumer: one for one in applied}
    sources = defaultdict[str, list[str]](list)
    for consumer, source in await (await connection.execute(inbox_sql.SOURCES)).fetchall():
        sources[consumer].append(source)
    return [
        ConsumerFlow(
            consumer,
            tuple(names),
            applied_of.get(consumer, Applied(consumer, 0, None, None)),
            parked_of.get(consumer, Parked(consumer, 0, 0, None)),
        )
        for consumer, names in sources.items()
    ]
