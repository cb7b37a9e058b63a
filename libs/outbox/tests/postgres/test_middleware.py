"""Middleware of the application, in the handler's own transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from kit.outbox.deliveries import effects, events, parks, record
from kit.outbox.world import World
from outbox import Envelope, Handling, InboxSettings, Proceed, UnitOfWork, handle_many
from outbox.testing import deliver

QUEUE = "kitchen.orders"
NOTE = text("INSERT INTO effects (aggregate_id, sequence) VALUES (:id, 0)")


async def broken(unit: UnitOfWork, event: Envelope) -> None:
    await record(unit, event)
    if event.stream.aggregate_id == "broken":
        raise KeyError("broken")


async def ends(unit: UnitOfWork, event: Envelope) -> None:
    await unit.connection.rollback()


async def noting(handling: Handling, proceed: Proceed) -> None:
    """Write before and after the handler, with its unit of work."""
    await handling.unit.connection.execute(NOTE, {"id": "before"})
    await proceed(handling)
    await handling.unit.connection.execute(NOTE, {"id": "after"})


async def test_what_it_writes_is_committed_with_the_effect_or_not_at_all(world: World) -> None:
    settings = InboxSettings(middleware=[noting])
    handlers = {"order.happened": broken}
    await deliver(world.work, QUEUE, handlers, *events(1, "broken"), settings=settings)
    assert await effects(world) == {}
    await deliver(world.work, QUEUE, handlers, *events(2), settings=settings)
    assert await effects(world) == {"before": [0, 0], "a": [1, 2], "after": [0, 0]}


async def test_it_sees_every_outcome_with_its_exception(world: World) -> None:
    seen: list[tuple[str, str, int]] = []

    async def outcomes(handling: Handling, proceed: Proceed) -> None:
        try:
            await proceed(handling)
        except Exception as problem:
            seen.append((handling.type, type(problem).__name__, len(handling.events)))
        else:
            seen.append((handling.type, "done", len(handling.events)))

    async def many(unit: UnitOfWork, found: Sequence[Envelope]) -> None:
        for event in found:
            await record(unit, event)

    settings = InboxSettings(middleware=[outcomes])
    for name, handler in (("a", broken), ("broken", broken), ("b", ends)):
        await deliver(
            world.work, QUEUE, {"order.happened": handler}, *events(1, name), settings=settings
        )
    set_based = {"order.happened": handle_many(many)}
    await deliver(world.work, QUEUE, set_based, *events(3, "c"), settings=settings)
    assert [kind for _, kind, _ in seen[:2]] == ["done", "KeyError"]
    assert {kind for _, kind, _ in seen[3:-1]} == {"TransactionEnded"}
    assert seen[-1] == ("order.happened", "done", 3)
    assert await effects(world) == {"a": [1], "c": [1, 2, 3]}, "a swallowed failure is a failure"
    assert await parks(world, [("failed", 1), ("failed", 1)])
