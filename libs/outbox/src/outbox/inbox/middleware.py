"""The seam around handlers: what runs before, after and instead of each call of one.

Invariant: a middleware sees every outcome and hides none. If a handler fails, its event fails,
also where a middleware swallows the exception.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from outbox import tracing
from outbox.argument_checks import check_handler
from outbox.event import Envelope
from outbox.log.guard import GuardedTransaction
from outbox.log.unit_of_work import UnitOfWork
from outbox.supervise import whole


@dataclass(slots=True)
class Handling:
    """One call of a handler."""

    consumer: str
    type: str
    events: Sequence[Envelope]
    """One event, or those of a batch for a handler of many; all of the same type."""
    unit: UnitOfWork
    """The handler's own: what a middleware writes is committed with the effect."""
    transaction: GuardedTransaction
    """Checked when the handler returns. For the library."""
    failure: BaseException | None = None
    """What the handler raised. For the library."""


Proceed = Callable[[Handling], Awaitable[None]]
"""Goes on to the handler, through the middleware that is left."""
Middleware = Callable[[Handling, Proceed], Awaitable[None]]
"""Runs around each call of a handler, inside its transaction.

async def counted(handling: Handling, proceed: Proceed) -> None:
    before(handling)
    try:
        await proceed(handling)
    except Exception as problem:
        failed(handling, problem)
        raise
    after(handling)
"""


def compose(innermost: Proceed, *middleware: Middleware) -> Proceed:
    """One call for all of them; the first is the outermost."""
    for one in reversed(middleware):
        innermost = _around(one, innermost)
    return innermost


def given(*middleware: Middleware) -> tuple[Middleware, ...]:
    """An application's middleware, so that it can hide neither a failure nor a cancellation.

    Raises `InvalidSetting` for what is not async or takes other arguments.
    """
    for one in middleware:
        check_handler("middleware", one, ("handling", "proceed"))
    return (_reveal, *middleware, _remember) if middleware else ()


async def traced(handling: Handling, proceed: Proceed) -> None:
    """Let the event's trace be the current one; record a span where spans go anywhere."""
    with tracing.processing(handling.consumer, handling.events):
        await proceed(handling)


async def _reveal(handling: Handling, proceed: Proceed) -> None:
    await whole(proceed(handling))
    if handling.failure is not None:
        raise handling.failure


async def _remember(handling: Handling, proceed: Proceed) -> None:
    handling.failure = None  # a middleware may try again, in a savepoint
    try:
        await proceed(handling)
    except BaseException as problem:
        handling.failure = problem
        raise


def _around(one: Middleware, inner: Proceed) -> Proceed:
    def call(handling: Handling) -> Awaitable[None]:
        return one(handling, inner)

    return call
