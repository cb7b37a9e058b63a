"""A notification that comes alone is sent behind its COMMIT; others are left to the notifier.

The notifier of `quiet` runs only where a test starts it: what is heard before went along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from kit.outbox.deliveries import effects, events
from kit.outbox.units import EFFECT, emitted, outcomes, write, written
from kit.outbox.world import QUEUE, SOURCE, World
from outbox import Envelope, Notifier, Outbox, UnitOfWork, Work
from outbox.inbox.inbox import Inbox
from outbox.postgres import notify
from outbox.postgres.listener import Listener
from outbox.postgres.notify import DOORBELL

SETTLED = "settled"
HEARD_WITHIN, NOT_HEARD_WITHIN = 10.0, 0.2


@pytest.fixture
async def listener(world: World) -> AsyncIterator[Listener]:
    async with await psycopg.AsyncConnection.connect(
        world.database_url, autocommit=True
    ) as connection:
        listener = await Listener.over(connection, DOORBELL)
        await listener.listen(SETTLED)
        yield listener


@pytest.fixture
def notifier(world: World) -> Notifier:
    return Notifier(world.database_url)


@pytest.fixture
def quiet(world: World, notifier: Notifier, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Whatever follows a notification comes soon after it, however slow the machine is."""
    monkeypatch.setattr(notify, "ALONE_AFTER", 3600.0)
    return Work(world.engine, Outbox(SOURCE), notifier)


async def test_the_ring_of_a_unit_alone_goes_along_with_its_commit(
    world: World, quiet: Work, listener: Listener
) -> None:
    await write(quiet, "a")
    assert await listener.heard(HEARD_WITHIN) == [""]
    assert await emitted(world) == [("a", 1, 1)]


async def test_what_follows_soon_is_gathered_by_the_notifier(
    quiet: Work, notifier: Notifier, listener: Listener
) -> None:
    await write(quiet, "a")
    assert await listener.heard(HEARD_WITHIN) == [""]
    await write(quiet, "a", 2)
    await write(quiet, "a", 3)
    assert await listener.heard(NOT_HEARD_WITHIN) == []
    async with notifier:
        assert await listener.heard(HEARD_WITHIN) == [""]


async def test_a_ring_that_a_relay_of_this_process_may_hear_does_not_go_along(
    quiet: Work, notifier: Notifier, listener: Listener
) -> None:
    rung = asyncio.Event()

    def hear() -> bool:
        rung.set()
        return True

    with quiet.notifications.hearing_alone(DOORBELL, hear):
        await write(quiet, "a")
        assert await listener.heard(NOT_HEARD_WITHIN) == []
        async with notifier, asyncio.timeout(HEARD_WITHIN):
            await rung.wait()


async def test_what_a_handler_announces_goes_along(
    world: World, quiet: Work, listener: Listener
) -> None:
    async def announces(unit: UnitOfWork, event: Envelope) -> None:
        await unit.send(EFFECT, {"id": event.aggregate_id, "number": event.sequence})
        unit.announce(SETTLED, event.aggregate_id)

    await Inbox(QUEUE, {"order.happened": announces}, quiet).handle(events(2, "a"))
    assert await listener.heard(HEARD_WITHIN) == ['["a"]']
    assert await effects(world) == {"a": [1, 2]}


async def test_a_commit_that_fails_rings_nothing(
    world: World, quiet: Work, listener: Listener
) -> None:
    await world.execute("CREATE UNIQUE INDEX ON effects (aggregate_id)")
    await world.execute("INSERT INTO effects (aggregate_id, sequence) VALUES ('a', 1)")
    [problem] = await outcomes(write(quiet, "a"))
    assert isinstance(problem, IntegrityError)
    assert await listener.heard(NOT_HEARD_WITHIN) == []
    assert await emitted(world) == []


async def test_a_notification_that_is_refused_undoes_nothing_and_goes_once_more(
    world: World,
    quiet: Work,
    notifier: Notifier,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = notify._notifying

    def too_long_once(rows: Sequence[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
        monkeypatch.setattr(notify, "_notifying", real)
        return real([(channel, "x" * 8000) for channel, _ in rows])

    monkeypatch.setattr(notify, "_notifying", too_long_once)
    await write(quiet, "a")
    assert await written(world) == {"a": 1}
    assert await emitted(world) == [("a", 1, 1)]
    async with notifier:
        assert await listener.heard(HEARD_WITHIN) == [""]
    await write(quiet, "b")
    assert await written(world) == {"a": 1, "b": 1}
