"""Everything that can be wrong, each with its fix."""

from __future__ import annotations

from outbox.application import Application
from outbox.operations.database import Connection, has_table
from outbox.operations.doctor_broker import check_broker
from outbox.operations.doctor_flow import check_flow
from outbox.operations.doctor_handlers import check_handlers
from outbox.operations.doctor_schema import check_schema
from outbox.operations.findings import Finding, Level, skipped
from outbox.rabbitmq.management_api import Management


async def examine(
    connection: Connection,
    *,
    broker_url: str | None = None,
    application: Application | None = None,
    management: Management | None = None,
) -> list[Finding]:
    """Check one database and, where it is known how it should be, the broker."""
    found = await check_schema(connection)
    if all(finding.level is not Level.ERROR for finding in found if finding.check == "tables"):
        found += await check_flow(connection)
        if await has_table(connection, "inbox"):
            found += await check_handlers(connection, application.queues if application else None)
    if broker_url is None:
        return [*found, skipped("broker", "no URL", "give --broker-url or RABBITMQ_URL")]
    if application is None:
        return [*found, skipped("broker", "no topology to compare with", "give --app")]
    return [*found, *await check_broker(broker_url, application.topology, management)]
