"""What is wrong with a database and its broker, each with its fix.

Nothing is created or changed (see decision 0704). `schema` compares tables, indexes and partitions
with what this release declares. `flow` checks whether events move: relays, backlog, parked events,
jobs, clocks. `handlers` compares parked types with the application's handlers, `broker` the broker
with its topology. A check that cannot be made says so as `skipped`; an `error` breaks a promise of
the library, now or soon.
"""

from __future__ import annotations

from outbox.addresses import Broker
from outbox.operations.database import Connection, has_table
from outbox.operations.doctor.broker import check_broker
from outbox.operations.doctor.findings import Finding, Level, skipped
from outbox.operations.doctor.flow import check_flow
from outbox.operations.doctor.handlers import check_handlers
from outbox.operations.doctor.schema import check_schema
from outbox.rabbitmq.management_api import Management
from outbox.worker import Application

__all__ = ["Finding", "Level", "examine"]


async def examine(
    connection: Connection,
    *,
    broker_url: Broker | None = None,
    application: Application | None = None,
    management: Management | None = None,
) -> list[Finding]:
    """Check one database and, with a URL and an application to compare with, the broker."""
    found = await check_schema(connection)
    if all(finding.level is not Level.ERROR for finding in found if finding.check == "tables"):
        found += await check_flow(connection)
        if await has_table(connection, "inbox"):
            found += await check_handlers(connection, application.queues if application else None)
    if broker_url is None:
        return [*found, skipped("broker", "no URL", "give --broker-url or RABBITMQ_URL")]
    if application is None:
        return [*found, skipped("broker", "no topology to compare with", "give --app")]
    return [*found, *await check_broker(broker_url, application, management)]
