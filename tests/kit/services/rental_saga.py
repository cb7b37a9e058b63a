"""Both services' domains around one rental, step by step: the test decides what happens when.

Real databases, the stand-ins in this process, and no broker: events are carried by hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import service_orders.bootstrap
import service_orders.metadata
import service_processor.bootstrap
import service_processor.metadata
from kit.servers import addresses
from kit.servers.databases import filled_database
from kit.services.external_systems import ExternalWorld
from outbox import Envelope, Outbox, RetryPolicy, Work, open_work
from outbox.jobs import JobSettings, JobWorker
from outbox.testing import RecordingPublisher, deliver, relay_once
from service_orders.domains.rentals import handlers as rentals
from service_orders.domains.rentals import repository, service
from service_orders.domains.rentals.models import Rental
from service_processor.domains.payments import handlers as payments
from service_processor.domains.payments.provider import Provider, payment_jobs
from servicekit.database.engine import create_engine
from servicekit.database.migrations import upgrade
from servicekit.process.runtime import Service
from servicekit.process.urls import PostgresUrl
from servicekit.service.history import HistoryEntry

EAGER = JobSettings(retry=RetryPolicy(attempts=None, base=0.001, ceiling=0.001))


@dataclass
class Saga:
    """Two works, the external systems, and the events that nobody has carried yet."""

    orders: Work
    processor: Work
    external: ExternalWorld
    under_way: list[Envelope] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.jobs = JobWorker(self.processor, payment_jobs(Provider(self.external.http)), EAGER)

    async def start(self, user_id: str = "user-1", scooter_id: str = "scooter-1") -> UUID:
        """An offer taken."""
        offer, _ = await self.external.offer_issuer().offer(self.orders, user_id, scooter_id)
        async with self.orders.begin() as unit:
            return (await service.start(unit, offer)).id

    async def finish(self, rental_id: UUID) -> Rental:
        """The call of the user. Raises what the API would answer."""
        async with self.orders.begin() as unit:
            return await service.finish(unit, rental_id)

    async def age(self, rental_id: UUID, seconds: int) -> None:
        """Let the ride have begun so long ago."""
        async with self.orders.engine.begin() as connection:
            await connection.exec_driver_sql(
                "UPDATE rentals SET active_at = active_at - make_interval(secs => %s)"
                " WHERE id = %s",
                (seconds, rental_id),
            )

    async def collect(self) -> list[str]:
        """Take what both outboxes have; returns the types of all that is under way."""
        for work in (self.orders, self.processor):
            publisher = RecordingPublisher()
            async with work.engine.begin() as connection:
                await relay_once(connection, publisher)
            self.under_way += publisher.published
        return [envelope.type for envelope in self.under_way]

    async def carry(self, *types: str, keep: bool = False) -> None:
        """Deliver what is under way of these types (of all, without); `keep` for once more."""
        await self.collect()
        chosen = [e for e in self.under_way if not types or e.type in types]
        if not keep:
            self.under_way = [e for e in self.under_way if e not in chosen]
        for envelope in chosen:
            if envelope.stream.aggregate_type == "rental":
                parked = await deliver(self.processor, "processor.rentals", payments.on, envelope)
            else:
                parked = await deliver(self.orders, "orders.rentals", rentals.on, envelope)
            assert parked == []

    async def run_to_rest(self) -> None:
        """Carry and call until nothing moves any more."""
        while await self.collect() or await self.jobs.run_due():
            await self.carry()

    async def rental(self, rental_id: UUID) -> Rental:
        return await repository.reader(self.orders).get(rental_id)

    async def history(self, rental_id: UUID) -> list[HistoryEntry]:
        async with self.orders.read() as connection:
            found = await repository.history_of(connection, rental_id)
        assert found is not None
        return found

    async def summary(self, user_id: str) -> tuple[Any, ...]:
        """Rides, debt and the last payment's status of a user."""
        query = "SELECT rides_count, debt, last_payment_status FROM user_summary WHERE user_id = %s"
        async with self.orders.read() as connection:
            return tuple((await connection.exec_driver_sql(query, (user_id,))).one())


@asynccontextmanager
async def saga() -> AsyncIterator[Saga]:
    """Two migrated databases, and stand-ins that are well."""
    async with AsyncExitStack() as stack:

        async def work(service: Service, outbox: Outbox) -> Work:
            def migrate(url: str) -> None:
                upgrade(PostgresUrl(url), service.ini, variable=service.database_variable)

            filled = filled_database(addresses.postgres(), migrate)
            url = PostgresUrl(stack.enter_context(filled))
            engine = create_engine(url, application_name="saga")
            return await stack.enter_async_context(open_work(engine, url, outbox))

        external = ExternalWorld(timeout=30)
        assert await external.externals.refresh_rules()
        yield Saga(
            await work(service_orders.bootstrap.SERVICE, service_orders.metadata.outbox),
            await work(service_processor.bootstrap.SERVICE, service_processor.metadata.outbox),
            external,
        )
