"""Handlers: for one event at a time, for many together, or none on purpose.

Invariant: a type is handled, ignored on purpose, or unhandled. An unhandled type is never skipped
without a line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from prometheus_client import Histogram

from outbox import metrics
from outbox.argument_checks import check_handler
from outbox.errors import InvalidSetting
from outbox.event import Envelope
from outbox.log.unit_of_work import UnitOfWork
from outbox.rabbitmq.subscription import Subscribed, matches

logger = logging.getLogger(__name__)

Handler = Callable[[UnitOfWork, Envelope], Awaitable[None]]
ManyHandler = Callable[[UnitOfWork, Sequence[Envelope]], Awaitable[None]]
Unhandled = Literal["park", "skip"]
"""The choice for events whose type is neither handled nor ignored; see decision 1131."""


@dataclass(frozen=True, slots=True)
class HandleOne:
    """A handler of one event."""

    function: Handler


@dataclass(frozen=True, slots=True)
class HandleMany:
    """A handler of a list of events; see `handle_many`."""

    function: ManyHandler


@dataclass(frozen=True, slots=True)
class Ignore:
    """Stands where a handler would; see `ignore`."""


ignore: Final = Ignore()
"""Instead of a handler: the type is known, and has no effect here.

handlers = {"order.placed": on_placed, "order.viewed": ignore}
"""

HandlersByType = Mapping[str, Handler | HandleOne | HandleMany | Ignore]
"""Handlers by event type. `Handlers` is one; a dict is enough for events without a class."""


def handle_many(function: ManyHandler) -> HandleMany:
    """A handler of all events of its type that are in one batch: one statement for all of them.

    async def on_placed(unit: UnitOfWork, events: Sequence[Envelope]) -> None: ...

    handlers = {"order.placed": handle_many(on_placed)}

    It gets from one event up to a whole batch, of any streams, those of one stream in order.
    Events of other types that follow in a stream are handled after it. It emits by
    `unit.caused_by(event).emit(…)`. If it raises, it is called again with each event alone.
    """
    return HandleMany(function)


@dataclass(frozen=True, slots=True)
class Bound:
    """A handler with its metric."""

    type: str
    one: Handler | None
    many: ManyHandler | None
    seconds: Histogram


@dataclass(frozen=True, slots=True)
class Bindings:
    """The handlers of one consumer, and the types that it ignores."""

    consumer: str
    bound: Mapping[str, Bound]
    ignored: frozenset[str]
    unhandled: Unhandled = "park"
    _said: set[str] = field(default_factory=set)

    @property
    def known(self) -> list[str]:
        """The types that are handled or ignored."""
        return sorted({*self.bound, *self.ignored})

    def ignores(self, event: Envelope) -> bool:
        """Whether the event has no effect here: its type is ignored, or it is a tombstone."""
        return event.type in self.ignored or (event.is_tombstone and event.type not in self.bound)

    def knows(self, event: Envelope) -> bool:
        """Whether the event is handled or ignored."""
        return event.type in self.bound or self.ignores(event)

    def say_unhandled(self, type_: str) -> None:
        """Log it, once per type and process."""
        if type_ not in self._said:
            self._said.add(type_)
            done = "parked" if self.unhandled == "park" else "skipped"
            logger.warning(
                "%s has no handler of %s: its events are %s; handle or ignore the type",
                self.consumer,
                type_,
                done,
            )


def bind(consumer: str, handlers: HandlersByType, unhandled: Unhandled = "park") -> Bindings:
    """Look up each handler's metric once. Raises `InvalidSetting`."""
    if not isinstance(handlers, Mapping):
        raise InvalidSetting(
            f"handlers of {consumer}:",
            f"a mapping of event type to handler is needed, not {type(handlers).__name__}",
        )
    for kind in handlers:
        if not isinstance(kind, str) or not kind:
            raise InvalidSetting(f"handlers of {consumer}:", f"{kind!r} is no event type")
    if unhandled not in ("park", "skip"):
        raise InvalidSetting("unhandled", f"has to be 'park' or 'skip', not {unhandled!r}")
    active = {kind: given for kind, given in handlers.items() if not isinstance(given, Ignore)}
    return Bindings(
        consumer,
        {kind: _bind(consumer, kind, handler) for kind, handler in active.items()},
        frozenset(handlers) - frozenset(active),
        unhandled,
    )


def check_reached(
    queue: str, handlers: HandlersByType, subscriptions: Iterable[Subscribed]
) -> None:
    """Raises `InvalidSetting` for a type that never comes to its handler.

    A queue subscribes to aggregate types. If one has a dot and the name of a handled type, an
    event type was written instead, and every event would become a dead letter.
    """
    known = list(subscriptions)
    aggregates = sorted({name for one in known for name in one.aggregate_types})
    for kind in handlers:
        if "." in kind and kind in aggregates:
            raise InvalidSetting(
                f"queue {queue}",
                f"subscribes to {kind!r}, which is an event type: name its aggregate type instead",
            )
        if not any(matches(one.routing_keys, kind) for one in known):
            raise InvalidSetting(  # see decision 1151
                f"handler of {kind}",
                f"is never called: {queue} takes only {', '.join(aggregates)}",
            )


def _bind(consumer: str, kind: str, handler: Handler | HandleOne | HandleMany) -> Bound:
    seconds = metrics.HANDLER_SECONDS.labels(consumer, kind)
    if isinstance(handler, HandleMany):
        check_handler(f"handler of {kind}", handler.function, ("unit", "events"))
        return Bound(kind, one=None, many=handler.function, seconds=seconds)
    function = handler.function if isinstance(handler, HandleOne) else handler
    check_handler(f"handler of {kind}", function, ("unit", "event"))
    return Bound(kind, one=function, many=None, seconds=seconds)
