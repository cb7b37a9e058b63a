"""One object for all that a person can ask of a service and change in it.

Invariant: nothing else changes anything for a person. The command `outbox`, the HTTP operations and
the console build an `Operator` and call it. Whatever it changes is written down with its actor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import cached_property
from types import MappingProxyType

from outbox.addresses import Broker, Database
from outbox.errors import InvalidSetting, NotThere
from outbox.operations.database import Connection, open_database
from outbox.operations.doctor import Finding, examine
from outbox.operations.flow import Flow, flow
from outbox.operations.journey import Journey, Match, Slow, journey, search, slowest
from outbox.operations.lanes import LaneMap, lane_map, set_lanes
from outbox.operations.operator.controls import Controls
from outbox.operations.operator.jobs import Jobs
from outbox.operations.operator.parked import Parked
from outbox.operations.operator.queues import Queues, QueueView
from outbox.operations.operator.record import Actor, Record
from outbox.operations.operator.replays import Replays
from outbox.operations.operator.scheduled import ScheduledEvents
from outbox.operations.operator.streams import Streams
from outbox.operations.operator.tripped import Tripped
from outbox.operations.operator.unpublished import Unpublished
from outbox.operations.partitions import DayPartition, day_partitions, ensure_days, today
from outbox.operations.queue_migration import Migrated, Say, migrate
from outbox.operations.reconcile import GRACE, Reconciliation, reconcile
from outbox.operations.status import Status, status
from outbox.rabbitmq.management_api import Management
from outbox.rabbitmq.subscription import Subscribed
from outbox.worker import Application

Others = Mapping[str, "Operator"]
"""Operators of other services, by the names of these."""
NO_OTHERS: Others = MappingProxyType({})


class Operator:
    """One service's database, broker and application, for one actor.

    It works on one connection in autocommit, so one thing at a time.
    """

    def __init__(
        self,
        connection: Connection,
        by: Actor,
        *,
        database_url: Database | None = None,
        broker_url: Broker | None = None,
        management_url: str | None = None,
        application: Application | None = None,
    ) -> None:
        self.connection = connection
        self.actor = by
        self.database_url = database_url
        self.broker_url = broker_url
        self.management_url = management_url
        self.application = application
        self.record = Record(connection, by)
        self.history = self.record.history

    @cached_property
    def parked(self) -> Parked:
        """Events that consumers have parked."""
        return Parked(self.connection, self.record)

    @cached_property
    def unpublished(self) -> Unpublished:
        """Events of the outbox table that cannot be published."""
        return Unpublished(self.connection, self.record)

    @cached_property
    def replay(self) -> Replays:
        """Events published again."""
        return Replays(self.connection, self.record)

    @cached_property
    def scheduled(self) -> ScheduledEvents:
        """Events that are not yet due."""
        return ScheduledEvents(self.connection, self.record)

    @cached_property
    def jobs(self) -> Jobs:
        """Calls to other systems."""
        return Jobs(self.connection, self.record)

    @cached_property
    def controls(self) -> Controls:
        """What is paused or throttled."""
        return Controls(self.connection, self.record, self.application)

    @cached_property
    def tripped(self) -> Tripped:
        """Event types that wait because their dependency is away."""
        return Tripped(self.connection, self.record)

    @cached_property
    def streams(self) -> Streams:
        """One aggregate's events and positions."""
        return Streams(self.connection, self.record)

    @cached_property
    def broker(self) -> Queues:
        """The queues, and their dead letters."""
        return Queues(
            self.connection, self.record, self.broker_url, self.management_url, self.application
        )

    async def status(self) -> Status:
        """What waits to be published, applied or called, and why."""
        return await status(self.connection)

    async def flow(self, since: datetime | None = None) -> Flow:
        """What has flowed since a time by the database's clock, and what waits. Bounded."""
        return await flow(self.connection, since)

    async def lanes(self) -> LaneMap:
        """Which relay owns which lane."""
        return await lane_map(self.connection)

    async def set_lanes(self, lanes: int) -> None:
        """Have another number of lanes; running relays follow within seconds."""
        async with self.record.change("set lanes", "outbox", one_transaction=True) as change:
            if not await set_lanes(self.connection, lanes):
                raise NotThere("outbox_settings is empty: has this database been migrated?")
            change.detail = f"{lanes} lanes"

    async def partitions(self) -> list[DayPartition]:
        """The days of the outbox table."""
        return await day_partitions(self.connection)

    async def today(self) -> date:
        """The database's day in UTC."""
        return await today(self.connection)

    async def ensure_days(self) -> None:
        """Create the missing days of the outbox table, on a connection of their own."""
        if self.database_url is None:
            raise InvalidSetting("database_url", "is needed to create days")
        async with self.record.change("create partitions", "outbox"):
            await ensure_days(self.database_url)

    async def queues(self) -> Sequence[QueueView]:
        """RabbitMQ's view of the queues."""
        return await self.broker.list()

    async def migrate_queue(self, queue: str, *, say: Say = lambda _: None) -> Migrated:
        """Give a queue the arguments that the application declares, and keep its messages."""
        if self.application is None or self.broker_url is None:
            raise InvalidSetting("application", "and broker_url are needed to migrate a queue")
        async with self.record.change("migrate queue", queue) as change:
            done = await migrate(self.broker_url, self.application.topology, queue, say=say)
            change.events = done.back
        return done

    async def doctor(self) -> list[Finding]:
        """What is wrong with the database and the broker, each with its fix."""
        management = None
        if self.management_url is not None and self.broker_url is not None:
            management = Management(self.management_url, self.broker_url)
        return await examine(
            self.connection,
            broker_url=self.broker_url,
            application=self.application,
            management=management,
        )

    async def journey(
        self, id_: str, others: Others = NO_OTHERS, *, name: str = "", everywhere: bool = False
    ) -> Journey:
        """All that is known under an id in this database and those of other services."""
        return await journey(self._databases(name, others), id_, everywhere=everywhere)

    async def slowest(
        self, others: Others = NO_OTHERS, *, name: str = "", limit: int = 20
    ) -> Sequence[Slow]:
        """The events of the last hour that took the longest from their commit to their effect."""
        return await slowest(self._databases(name, others), limit=limit)

    async def search(
        self, text: str, others: Others = NO_OTHERS, *, name: str = ""
    ) -> Sequence[Match]:
        """What a text may name, or what begins with it."""
        return await search(self._databases(name, others), text)

    def _databases(self, name: str, others: Others) -> dict[str, Connection]:
        """By the names of their services; this one has the name of its database without one."""
        mine = {name or self.connection.info.dbname: self.connection}
        return mine | {other: operator.connection for other, operator in others.items()}

    async def reconcile(
        self,
        consumer: Operator,
        *,
        consumers: Collection[str] = (),
        aggregate_types: Collection[str] = (),
        subscriptions: Iterable[Subscribed] | None = None,
        grace: float = GRACE,
    ) -> Reconciliation:
        """Name every event that this database has produced and the consumer's lacks."""
        return await reconcile(
            self.connection,
            consumer.connection,
            consumers=consumers,
            aggregate_types=aggregate_types,
            subscriptions=subscriptions,
            grace=grace,
        )


@asynccontextmanager
async def open_operator(
    database_url: Database,
    *,
    by: Actor,
    broker_url: Broker | None = None,
    management_url: str | None = None,
    application: Application | None = None,
    statement_timeout: float = 0,
) -> AsyncIterator[Operator]:
    """An operator on a connection of its own. Raises `InvalidSetting` for what is no address.

    A statement may take so many seconds; 0 is no limit.
    """
    async with open_database(
        database_url, via=by.via, statement_timeout=statement_timeout
    ) as connection:
        yield Operator(
            connection,
            by,
            database_url=database_url,
            broker_url=broker_url,
            management_url=management_url,
            application=application,
        )
