"""The checker sees what a broken inbox does, and nothing where the inbox is sound."""

from __future__ import annotations

import asyncio
import signal

import pytest

from chaos import commands, hand
from chaos.checker import Verdict, examine
from chaos.fleet import Fleet
from chaos.sides import KITCHEN, SHOP, WRITE, Place, Told
from kit.waiting import eventually
from outbox import Outbox

EVENTS, AGGREGATES = 6, ("a", "b", "c")


def write(place: Place) -> None:
    """A transaction for each event, and nobody there yet to publish it."""
    log = Outbox(SHOP.name)
    with place.connect(SHOP) as connection:
        for number in range(1, EVENTS + 1):
            for aggregate in AGGREGATES:
                event = Told("order", aggregate, number)
                with connection.transaction():
                    connection.execute(WRITE, event.row)
                    log.add_sync(connection, event)


@pytest.fixture
async def queued(place: Place, fleet: Fleet) -> Place:
    """All events are published, and wait for a consumer."""
    await asyncio.to_thread(write, place)
    fleet.add("relay", "shop", 1)
    await eventually(lambda: published(place))
    return place


async def published(place: Place) -> bool:
    with place.connect(SHOP) as connection:
        found = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL")
        return found.fetchone() == (0,)


async def consumed(place: Place, fleet: Fleet, how: str) -> Verdict:
    fleet.add("consumer", "kitchen", 1, CHAOS_BREAK=how)
    slots = fleet.of("consumer")

    async def took_all() -> bool:
        """What was delivered and not acked is back in the queue once the consumer has ended."""
        await eventually(lambda: hand.is_empty(place, KITCHEN))
        await fleet.hold(slots, signal.SIGTERM)
        if not (empty := await hand.is_empty(place, KITCHEN)):
            fleet.let_go(slots)
        return empty

    await eventually(took_all)
    return await asyncio.to_thread(examine, place, KITCHEN)


@pytest.mark.parametrize(("how", "seen"), [("", set()), ("dedupe", {"twice"})])
async def test_an_inbox_that_applies_duplicates_is_seen(
    queued: Place, fleet: Fleet, how: str, seen: set[str]
) -> None:
    again = hand.envelopes(queued, "shop", 5)
    await hand.publish(queued, "shop", again)
    assert set((await consumed(queued, fleet, how)).wrong) == seen


@pytest.mark.parametrize(("how", "seen"), [("", set()), ("order", {"misordered"})])
async def test_an_inbox_that_applies_as_it_comes_is_seen(
    queued: Place, fleet: Fleet, how: str, seen: set[str]
) -> None:
    while await hand.steal(queued, KITCHEN) or not await hand.is_empty(queued, KITCHEN):
        pass
    backwards = hand.envelopes(queued, "shop", EVENTS * len(AGGREGATES))
    await hand.publish(queued, "shop", backwards)
    assert set((await consumed(queued, fleet, how)).wrong) == seen


@pytest.mark.parametrize(
    ("how", "seen", "missed"), [("", set(), 1), ("gap", {"overtaken"}, 0)], ids=["sound", "gap"]
)
async def test_an_inbox_that_steps_over_a_lost_event_is_seen_and_misses_nothing(
    queued: Place, fleet: Fleet, how: str, seen: set[str], missed: int
) -> None:
    assert await hand.steal(queued, KITCHEN)
    verdict = await consumed(queued, fleet, how)
    assert set(verdict.wrong) == seen
    assert len(verdict.absent) == 1
    assert len(await commands.holes(queued, KITCHEN)) == missed


async def test_an_event_that_is_lost_without_a_thief_is_seen(queued: Place, fleet: Fleet) -> None:
    await hand.steal(queued, KITCHEN)
    with queued.connect(KITCHEN) as connection:
        connection.execute("TRUNCATE stolen")
    assert set((await consumed(queued, fleet, "")).wrong) == {"lost"}
