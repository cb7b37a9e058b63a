"""Handlers by event class: a handler gets an instance of the class instead of an envelope.

Invariant: every event class that the queue receives is handled or ignored on purpose. `check`
refuses anything else, so that a forgotten handler is an error at import and not a parked event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import wraps
from typing import Any, ClassVar, Protocol, Self, TypeVar

from outbox.argument_checks import check_handler
from outbox.errors import InvalidSetting
from outbox.event import Envelope
from outbox.inbox.handlers import HandleMany, Handler, Ignore, ignore
from outbox.log.unit_of_work import UnitOfWork
from outbox.rabbitmq.subscription import Subscribed

__all__ = ["EventClass", "EventHandlers"]


class EventClass(Protocol):
    """A class of events: `of` reads an envelope, and raises for a body that does not fit."""

    type: ClassVar[str]

    @classmethod
    def of(cls, delivered: Any, /) -> Self: ...


E = TypeVar("E", bound=EventClass)
EventHandler = Callable[[UnitOfWork, E], Awaitable[None]]


class EventHandlers(Mapping[str, Handler | HandleMany | Ignore]):
    """The handlers of one queue, registered by event class.

    on = EventHandlers(KITCHEN_ORDERS, OrderPlaced, OrderViewed)
    on.ignores(OrderViewed)

    @on(OrderPlaced)
    async def cook(unit: UnitOfWork, placed: OrderPlaced) -> None: ...
    """

    def __init__(self, subscription: Subscribed, *expected: type[EventClass]) -> None:
        """`expected` are the classes of all events that the subscription's queue receives."""
        self.queue = subscription.queue
        self._expected = {kind.type: kind for kind in expected}
        self._handlers: dict[str, Handler | HandleMany | Ignore] = {}

    def __call__(self, kind: type[E]) -> Callable[[EventHandler[E]], EventHandler[E]]:
        """Register the decorated function. Raises `InvalidSetting` for a class registered twice,
        one that the queue does not receive, and what `check_handler` refuses."""

        def register(function: EventHandler[E]) -> EventHandler[E]:
            check_handler(f"handler of {kind.type}", function, ("unit", "event"))

            @wraps(function)
            async def handle(unit: UnitOfWork, envelope: Envelope) -> None:
                await function(unit, kind.of(envelope))

            self._register(kind, handle)
            return function

        return register

    def ignores(self, *kinds: type[EventClass]) -> None:
        """Say that these events have no effect here."""
        for kind in kinds:
            self._register(kind, ignore)

    def check(self) -> None:
        """Raises `InvalidSetting` for a class that is neither handled nor ignored."""
        missing = [kind.__name__ for type_, kind in self._expected.items() if type_ not in self]
        if missing:
            one = missing[0]
            raise InvalidSetting(
                f"queue {self.queue}",
                f"has no handler of {', '.join(missing)}: write one under @on({one}), "
                f"or say on.ignores({one})",
            )

    def _register(self, kind: type[EventClass], handler: Handler | Ignore) -> None:
        if kind.type in self._handlers:
            raise InvalidSetting(f"handler of {kind.type}", "is registered twice")
        if kind.type not in self._expected:
            expected = ", ".join(sorted(self._expected)) or "nothing"
            raise InvalidSetting(
                f"handler of {kind.type}",
                f"is never called: queue {self.queue} receives {expected} (by its aggregate types)",
            )
        self._handlers[kind.type] = handler

    def __getitem__(self, type_: str) -> Handler | HandleMany | Ignore:
        return self._handlers[type_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)
