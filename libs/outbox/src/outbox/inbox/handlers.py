"""Handlers: for one event at a time, for many together, or none on purpose.

Invariant: a type is handled, ignored on purpose, or unhandled. An unhandled type is never skipped
without a line in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from prometheus_client import Histogram

from outbox import metrics
from outbox.argument_checks import check_handler
from outbox.errors import InvalidSetting
from outbox.event import Envelope
from outbox.inbox.failure_policy import NO_RULES, Failures, check_failures
from outbox.inbox.middleware import Handling, Middleware, Proceed, compose, given, traced
from outbox.inbox.time_limit import TimeLimit
from outbox.inbox.watchdog import Watchdog
from outbox.log.unit_of_work import UnitOfWork
from outbox.rabbitmq.subscription import Subscribed, matches
from outbox.supervise import whole

logger = logging.getLogger(__name__)

Handler = Callable[[UnitOfWork, Envelope], Awaitable[None]]
ManyHandler = Callable[[UnitOfWork, Sequence[Envelope]], Awaitable[None]]
Unhandled = Literal["park", "skip"]
"""The choice for events whose type is neither handled nor ignored; see decision 1131."""


@dataclass(frozen=True, slots=True)
class HandleOne:
    """A handler of one event."""

    function: Handler
    time_limit: float | None = None
    """In seconds; None for that of the settings."""
    failures: Failures = field(default_factory=dict)
    """What is done when it raises, before the rules of the settings."""


@dataclass(frozen=True, slots=True)
class HandleMany:
    """A handler of a list of events; see `handle_many`."""

    function: ManyHandler
    time_limit: float | None = None
    failures: Failures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ignore:
    """Stands where a handler would; see `ignore`."""


ignore: Final = Ignore()
"""Instead of a handler: the type is known, and has no effect here.

handlers = {"order.placed": on_placed, "order.viewed": ignore}
"""

HandlersByType = Mapping[str, Handler | HandleOne | HandleMany | Ignore]
"""Handlers by event type. `Handlers` is one; a dict is enough for events without a class."""


def handle_many(
    function: ManyHandler,
    *,
    time_limit: float | None = None,
    failures: Failures = NO_RULES,
) -> HandleMany:
    """A handler of all events of its type that are in one batch: one statement for all of them.

    async def on_placed(unit: UnitOfWork, events: Sequence[Envelope]) -> None: ...

    handlers = {"order.placed": handle_many(on_placed)}

    It gets from one event up to a whole batch, of any streams, those of one stream in order.
    Events of other types that follow in a stream are handled after it. It emits by
    `unit.caused_by(event).emit(…)`. If it raises, it is called again with each event alone.
    """
    return HandleMany(function, time_limit, failures)


@dataclass(frozen=True, slots=True)
class Bound:
    """A handler with all that runs around it."""

    type: str
    many: bool
    call: Proceed
    failures: Failures


@dataclass(frozen=True, slots=True)
class Around:
    """What runs around the handlers of one consumer."""

    watchdog: Watchdog
    middleware: Sequence[Middleware] = ()
    time_limit: float = 0
    succeeded: Callable[[str], None] = lambda _: None
    """Is told the type of each call that returns."""


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


def bind(
    consumer: str,
    handlers: HandlersByType,
    unhandled: Unhandled = "park",
    around: Around | None = None,
) -> Bindings:
    """Compose the call of each handler once. Raises `InvalidSetting`."""
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
    around = around or Around(Watchdog(limit=float("inf")))
    active = {kind: given for kind, given in handlers.items() if not isinstance(given, Ignore)}
    return Bindings(
        consumer,
        {kind: _bind(consumer, kind, handler, around) for kind, handler in active.items()},
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


def _bind(
    consumer: str, kind: str, handler: Handler | HandleOne | HandleMany, around: Around
) -> Bound:
    if not isinstance(handler, HandleOne | HandleMany):
        handler = HandleOne(handler)
    many = isinstance(handler, HandleMany)
    check_handler(f"handler of {kind}", handler.function, ("unit", "events" if many else "event"))
    check_failures(f"failures of the handler of {kind}", handler.failures)
    call = compose(
        _calling(handler),
        around.watchdog.watch,
        traced,
        *given(*around.middleware),
        _observing(metrics.HANDLER_SECONDS.labels(consumer, kind), around.succeeded),
        *_limiting(kind, handler, around),
    )
    return Bound(kind, many, call, handler.failures)


def _calling(handler: HandleOne | HandleMany) -> Proceed:
    function: Callable[[UnitOfWork, Any], Awaitable[None]] = handler.function
    many = isinstance(handler, HandleMany)

    async def call(handling: Handling) -> None:
        await whole(function(handling.unit, handling.events if many else handling.events[0]))
        handling.transaction.check()

    return call


def _observing(seconds: Histogram, succeeded: Callable[[str], None]) -> Middleware:
    async def observe(handling: Handling, proceed: Proceed) -> None:
        began = time.perf_counter()
        await proceed(handling)
        seconds.observe(time.perf_counter() - began)
        succeeded(handling.type)

    return observe


def _limiting(kind: str, handler: HandleOne | HandleMany, around: Around) -> list[Middleware]:
    seconds = around.time_limit if handler.time_limit is None else handler.time_limit
    if handler.time_limit is not None and not 0 <= seconds < around.watchdog.limit:
        rule = f"below hangs_after, which is {around.watchdog.limit:g} s, not {seconds!r}"
        raise InvalidSetting(f"time_limit of the handler of {kind}", f"has to be {rule}")
    if not seconds:
        return []
    limit = TimeLimit(seconds)
    return [lambda handling, proceed: limit.keep(proceed(handling))]
