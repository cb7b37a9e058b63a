"""Handlers that do anything to their transaction, against a model of what must come of it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from kit.outbox.orm_models import Effect, Taken
from kit.outbox.world import QUEUE, SOURCE, Happened, World
from outbox import Envelope, UnitOfWork
from outbox.testing import Source, deliver

WRITE = text("INSERT INTO effects (aggregate_id, sequence) VALUES (:id, :number)")
FAIL = text("INSERT INTO taken VALUES (1)")
OPERATIONS = (
    *("write", "write", "add", "add", "flush", "nested", "undone", "fails inside"),
    *("swallow", "fails flushing", "raise", "commit", "rollback", "close", "session rollback"),
)
BREAKING = {"swallow", "fails flushing", "raise", "commit", "rollback", "close", "session rollback"}
STREAMS, ROUNDS = 40, 5


@dataclass
class Model:
    """What an ordinary reader of the handler would expect: all of it once, or nothing, parked."""

    kept: set[int] = field(default_factory=set)
    pending: set[int] = field(default_factory=set)
    parked: bool = False

    def do(self, operation: str, number: int) -> None:
        if operation in BREAKING:
            self.parked = True
        elif operation in ("write", "nested"):
            self.kept.add(number)
        elif operation == "add":
            self.pending.add(number)
        elif operation == "flush":
            self.kept |= self.pending
            self.pending.clear()

    @property
    def effects(self) -> set[int]:
        """A session that closes without a flush forgets what it held."""
        return set() if self.parked else self.kept


class Handler:
    """Does to its transaction what the list for its stream says."""

    def __init__(self, lists: dict[str, list[str]]) -> None:
        self._lists = lists

    async def __call__(self, unit: UnitOfWork, event: Envelope) -> None:
        id_ = event.stream.aggregate_id
        async with AsyncSession(unit.connection, autoflush=False) as session:
            for number, operation in enumerate(self._lists[id_]):
                await self._do(operation, unit, session, id_, number)

    async def _do(
        self, operation: str, unit: UnitOfWork, session: AsyncSession, id_: str, number: int
    ) -> None:
        connection, row = unit.connection, {"id": id_, "number": number}
        match operation:
            case "write":
                await connection.execute(WRITE, row)
            case "add":
                session.add(Effect(aggregate_id=id_, sequence=number))
            case "flush":
                await session.flush()
            case "nested":
                async with connection.begin_nested():
                    await connection.execute(WRITE, row)
            case "undone" | "fails inside":
                with suppress(Exception):
                    async with connection.begin_nested():
                        await connection.execute(WRITE, row)
                        await connection.execute(FAIL if operation != "undone" else WRITE, row)
                        raise ValueError(operation)
            case "raise":
                raise ValueError(operation)
            case _:
                with suppress(Exception):
                    await self._break(operation, unit, session)

    async def _break(self, operation: str, unit: UnitOfWork, session: AsyncSession) -> None:
        breaks: dict[str, Callable[[], Awaitable[object]]] = {
            "swallow": lambda: unit.connection.execute(FAIL),
            "commit": unit.connection.commit,
            "rollback": unit.connection.rollback,
            "close": unit.connection.close,
        }
        if operation == "fails flushing":
            session.add(Taken(number=1))
            await session.flush()
        elif operation == "session rollback":
            await session.execute(WRITE, {"id": "of the session", "number": 0})
            await session.rollback()
        else:
            await breaks[operation]()


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_whatever_a_handler_does_its_event_takes_effect_once_or_is_parked(
    world: World, seed: int
) -> None:
    await world.execute("CREATE TABLE taken (number int PRIMARY KEY)")
    await world.execute("INSERT INTO taken VALUES (1)")
    lists = _lists(random.Random(seed))
    events = Source(SOURCE).envelopes(*map(Happened, lists))
    parked = await deliver(world.work, QUEUE, {"order.happened": Handler(lists)}, *events)
    models = {id_: _model(operations) for id_, operations in lists.items()}
    assert {event.stream.aggregate_id for event in parked} == {
        id_ for id_, model in models.items() if model.parked
    }, lists
    found = await world.rows("SELECT aggregate_id, sequence FROM effects ORDER BY 1, 2")
    expected = [(id_, number) for id_, model in models.items() for number in sorted(model.effects)]
    assert found == sorted(expected), lists
    positions = dict(await world.rows("SELECT aggregate_id, last_sequence FROM inbox"))
    assert positions == {id_: int(not model.parked) for id_, model in models.items()}


def _lists(chance: random.Random) -> dict[str, list[str]]:
    return {
        f"{number:02}": [chance.choice(OPERATIONS) for _ in range(chance.randint(0, 6))]
        for number in range(STREAMS)
    }


def _model(operations: list[str]) -> Model:
    model = Model()
    for number, operation in enumerate(operations):
        model.do(operation, number)
    return model
