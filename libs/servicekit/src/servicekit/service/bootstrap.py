"""Builds what every process of a service stands on.

An API process and a worker begin alike: the foundation of `process.runtime`, then partitions for
today, then units of work. A worker adds background services and runs those of the roles that it
was started for.

One file, because an API and a worker share most of what is built here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox import (
    Application,
    BackgroundService,
    Consumer,
    ConsumerSettings,
    DayPartitions,
    HandlersByType,
    Maintenance,
    Outbox,
    Relay,
    Topology,
    Work,
    open_work,
)
from outbox.operations_api import OperatedService, build_operations_app
from outbox.postgres.day_partitions import INBOX_APPLIED, OUTBOX
from servicekit.database.engine import POOL_SIZE, create_engine, ensure_reachable
from servicekit.database.expiry import Expiry
from servicekit.http.idempotency_keys import delete_expired_batch
from servicekit.observe import trace
from servicekit.process import runtime
from servicekit.process.broker import BrokerProbe
from servicekit.process.parent import Parent, is_child
from servicekit.process.runtime import Foundation, Service, foundation, run_services
from servicekit.process.settings import ServiceSettings
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl

__all__ = ["Api", "Role", "ServiceBootstrap", "ServiceDatabase", "Worker"]

_LISTENING_AND_HEALTH = 2
"""Connections of an API process that are not of its pool."""

logger = structlog.get_logger(__name__)


class Role(StrEnum):
    """A kind of background work; a worker process does one or several kinds."""

    RELAY = "relay"
    CONSUMER = "consumer"
    JOBS = "jobs"
    MAINTENANCE = "maintenance"
    AUDIT = "audit"


@dataclass(frozen=True)
class ServiceDatabase:
    """How the service logs in to its database, and how the owner of the tables does.

    `variable` and `owner_variable` are the environment variables that errors name. Without
    `owner_url` the service owns its tables.
    """

    url: PostgresUrl
    variable: str
    owner_url: PostgresUrl | None
    owner_variable: str

    @property
    def owner(self) -> tuple[PostgresUrl, str]:
        """The URL of the owner, and the variable that it comes from."""
        if self.owner_url is None:
            return self.url, self.variable
        return self.owner_url, self.owner_variable


@dataclass(frozen=True)
class Api:
    """What an API process stands on."""

    foundation: Foundation
    work: Work
    broker: BrokerProbe


@dataclass
class Worker:
    """What a worker process stands on, and its background services by role and name."""

    foundation: Foundation
    work: Work
    operations: FastAPI
    services: dict[Role, dict[str, BackgroundService]] = field(default_factory=dict)

    def add(self, role: Role, name: str, service: BackgroundService) -> None:
        """Add a background service; `name` is what health and logs call it."""
        self.services.setdefault(role, {})[name] = service

    async def run(self, roles: Collection[Role]) -> None:
        """Run the background services of these roles until told to stop."""
        chosen = {
            name: service
            for role, services in self.services.items()
            if role in roles
            for name, service in services.items()
        }
        await run_services(self.foundation, chosen, operations=self.operations)


@dataclass(frozen=True)
class ServiceBootstrap:
    """One service under its settings.

    `partitioned` are its tables with a partition per day, besides the times of applied events.
    """

    service: Service
    settings: ServiceSettings
    database: ServiceDatabase
    outbox: Outbox
    exchange: str
    topology: Topology
    partitioned: Sequence[DayPartitions] = (OUTBOX,)

    @property
    def by_day(self) -> tuple[DayPartitions, ...]:
        """All tables with a partition per day."""
        times = replace(INBOX_APPLIED, keep=self.settings.journey_retention_days)
        return (*self.partitioned, times)

    async def migrate(self) -> None:
        """Bring the schema to head, and make the partitions of the days to come."""
        await runtime.migrate(self.service, self.settings, *self.database.owner)
        await self.prepare_partitions()

    async def prepare_partitions(self) -> None:
        """Make missing partitions. Raises StartupProblem if a table has none for today."""
        async with self._owner_engine() as engine:
            await self._prepare(self._maintenance(engine))

    @asynccontextmanager
    async def open_work(self, process: str, *, more_connections: int = 0) -> AsyncIterator[Work]:
        """Units of work on tables that can be written today; `process` is named to PostgreSQL."""
        await self.prepare_partitions()
        engine = create_engine(
            self.database.url,
            application_name=f"{self.service.name} {process}",
            pool_size=POOL_SIZE + more_connections,
        )
        async with open_work(
            engine, self.database.url, self.outbox, traceparent=trace.traceparent
        ) as work:
            yield work

    async def run_api(
        self, port: int, port_variable: str, answer: Callable[[Api], Awaitable[None]]
    ) -> None:
        """Call `answer` with what an API needs, here or in each of API_PROCESSES children.

        The broker may be away. With children, this process only checks the start and watches them.
        """
        async with self._foundation(port, port_variable) as base:
            processes = self.settings.api_processes
            if processes > 1 and not is_child():
                most = processes * (POOL_SIZE + _LISTENING_AND_HEALTH)
                logger.info("api_processes", processes=processes, database_connections_at_most=most)
                await Parent(base.listener, processes, base.stop).run()
            else:
                await self._answer(base, answer)

    async def _answer(self, base: Foundation, answer: Callable[[Api], Awaitable[None]]) -> None:
        name = f"{self.service.name} api health"
        async with (
            self.open_work("api") as work,
            BrokerProbe(self.settings.rabbitmq_url, name=name) as broker,
        ):
            await answer(Api(base, work, broker))

    @asynccontextmanager
    async def worker(
        self,
        port: int,
        port_variable: str,
        *,
        queues: Mapping[str, HandlersByType],
    ) -> AsyncIterator[Worker]:
        """A relay, a consumer for each queue, and the maintenance; the caller adds its own."""
        async with (
            self._foundation(port, port_variable) as base,
            self.open_work("worker", more_connections=self._workers_of(queues)) as work,
            self._owner_engine() as owner_engine,
        ):
            worker = Worker(base, work, self._operations(queues))
            worker.add(Role.RELAY, "relay", self._relay(work))
            settings = self.settings.of_consumers()
            for queue, handlers in queues.items():
                consumer = self._consumer(work, queue, handlers, settings)
                worker.add(Role.CONSUMER, f"consumer {queue}", consumer)
            for table, maintenance in self._maintenance(owner_engine).items():
                name = "maintenance" if table == OUTBOX.table else f"maintenance {table}"
                worker.add(Role.MAINTENANCE, name, maintenance)
            keys = Expiry(work.engine, delete_expired_batch, rows="idempotency keys")
            worker.add(Role.MAINTENANCE, "maintenance keys", keys)
            yield worker

    def _operations(self, queues: Mapping[str, HandlersByType]) -> FastAPI:
        """The HTTP operations, for whoever has one of the tokens."""
        application = Application(self.topology, queues, self.settings.of_consumers())
        service = OperatedService(
            self.service.name,
            self.database.url,
            self.settings.rabbitmq_url,
            application=application,
        )
        return build_operations_app(service, self.settings.tokens)

    def _workers_of(self, queues: Mapping[str, HandlersByType]) -> int:
        return len(queues) * self.settings.inbox_concurrency

    def _relay(self, work: Work) -> Relay:
        return Relay(
            database_url=self.database.url,
            broker_url=self.settings.rabbitmq_url,
            exchange=self.exchange,
            topology=self.topology,
            notifications=work.notifications,
        )

    def _consumer(
        self, work: Work, queue: str, handlers: HandlersByType, settings: ConsumerSettings
    ) -> Consumer:
        return Consumer(
            queue=queue,
            handlers=handlers,
            work=work,
            broker_url=self.settings.rabbitmq_url,
            topology=self.topology,
            settings=settings,
        )

    def _foundation(self, port: int, variable: str) -> AbstractAsyncContextManager[Foundation]:
        return foundation(self.service, self.settings, self.database.url, port, variable)

    @asynccontextmanager
    async def _owner_engine(self) -> AsyncIterator[AsyncEngine]:
        """An engine of the role that may make partitions."""
        url, variable = self.database.owner
        await ensure_reachable(url, variable=variable)
        engine = create_engine(
            url,
            application_name=f"{self.service.name} maintenance",
            pool_size=len(self.by_day),
        )
        try:
            yield engine
        finally:
            await engine.dispose()

    def _maintenance(self, engine: AsyncEngine) -> dict[str, Maintenance]:
        return {days.table: Maintenance(engine, days) for days in self.by_day}

    async def _prepare(self, maintenance: Mapping[str, Maintenance]) -> None:
        url, variable = self.database.owner
        for table, one in maintenance.items():
            if not await one.prepare():
                raise StartupProblem(
                    f"the {table} at {url.address} has no partition for today and none could be"
                    f" made: run `make migrate-{self.service.short_name}` (see {variable})"
                )
