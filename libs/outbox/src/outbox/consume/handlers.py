"""Handlers: of one event at a time, or of many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Histogram

from outbox import metrics
from outbox.envelope import Envelope
from outbox.write.work import UnitOfWork

Handler = Callable[[UnitOfWork, Envelope], Awaitable[None]]
ManyHandler = Callable[[UnitOfWork, Sequence[Envelope]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class HandleMany:
    """A handler that takes a list; see `handle_many`."""

    function: ManyHandler


Handlers = Mapping[str, Handler | HandleMany]
"""By event type."""


def handle_many(function: ManyHandler) -> HandleMany:
    """A handler of all events of its type that came together: one statement for all of them.

    async def on_placed(unit: UnitOfWork, events: Sequence[Envelope]) -> None: ...

    handlers = {"order.placed": handle_many(on_placed)}

    It gets from one event up to a whole batch, of any streams, those of one stream in order.
    Events of other types that follow in a stream are handled after it. It emits by
    `unit.caused_by(event).emit(…)`. If it raises, it is called again with each event alone.
    """
    return HandleMany(function)


@dataclass(frozen=True, slots=True)
class Bound:
    """A handler with what it is measured by."""

    type: str
    one: Handler | None
    many: ManyHandler | None
    seconds: Histogram


def bind(consumer: str, handlers: Handlers) -> dict[str, Bound]:
    """Each handler with its metric, looked up once."""
    return {
        kind: Bound(
            kind,
            one=None if isinstance(handler, HandleMany) else handler,
            many=handler.function if isinstance(handler, HandleMany) else None,
            seconds=metrics.HANDLER_SECONDS.labels(consumer, kind),
        )
        for kind, handler in handlers.items()
    }
