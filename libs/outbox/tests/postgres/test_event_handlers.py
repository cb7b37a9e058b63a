"""Handlers by event class on a real database: what they get, and what comes of what they cannot
read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from kit.outbox.deliveries import effects, events, parks
from kit.outbox.world import TAKES, Happened, World
from outbox import Envelope, Handlers, UnitOfWork
from outbox.testing import deliver

QUEUE = "kitchen.orders"
INSERT = text("INSERT INTO effects (aggregate_id, sequence) VALUES (:id, :sequence)")


class Meal(BaseModel):
    type: ClassVar[str] = "order.happened"
    name: str
    portions: int


def meals(aggregate: str, *bodies: object) -> list[Envelope]:
    found = events(len(bodies), aggregate)
    return [
        replace(event, payload=json.dumps(body).encode())
        for event, body in zip(found, bodies, strict=True)
    ]


SOUP = {"name": "soup", "portions": 2}


@pytest.fixture
def on() -> Handlers:
    return Handlers(TAKES, Meal)


async def test_a_body_that_does_not_fit_is_parked_and_names_its_field(
    world: World, on: Handlers
) -> None:
    @on(Meal)
    async def cook(unit: UnitOfWork, meal: Meal) -> None:
        await unit.connection.execute(INSERT, {"id": meal.name, "sequence": meal.portions})

    came = [*meals("a", SOUP), *meals("b", {"name": "stew"}), *meals("c", SOUP)]
    [parked] = await deliver(world.work, QUEUE, on, *came)
    assert parked.last_error == "ValidationError: 1 in Meal: portions: Field required"
    assert await parks(world, [("unreadable", 1)])
    assert await effects(world) == {"soup": [2, 2]}


async def test_a_handler_of_many_parks_only_what_it_cannot_read(world: World, on: Handlers) -> None:
    @on.many(Meal)
    async def cook(unit: UnitOfWork, cooked: Sequence[Meal]) -> None:
        for meal in cooked:
            await unit.connection.execute(INSERT, {"id": meal.name, "sequence": meal.portions})

    await deliver(world.work, QUEUE, on, *meals("a", SOUP), *meals("b", {}), *meals("c", SOUP))
    assert await parks(world, [("unreadable", 1)])
    assert await effects(world) == {"soup": [2, 2]}


async def test_with_the_envelopes_answers_name_their_causes(world: World, on: Handlers) -> None:
    @on.many(Meal)
    async def cook(unit: UnitOfWork, cooked: Sequence[Meal], envelopes: Sequence[Envelope]) -> None:
        for meal, envelope in zip(cooked, envelopes, strict=True):
            await unit.caused_by(envelope).emit(Happened(meal.name))

    came = [*meals("a", SOUP), *meals("b", SOUP | {"name": "stew"})]
    assert await deliver(world.work, QUEUE, on, *came) == []
    caused = await world.rows("SELECT aggregate_id, causation_id FROM outbox ORDER BY id")
    assert caused == [("soup", str(came[0].id)), ("stew", str(came[1].id))]


async def test_parameters_without_names_are_refused_where_they_are_sent(world: World) -> None:
    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        await unit.send("SELECT %s", (event.sequence,))  # type: ignore[arg-type]

    [parked] = await deliver(world.work, QUEUE, {"order.happened": handle}, *events(1, "a"))
    assert parked.last_error is not None
    assert "TypeError: 'tuple' object is not a mapping" in parked.last_error
    with pytest.raises(TypeError, match="not a mapping"):
        async with world.work.begin() as unit:
            await unit.send("SELECT %s", (1,))  # type: ignore[arg-type]
