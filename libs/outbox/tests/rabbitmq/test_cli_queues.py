"""`outbox queues list` and `move-dead-letters`: what the broker has, and messages it is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aio_pika import Message

from kit.outbox.operator import Pair, open_pair
from kit.outbox.world import QUEUE
from kit.waiting import eventually
from outbox.rabbitmq.topology import dead_letters_of

APP = ("--app", "kit.outbox.topology:TOPOLOGY")
MOVE = ("queues", "move-dead-letters", QUEUE)


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    """Two messages are dead letters of the consumer's queue."""
    async with open_pair(broker_url) as opened:
        async with opened.consumer.broker() as channel:
            for number in range(2):
                message = Message(b"not json", message_id=str(number))
                await channel.default_exchange.publish(message, dead_letters_of(QUEUE))
        yield opened


async def test_queues_are_listed_with_their_dead_letters(pair: Pair) -> None:
    async def are_listed() -> bool:
        [queue] = (await pair.at_consumer("queues", "list", *APP, "--json")).json
        return (queue["queue"], queue["dead"], queue["type"]) == (QUEUE, 2, "quorum")

    await eventually(are_listed)
    shown = (await pair.at_consumer("queues", "list", *APP)).out
    assert "dead letters" in shown
    assert "1 queue\n" in shown


async def test_a_management_api_that_refuses_us_is_one_line(pair: Pair) -> None:
    wrong = ("--management-url", "http://nobody:wrong@127.0.0.1:1")
    said = await pair.at_consumer("queues", "list", *APP, *wrong, status=2)
    assert "the management API does not answer" in said.err


async def test_dead_letters_are_moved_back_after_a_question(pair: Pair) -> None:
    said = await pair.at_consumer(*MOVE, answer="n\n", status=3)
    assert f"Move 2 dead letters to the end of {QUEUE}, where 0 wait?" in said.err
    said = await pair.at_consumer(*MOVE, "--note", "the user is right now", answer="y\n")
    assert f"2 dead letters are back in {QUEUE}" in said.out
    assert {m.message_id for m in await pair.consumer.delivered(2)} == {"0", "1"}
    [row] = (await pair.at_consumer("history", "--json")).json
    assert (row["what"], row["events"], row["note"]) == (
        "move dead letters",
        2,
        "the user is right now",
    )


async def test_without_dead_letters_nothing_is_asked_or_moved(pair: Pair) -> None:
    await pair.at_consumer(*MOVE, "--yes")
    said = await pair.at_consumer(*MOVE, "--json")
    assert (said.json["selected"]["events"], said.json["moved"]) == (0, 0)
    said = await pair.at_consumer("queues", "move-dead-letters", "unknown", status=2)
    assert "no queue unknown with dead letters" in said.err
