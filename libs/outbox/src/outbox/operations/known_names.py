"""Whether a control names something that exists: no process obeys a mistyped one.

The application says which queues and event types it consumes, and to which exchanges it publishes.
Without one the tables say which queues and types they have met; they know no exchange.
"""

from __future__ import annotations

from collections.abc import Collection

from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.position import CONSUMER_NAMES
from outbox.inbox.tripped_types import TrippedTypes
from outbox.operations.controls import OfRelay, Target
from outbox.operations.database import Connection, has_table
from outbox.worker import Application


async def unknown_name(
    connection: Connection, target: Target, application: Application | None = None
) -> str | None:
    """What is wrong with the target's name, with the names that exist; None if it is known."""
    if isinstance(target, OfRelay):
        exchanges = application.topology.exchanges if application else ()
        return _against("exchange", target.name, exchanges)
    wrong = _against("queue", target.name, await _queues(connection, application))
    if wrong is not None or not target.type:
        return wrong
    types = await _types(connection, target.name, application)
    return _against(f"event type of {target.name}", target.type, types)


def _against(what: str, name: str, known: Collection[str]) -> str | None:
    if name in known:
        return None
    listed = f"there are {', '.join(sorted(known))}" if known else "nothing says which there are"
    return f"no {what} is known as {name!r}: {listed}"


async def _queues(connection: Connection, application: Application | None) -> Collection[str]:
    if application is not None:
        return application.queues.keys() or application.topology.queues
    if not await has_table(connection, "inbox"):
        return ()
    found = await (await connection.execute(CONSUMER_NAMES)).fetchall()
    return {name for (name,) in found}


async def _types(
    connection: Connection, queue: str, application: Application | None
) -> Collection[str]:
    if application is not None and queue in application.queues:
        return application.queues[queue].keys()
    parked = {one.type for one in await ParkedQueries(connection, queue).types()}
    return parked | {one.type for one in await TrippedTypes(connection, queue).all()}
