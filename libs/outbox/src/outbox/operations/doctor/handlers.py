"""Whether the application's handlers know the types of parked events."""

from __future__ import annotations

from collections.abc import Mapping

from outbox.inbox.handlers import HandlersByType
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import ParkedType
from outbox.operations.database import Connection
from outbox.operations.doctor.findings import Finding, error, ok, warning
from outbox.plural import counted


async def check_handlers(
    connection: Connection, queues: Mapping[str, HandlersByType] | None = None
) -> list[Finding]:
    """Compare parked types with the handlers by queue, as far as those are known."""
    waiting = await ParkedQueries(connection).types()
    found = [finding for one in waiting for finding in _of(one, queues or {})]
    return found or [ok("handlers", "no parked type lacks a handler")]


def _of(waiting: ParkedType, queues: Mapping[str, HandlersByType]) -> list[Finding]:
    name, handlers = f"{waiting.consumer}: {waiting.type}", queues.get(waiting.consumer)
    since = f"{waiting.oldest:%Y-%m-%d %H:%M:%S%z}"
    if handlers is not None and waiting.type in handlers:
        if not waiting.unhandled:
            return []
        unhandled = counted(waiting.unhandled, "event is unhandled", "events are unhandled")
        says = f"{name} is handled here, and {unhandled} since {since}"
        fix = "start this application's consumer: it retries them within a minute"
        return [warning("handlers", says, f"{fix}; older processes that still run park them again")]
    fix = f'add "{waiting.type}" to the handlers of {waiting.consumer}, or as outbox.ignore'
    if waiting.unhandled:
        parked = counted(waiting.unhandled, "event is parked", "events are parked")
        says = f"{name} has no handler: {parked} since {since}"
        return [error("handlers", says, f"{fix}, and deploy; or `outbox parked discard`")]
    if handlers is None:
        return []
    events = counted(waiting.events, "event that waits", "events that wait")
    says = f"{name} has no handler: {events} will be parked or skipped"
    return [error("handlers", says, f"{fix}, before they are retried")]
