"""Handlers by event class: a handler gets an instance of the class instead of an envelope.

Invariant: every event class that the queue receives is handled or ignored on purpose. `check`
refuses anything else, so that a forgotten handler is an error at import and not a parked event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from outbox.argument_checks import accepts, check_handler
from outbox.errors import InvalidSetting
from outbox.event import Envelope
from outbox.inbox.event_classes import reader_of, type_of
from outbox.inbox.failure_policy import NO_RULES, Failures
from outbox.inbox.handlers import HandleMany, HandleOne, Ignore, ignore
from outbox.log.unit_of_work import UnitOfWork
from outbox.rabbitmq.subscription import Subscribed

__all__ = ["Handlers"]

E = TypeVar("E")
Given = TypeVar("Given")
Enveloped = TypeVar("Enveloped")


class Register(Protocol[Given, Enveloped]):
    """A decorator that registers a function and returns it unchanged."""

    @overload
    def __call__(
        self, function: Callable[[UnitOfWork, Given], Awaitable[None]], /
    ) -> Callable[[UnitOfWork, Given], Awaitable[None]]: ...

    @overload
    def __call__(
        self, function: Callable[[UnitOfWork, Given, Enveloped], Awaitable[None]], /
    ) -> Callable[[UnitOfWork, Given, Enveloped], Awaitable[None]]: ...


class Handlers(Mapping[str, HandleOne | HandleMany | Ignore]):
    """The handlers of one queue, registered by event class.

    on = Handlers(KITCHEN_ORDERS, OrderPlaced, OrderPrinted, OrderViewed)
    on.ignores(OrderViewed)

    @on(OrderPlaced)
    async def cook(unit: UnitOfWork, placed: OrderPlaced) -> None: ...

    @on.many(OrderPrinted)
    async def count(unit: UnitOfWork, printed: Sequence[OrderPrinted]) -> None: ...

    A class has a `type`, and reads events with `from_envelope`, with `parse`, or as a pydantic
    model does (see `reader_of`). A function with a third parameter also gets the envelope, or the
    envelopes.
    """

    def __init__(self, subscription: Subscribed, *expected: type[object]) -> None:
        """`expected` are the classes of all events that the subscription's queue receives."""
        self.queue = subscription.queue
        self._expected = {type_of(kind): kind for kind in expected}
        self._handlers: dict[str, HandleOne | HandleMany | Ignore] = {}

    def __call__(
        self,
        kind: type[E],
        *,
        time_limit: float | None = None,
        failures: Failures = NO_RULES,
    ) -> Register[E, Envelope]:
        """Register a handler of one event.

        `time_limit` in seconds replaces the consumer's, `failures` come before its rules. Raises
        `InvalidSetting` for a class registered twice, one that the queue does not receive, and what
        `check_handler` refuses.
        """
        read = reader_of(kind)

        def register(function: Callable[..., Awaitable[None]]) -> Any:
            if _wants_envelope(kind, function, "event", "envelope"):

                async def handle(unit: UnitOfWork, envelope: Envelope) -> None:
                    await function(unit, read(envelope), envelope)
            else:

                async def handle(unit: UnitOfWork, envelope: Envelope) -> None:
                    await function(unit, read(envelope))

            self._register(kind, HandleOne(handle, time_limit, failures))
            return function

        return register

    def many(
        self,
        kind: type[E],
        *,
        time_limit: float | None = None,
        failures: Failures = NO_RULES,
    ) -> Register[Sequence[E], Sequence[Envelope]]:
        """Register a handler of all events of the class in one batch; see `handle_many`."""
        read = reader_of(kind)

        def register(function: Callable[..., Awaitable[None]]) -> Any:
            if _wants_envelope(kind, function, "events", "envelopes"):

                async def handle(unit: UnitOfWork, envelopes: Sequence[Envelope]) -> None:
                    await function(unit, [read(one) for one in envelopes], envelopes)
            else:

                async def handle(unit: UnitOfWork, envelopes: Sequence[Envelope]) -> None:
                    await function(unit, [read(one) for one in envelopes])

            self._register(kind, HandleMany(handle, time_limit, failures))
            return function

        return register

    def ignores(self, *kinds: type[object]) -> None:
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

    def _register(self, kind: type[object], handler: HandleOne | HandleMany | Ignore) -> None:
        type_ = type_of(kind)
        if type_ in self._handlers:
            raise InvalidSetting(f"handler of {type_}", "is registered twice")
        if type_ not in self._expected:
            expected = ", ".join(sorted(self._expected)) or "nothing"
            raise InvalidSetting(
                f"handler of {type_}",
                f"is never called: queue {self.queue} receives {expected} (by its aggregate types)",
            )
        self._handlers[type_] = handler

    def __getitem__(self, type_: str) -> HandleOne | HandleMany | Ignore:
        return self._handlers[type_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handlers)

    def __len__(self) -> int:
        return len(self._handlers)


def _wants_envelope(kind: type[object], function: object, event: str, envelope: str) -> bool:
    """Whether a handler has a third parameter without a default. Raises `InvalidSetting`."""
    two = ("unit", event)
    three = (*two, envelope)
    wants = accepts(function, three) and not accepts(function, two)
    check_handler(f"handler of {type_of(kind)}", function, three if wants else two)
    return wants
