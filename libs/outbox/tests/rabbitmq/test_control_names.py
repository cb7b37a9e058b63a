"""`outbox pause` and `throttle` refuse a name that nothing knows, and list the names that exist."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.outbox.deliveries import events, record
from kit.outbox.operator import Said, say
from kit.outbox.world import EXCHANGE, QUEUE, World
from outbox import Envelope, UnitOfWork
from outbox.operations.controls import controls

APP = {"OUTBOX_APP": "kit.outbox.topology:LATER"}
BARE = {"OUTBOX_APP": "kit.outbox.topology:TOPOLOGY"}
YET_TO_COME = "--unknown is for a name that is yet to come"
ASKS_FOR_APP = f"--app knows the names of an application, {YET_TO_COME}"


async def fail(unit: UnitOfWork, event: Envelope) -> None:
    raise ValueError("no")


async def order(world: World, app: dict[str, str], *words: str, status: int = 2) -> Said:
    return await say({"DATABASE_URL": world.database_url, **app}, *words, status=status)


async def ordered(world: World) -> list[tuple[str, str]]:
    async with await world.psycopg() as connection:
        return [(one.target, one.type) for one in await controls(connection)]


@pytest.mark.parametrize(
    ("app", "words", "says"),
    [
        (APP, ["pause", "kitchen.order"], f"queue is known as 'kitchen.order': there are {QUEUE}"),
        (
            APP,
            ["pause", QUEUE, "--type", "order.payd"],
            f"event type of {QUEUE} is known as 'order.payd':"
            " there are order.happened, order.payed",
        ),
        (
            APP,
            ["pause", "shops", "--relay"],
            f"exchange is known as 'shops': there are {EXCHANGE}",
        ),
        (
            APP,
            ["throttle", "kitchen.order", "5"],
            f"queue is known as 'kitchen.order': there are {QUEUE}",
        ),
        (BARE, ["pause", "kitchen.order"], f"queue is known as 'kitchen.order': there are {QUEUE}"),
    ],
    ids=["queue", "type", "relay", "throttle", "topology alone"],
)
async def test_a_name_that_the_application_does_not_have_is_refused_with_those_that_it_has(
    world: World, app: dict[str, str], words: list[str], says: str
) -> None:
    said = await order(world, app, *words)
    assert said.err == f"outbox: no {says}; {YET_TO_COME}\n"
    assert await ordered(world) == []


async def test_without_an_application_the_database_knows_what_it_has_met(world: World) -> None:
    said = await order(world, {}, "pause", QUEUE)
    nothing = f"no queue is known as '{QUEUE}': nothing says which there are"
    assert said.err == f"outbox: {nothing}; {ASKS_FOR_APP}\n"
    inbox = world.consumer(record, more={"order.payed": fail}).inbox
    await inbox.handle(events(1))
    said = await order(world, {}, "pause", "kitchen.order")
    known = f"no queue is known as 'kitchen.order': there are {QUEUE}"
    assert said.err == f"outbox: {known}; {ASKS_FOR_APP}\n"
    await order(world, {}, "throttle", QUEUE, "5", status=0)
    await inbox.handle([replace(event, type="order.payed") for event in events(1, "b")])
    said = await order(world, {}, "pause", QUEUE, "--type", "order.payd")
    known = f"no event type of {QUEUE} is known as 'order.payd': there are order.payed"
    assert said.err == f"outbox: {known}; {ASKS_FOR_APP}\n"
    await order(world, {}, "pause", QUEUE, "--type", "order.payed", status=0)
    assert await ordered(world) == [(QUEUE, ""), (QUEUE, "order.payed")]


async def test_a_name_that_is_yet_to_come_is_ordered_with_unknown(world: World) -> None:
    await order(world, APP, "pause", QUEUE, "--type", "order.printed", "--unknown", status=0)
    await order(world, {}, "throttle", "shops", "5", "--relay", "--unknown", status=0)
    assert await ordered(world) == [(QUEUE, "order.printed"), ("shops", "")]
    await order(world, {}, "resume", "shops", "--relay", status=0)
