"""The state of one database: what waits to be published, applied or called, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.inbox import position as inbox_sql
from outbox.inbox.beacon_chain import BeaconChains, BeaconHole
from outbox.inbox.missing_events import DO_NOT_COME, MissingCount, MissingEvents
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import ParkedCount, ParkedGroup, ParkedStream
from outbox.inbox.tripped_types import TrippedType, TrippedTypes
from outbox.jobs import JobCount, count_jobs
from outbox.log import operator_queries as outbox_sql
from outbox.operations.controls import controls
from outbox.operations.database import Connection, fetch, has_table
from outbox.operations.lanes import LaneMap, lane_map
from outbox.operations.partitions import day_partitions, days_covered, today
from outbox.postgres.controls import Control

COUNTED_TO = 100_000
NAMED = 3
"""How many ids are shown of each kind of trouble."""
TOP_GROUPS = 5
"""How many groups of parked events are shown; `outbox parked groups` shows all."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events not yet published, counted to `COUNTED_TO`.

    `failing` of them were tried before; they belong to `backed_off` aggregates.
    """

    events: int
    oldest_seconds: float | None
    failing: int
    backed_off: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Unpublished events of one type with the same last error; `first` has the ids of a few.

    `state` is `backed off` or `parked`. Events that wait behind them are not counted.
    """

    state: str
    error: str
    type: str
    events: int
    oldest: datetime
    first: list[UUID]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Events that are not yet in the outbox table; overdue ones should have been moved there."""

    events: int
    next_due: datetime | None
    overdue: int


@dataclass(frozen=True, slots=True)
class ConsumerStreams:
    """How many streams a consumer knows, and how many of them wait behind a failed event."""

    consumer: str
    streams: int
    blocked: int


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """The producer's half."""

    backlog: Backlog
    troubles: list[Trouble]
    scheduled: Scheduled
    lanes: LaneMap
    partitions: int
    days_covered: int


@dataclass(frozen=True, slots=True)
class InboxStatus:
    """The consumer's half; `groups` are those that stop the most streams."""

    consumers: list[ConsumerStreams]
    parked: list[ParkedCount]
    groups: list[ParkedGroup]
    heaviest: list[ParkedStream]
    tripped: list[TrippedType]
    missing: list[MissingCount]
    holes: list[BeaconHole]


@dataclass(frozen=True, slots=True)
class Status:
    """All that a database has; a half without tables is None."""

    outbox: OutboxStatus | None
    inbox: InboxStatus | None
    jobs: list[JobCount] | None
    controls: list[Control]
    """What a person has paused or throttled."""

    @property
    def needs_a_person(self) -> bool:
        """Whether something has failed that is not retried by itself."""
        unpublishable = self.outbox is not None and any(
            trouble.state == "parked" for trouble in self.outbox.troubles
        )
        failed = self.inbox is not None and (
            any(parked.for_person for parked in self.inbox.parked)
            or any(missing.state in DO_NOT_COME for missing in self.inbox.missing)
        )
        return unpublishable or failed or any(count.state == "failed" for count in self.jobs or ())


async def status(connection: Connection) -> Status:
    """Read the whole state; costs about as much as counting the backlog."""
    return Status(
        await _outbox(connection) if await has_table(connection, "outbox") else None,
        await _inbox(connection) if await has_table(connection, "inbox") else None,
        await count_jobs(connection) if await has_table(connection, "outbox_jobs") else None,
        await controls(connection),
    )


async def _outbox(connection: Connection) -> OutboxStatus:
    [backlog] = await fetch(connection, Backlog, outbox_sql.BACKLOG, {"limit": COUNTED_TO})
    [scheduled] = await fetch(connection, Scheduled, outbox_sql.SCHEDULED)
    partitions = await day_partitions(connection)
    return OutboxStatus(
        backlog=backlog,
        troubles=await fetch(
            connection, Trouble, outbox_sql.TROUBLES, {"named": NAMED, "limit": COUNTED_TO}
        ),
        scheduled=scheduled,
        lanes=await lane_map(connection),
        partitions=len(partitions),
        days_covered=days_covered(partitions, await today(connection)),
    )


async def _inbox(connection: Connection) -> InboxStatus:
    return InboxStatus(
        await fetch(connection, ConsumerStreams, inbox_sql.CONSUMERS),
        await ParkedQueries(connection).counts(),
        await ParkedQueries(connection).groups(limit=TOP_GROUPS),
        await ParkedQueries(connection).heaviest(),
        [*await TrippedTypes(connection).all()],
        await MissingEvents(connection).counts(),
        await BeaconChains(connection).holes(),
    )
